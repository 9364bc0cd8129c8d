"""Running the service: its parts put together, started, and ended without losing a request."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from flows.night.monitoring import NightCollector
from flows.registry.versions import CHAMPION
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError, one_line
from pipeline.runtime.hosts import is_loopback
from pipeline.runtime.tracing import trouble
from pipeline.runtime.track import AGENTS
from pipeline.serving.engine.decision_journal import Journal
from pipeline.serving.engine.hot_swap import NotReady, ServedVersion, VersionSource, VersionSwitch
from pipeline.serving.engine.log import LogLines, log
from pipeline.serving.engine.pool_file import PoolFile
from pipeline.serving.engine.settings import ServeParams
from pipeline.serving.http.app import application
from pipeline.serving.http.auth import ApiKeys
from pipeline.serving.http.connections import Connections
from pipeline.serving.http.page_mount import FAILED, PAGE, PageMount
from pipeline.serving.http.request_routing import RequestRouter

if TYPE_CHECKING:
    from fastapi import APIRouter, FastAPI

_LOOK_SECONDS = 0.02
_WAITING_CONNECTIONS = 2048


@dataclass(frozen=True)
class StartupLines:
    """What is printed for whoever starts the service: its address, what it serves, where the page is.

    `waiting` says once why nothing is served yet.
    """

    listening: Callable[[str], None]
    serving: Callable[[ServedVersion], None]
    page: Callable[[str], None]
    waiting: Callable[[str], None] = lambda _: None


def listen(params: ServeParams) -> socket.socket:
    """Take the address.

    Raises:
        InputError: it is taken, or cannot be listened on.
    """
    listening: socket.socket | None = None
    try:
        kind, address = _resolved(params.host, params.port)
        # The protocol is named, since asyncio sends small answers at once only where it is known to be TCP.
        listening = socket.socket(kind, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_WAITING_CONNECTIONS)
        return listening
    except OSError as error:
        if listening is not None:
            listening.close()
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise InputError(
            f"{params.host}:{params.port} cannot be listened on ({reason}); name another with --host or --port"
        ) from error


def _resolved(host: str, port: int) -> tuple[int, Any]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError as error:  # of a name that is none, such as 127.0.0..1
        raise OSError(0, "not a name of a machine") from error
    return found[0][0], found[0][4]


def keys_of(params: ServeParams, root: Path) -> ApiKeys:
    """The configured keys.

    Raises:
        InputError: other machines could reach the service, and there are no keys.
    """
    keys = ApiKeys.read(params.keys, root)
    if not keys.required and not is_loopback(params.host):
        raise InputError(
            f"host {params.host} can be reached from other machines, and no keys are configured; "
            "set serve.keys in params.yaml, or --keys env:NAME | file:PATH"
        )
    return keys


class Service:
    """One service over one version source. `root` is where paths in its settings start, and where its journal lies.

    The page shows a project, so that without one there is no page. It shows both tracks of it: what this service
    answers with, and beside it the other track's version in service, which answers on the page alone.
    """

    def __init__(self, source: VersionSource, params: ServeParams, root: Path, project: Project | None = None) -> None:
        """Raises InputError where a setting cannot be used."""
        if why := trouble():
            log("no_traces", reason=why)
        self.params, self.project = params, project
        self.keys = keys_of(params, root)
        self.switch = VersionSwitch(source, params, PoolFile(root / params.pool) if params.pool else None)
        self.journal = Journal(root / (project.track if project else AGENTS).journal)
        self.routing = RequestRouter(self.switch, params, self.journal)
        if project:
            self.routing.metrics.registry.register(NightCollector(project))
        self.connections = Connections(params)
        self.page = PageMount() if params.page and project else None
        self._beside: list[VersionSwitch] = []
        self._announced = False
        self._stopping = asyncio.Event()
        self.app = application(
            self.switch, params, self.keys, self.journal,
            chat=self._chat(root / params.upstreams) if params.upstreams else None,
            routing=self.routing, page=self.page,
        )  # fmt: skip

    def _chat(self, upstreams: Path) -> APIRouter:
        from flows.service.chat import chat_of

        return chat_of(self.routing, upstreams)

    def run(self, listening: socket.socket, startup: StartupLines) -> None:
        """Serve until SIGTERM or SIGINT; what is under way then is still answered, and everything is written down."""
        with _library_logs():
            asyncio.run(self._run(listening, startup))

    async def _run(self, listening: socket.socket, startup: StartupLines) -> None:
        server = _Server(self._config())
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, server)
        address = _address(listening)
        startup.listening(address)
        self.switch.start()
        guarding = asyncio.create_task(self.connections.watch())
        watching = asyncio.create_task(self._watch(address, startup))
        try:
            await server.serve([listening])
        finally:
            # A page that was open ends by itself; a cancel would cut the end of its background work short.
            if self.page is None or not self.page.is_ending:
                watching.cancel()
            guarding.cancel()
            await asyncio.wait([watching, guarding])
            await self._end()

    def _config(self) -> uvicorn.Config:
        # Longer than the time limit: what is routed now is answered or told that it timed out. A chat may be cut off.
        patience = round(self.params.seconds_per_request) + 1
        return uvicorn.Config(
            self.app, http=self.connections.protocol,  # type: ignore[arg-type]  # uvicorn only calls it
            log_config=None, access_log=False, server_header=False, ws="none", timeout_graceful_shutdown=patience,
        )  # fmt: skip

    def _stop(self, server: uvicorn.Server) -> None:
        """A second signal does not wait for what is under way."""
        log("stopping", at_once=server.should_exit)
        self._stopping.set()
        server.force_exit = server.should_exit
        server.should_exit = True
        if self.page is not None:
            self.page.close()

    async def _watch(self, address: str, startup: StartupLines) -> None:
        """Say what serves, and open the page; it is there before a first version is, for the reviews."""
        await asyncio.gather(self._announce(startup), self._open_page(address, startup))

    async def _announce(self, startup: StartupLines) -> None:
        """Say when the service is ready, and before that once why no version answers."""
        said = False
        while not self._stopping.is_set() and not self._announced:
            try:
                served = self.switch.served
                if self.page is None or not self.page.is_loading:
                    self._say_serving(served, startup)
            except NotReady as error:
                if self.switch.has_looked and not said:
                    startup.waiting(str(error))
                    said = True
            await asyncio.sleep(_LOOK_SECONDS)

    def _say_serving(self, served: ServedVersion, startup: StartupLines) -> None:
        if not self._announced:
            self._announced = True
            startup.serving(served)

    async def _open_page(self, address: str, startup: StartupLines) -> None:
        """Make the page once it is known whether a version serves: its import takes seconds, which that one needs.

        The service is ready only then (`PageMount.is_loading`), so that nothing slows its answers afterwards.
        """
        if self.page is None or self.project is None:
            return

        def opened() -> None:
            with suppress(NotReady):
                self._say_serving(self.switch.served, startup)
            startup.page(f"{address}{PAGE}")

        try:
            await self._looked(self.switch)
            page = await asyncio.to_thread(self._made_page, self.project, address)
            await self._looked(*self._beside)
            await self.page.keep_open(page, opened)
        except Exception as error:  # whatever fails in the page, the service goes on without it
            self.page.message = FAILED
            log("page_failed", kind=type(error).__name__, reason=one_line(error, 300))

    async def _looked(self, *switches: VersionSwitch) -> None:
        while not all(switch.has_looked for switch in switches):
            await asyncio.sleep(_LOOK_SECONDS)

    def _made_page(self, project: Project, address: str) -> FastAPI:
        from fastapi import FastAPI

        from flows.service.page_actions import ProjectActions
        from pipeline.serving.page import mount
        from pipeline.serving.page.context import TrackView

        recorded = self.params.cache_bytes // 8 // len(project.both)
        others = (other for other in project.both if other.track is not project.track)
        shown = [(project, self.switch), *((other, self._switch_beside(other, address)) for other in others)]
        views = [
            TrackView(one.track, switch, ProjectActions(one, recorded), one.night_command) for one, switch in shown
        ]
        page = FastAPI(openapi_url=None)
        mount(page, views, self.keys)
        return page

    def _switch_beside(self, project: Project, address: str) -> VersionSwitch:
        """What answers on the page of the track that this service does not serve; its pool is not that track's."""
        from flows.service.version_source import RegistrySource

        port = address.rpartition(":")[2]
        # Of its half an eighth is left of the service's whole.
        params = self.params.model_copy(update={"cache_bytes": self.params.cache_bytes // 4})
        switch = VersionSwitch(RegistrySource(project, CHAMPION, f"page@{socket.gethostname()}:{port}"), params)
        switch.start()
        self._beside.append(switch)
        return switch

    async def _end(self) -> None:
        # No swap any more, then no new decisions, and last the journal, which writes those that are still queued.
        for switch in (self.switch, *self._beside):
            await asyncio.to_thread(switch.stop)
        self.routing.close()
        await asyncio.to_thread(self.journal.close)


class _Server(uvicorn.Server):
    """Ours are the signal handlers: the library's would end the process by the signal, not with exit code 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _library_logs() -> Iterator[None]:
    """What uvicorn and asyncio report becomes lines of our log."""
    lines, loggers = LogLines(), [logging.getLogger(name) for name in ("uvicorn.error", "asyncio")]
    for logger in loggers:
        logger.addHandler(lines)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(lines)
            logger.propagate = True
