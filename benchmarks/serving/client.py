"""The client of the load test, in a process of its own: plain sockets that are kept open, one request at a time each.

python -m benchmarks.serving.client ORDER      # ORDER is JSON, see `Order`; prints a line a request, then its CPU time
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

AGAIN = 0.25
HOT = 50
PATIENCE = 60.0


@dataclass(frozen=True)
class Order:
    """Where to ask, on how many connections and for how long; `more` connections join from `burst[0]` to `burst[1]`.

    Times are seconds after the start; `prompts` is a JSON list of texts.
    """

    host: str
    port: int
    connections: int
    seconds: float
    more: int
    burst: tuple[float, float]
    prompts: str

    def to_json(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Asked:
    """One request: when it began (epoch seconds), how long it took, what came back; status 0 with an `error`."""

    at: float
    seconds: float
    status: int
    header: str = ""
    version: str = ""
    provenance: str = ""
    agents: int = 0
    cost: float = 0.0
    retry_after: str = ""
    error: str = ""


async def ask_all(order: Order) -> list[Asked]:
    """Every connection asks, again and again, until its time is over."""
    texts = _texts(json.loads(Path(order.prompts).read_text(encoding="utf-8")))
    begun = time.monotonic()
    found: list[Asked] = []
    steady = [_connection(order, texts, found, begun, begun + order.seconds) for _ in range(order.connections)]
    first, last = order.burst
    burst = [_connection(order, texts, found, begun + first, begun + last) for _ in range(order.more)]
    await asyncio.gather(*steady, *burst)
    return found


def _texts(prompts: list[str]) -> Iterator[str]:
    """One in four from a few that come back; all others are asked once."""
    draw = random.Random(7)
    for number in count(1):
        text = draw.choice(prompts)
        yield draw.choice(prompts[:HOT]) if draw.random() < AGAIN else f"{text} ({number})"


async def _connection(order: Order, texts: Iterator[str], found: list[Asked], begin: float, end: float) -> None:
    await asyncio.sleep(max(0.0, begin - time.monotonic()))
    line = _Line(order.host, order.port)
    while time.monotonic() < end:
        asked = await line.ask(next(texts))
        found.append(asked)
        if asked.status != 200:
            await asyncio.sleep(float(asked.retry_after or 0.2))
    line.close()


class _Line:
    """One connection, opened when it is first needed and again after the server closed it."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, prompt: str) -> Asked:
        at, started = time.time(), time.perf_counter()
        try:
            status, headers, body = await asyncio.wait_for(self._exchange(prompt), PATIENCE)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            self.close()
            return Asked(at, time.perf_counter() - started, 0, error=f"{type(error).__name__} {error}".strip())
        seconds = time.perf_counter() - started
        facts = _facts(json.loads(body)) if status == 200 else {"error": body.decode("utf-8", "replace")[:300]}
        header, later = headers.get("x-switchtender-version", ""), headers.get("retry-after", "")
        return Asked(at, seconds, status, header=header, retry_after=later, **facts)

    async def _exchange(self, prompt: str) -> tuple[int, dict[str, str], bytes]:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self.host, self.port)
        body = json.dumps({"prompt": prompt}).encode()
        head = f"POST /v1/route HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nContent-Type: application/json\r\n"
        self._writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        first, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        content = await self._reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(first.split()[1]), headers, content

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None


def _facts(answer: dict[str, Any]) -> dict[str, Any]:
    result = answer["results"][0]
    return {
        "version": answer["version"],
        "provenance": answer["provenance_sha256"],
        "agents": len(result["agents"]),
        "cost": result["cost_usd"] or 0.0,
    }


def main() -> None:
    """Ask as ordered, and print what came back."""
    given = json.loads(sys.argv[1])
    for asked in asyncio.run(ask_all(Order(**{**given, "burst": tuple(given["burst"])}))):
        print(json.dumps(asdict(asked)))
    print(json.dumps({"cpu_seconds": time.process_time()}))


if __name__ == "__main__":
    main()
