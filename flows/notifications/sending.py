"""Word sent through Apprise (webhook, e-mail, chat): each thing once to each place, with a record of what went out."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from flows.notifications.notices import EVENTS, Notice, NotifyParams, notices
from flows.registry.mlflow_store import Registry
from flows.registry.webhook import keep_webhook
from flows.workspace.json_lines import append_line, read_entries
from flows.workspace.lock import held
from flows.workspace.project import Project
from pipeline.runtime.errors import ParamsError, SwitchtenderError, one_line
from pipeline.runtime.named_secret import named_secret, require_named
from pipeline.runtime.params import read

MOST_TRIES = 5
"""A place that does not answer is tried so often for one thing, each time that word is due."""
_PATIENCE_SECONDS = 60.0
"""How long a place may take over a thing, and how long to wait for whoever else is sending."""
_HANGS = "it takes too long to answer"
TEST = Notice("test", "test", "Switchtender: a test message", "Word arrives here.")


@dataclass(frozen=True)
class Sent:
    """One attempt: when, what, to which setting, and why it was not taken where it was not."""

    at: str
    event: str
    thing: str
    title: str
    to: str
    error: str = ""


def notify_params(project: Project) -> NotifyParams:
    """The section `notify` of params.yaml.

    Raises:
        ParamsError: it cannot be read, has an address written out, or names an unknown event.
    """
    params = read("notify", NotifyParams, project.root / "params.yaml")
    for to in filter(None, (*params.to, params.registry_webhook)):
        require_named("address", to)
    if unknown := [event for event in params.events if event not in EVENTS]:
        raise ParamsError(f"params.yaml: notify.events: unknown '{unknown[0]}'; known are {', '.join(EVENTS)}")
    return params


def due(project: Project, params: NotifyParams, now: datetime) -> list[tuple[Notice, str]]:
    """What has still to go where: not sent there yet, and not tried too often.

    Raises:
        SwitchtenderError: a log or the registry cannot be read.
    """
    tries: Counter[tuple[str, str, str]] = Counter()
    done = set()
    for entry in sent(project):
        key = (entry.event, entry.thing, entry.to)
        tries[key] += 1
        if not entry.error:
            done.add(key)
    wanted = [(notice, to) for notice in notices(project, params, now) for to in params.to]
    return [
        (notice, to)
        for notice, to in wanted
        if (key := (notice.event, notice.thing, to)) not in done and tries[key] < MOST_TRIES
    ]


def notify(project: Project, now: datetime | None = None) -> list[Sent]:
    """Send what is due, and note each attempt; a place that does not take it is tried again the next time.

    Raises:
        ParamsError: a setting cannot be used; the other places had their word.
        SwitchtenderError: a log or the registry cannot be read.
        HeldByAnotherRun: somebody else is sending.
    """
    params = notify_params(project)
    if not params.to:
        return []
    with held(project.var / "notifications.lock", "sending word", _PATIENCE_SECONDS):
        return _send_each(project, due(project, params, now or datetime.now(UTC)))


def notify_quietly(project: Project, tell: Callable[[str], None]) -> None:
    """As `notify`, after a night: that word cannot be sent is said, and changes nothing about the night."""
    try:
        for attempt in notify(project):
            if attempt.error:
                tell(f"warning: word of '{attempt.title}' did not reach {attempt.to} ({attempt.error})")
    except (SwitchtenderError, OSError) as error:
        tell(f"warning: no word was sent ({one_line(error)})")


def keep_registry_webhook(registry: Registry, tell: Callable[[str], None]) -> None:
    """The registry's own webhook, where params name one; what hinders it is said, and costs no night."""
    try:
        where = notify_params(registry.project).registry_webhook
        if where and not keep_webhook(registry, named_secret("address", where, registry.project.root)):
            tell("warning: notify.registry_webhook needs an MLflow server; this store has no webhooks")
    except SwitchtenderError as error:
        tell(f"warning: no webhook of the registry ({one_line(error)})")


def send_test(project: Project) -> list[Sent]:
    """A test message to each place.

    Raises:
        ParamsError: a setting cannot be used, or there is no place.
    """
    params = notify_params(project)
    if not params.to:
        raise ParamsError("params.yaml: notify.to names no place; write env:NAME or file:PATH of an Apprise address")
    return _send_each(project, [(TEST, to) for to in params.to])


def sent(project: Project) -> list[Sent]:
    """Every attempt, oldest first.

    Raises:
        InputError: the record cannot be read.
    """
    return list(read_entries(project.var / "notifications.jsonl", Sent))


def _send_each(project: Project, waiting: Sequence[tuple[Notice, str]]) -> list[Sent]:
    """Send each; a place that cannot be used or that hangs is asked no second time, and costs the others nothing."""
    found: list[Sent] = []
    unusable: dict[str, ParamsError] = {}
    for notice, to in waiting:
        if to in unusable or any((one.to, one.error) == (to, _HANGS) for one in found):
            continue
        try:
            found.append(_send(project, notice, to))
        except ParamsError as error:
            unusable[to] = error
    if unusable:
        raise next(iter(unusable.values()))
    return found


def _send(project: Project, notice: Notice, to: str) -> Sent:
    error = _refused(project, notice, to)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    attempt = Sent(at, notice.event, notice.thing, notice.title, to, error)
    append_line(project.var / "notifications.jsonl", asdict(attempt))
    return attempt


def _refused(project: Project, notice: Notice, to: str) -> str:
    """Send it; why it was not taken, or nothing. The address, which may hold a password, is in no message."""
    from apprise import Apprise

    place = Apprise()
    # Its own log lines would name the address.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    if not place.add(named_secret("address", to, project.root).get_secret_value()):
        raise ParamsError(
            f"notify.to: {to} holds no address that Apprise knows, such as jsons://host/path or mailtos://"
        )
    taken: list[bool | None] = []

    def send() -> None:
        # A traceback of it may show the address.
        with suppress(Exception):
            taken.append(place.notify(title=notice.title, body=notice.text, body_format="text"))

    # Each of its waits has a limit, their number has none: a server that sends a byte a second holds it for ever.
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    sender.join(_PATIENCE_SECONDS)
    if sender.is_alive():
        return _HANGS
    return "" if any(taken) else "it was not taken; is the address right, and does it answer?"
