"""The service of a project with a browser before it, for tests that do what a person does."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from sandbox import Sandbox

CHROMIUM = Path("/usr/bin/chromium")


@contextmanager
def page_of(project: Sandbox, *options: str) -> Iterator[str]:
    """Run `switchtender serve` on a free port until the block ends; gives the page's address when it is there.

    Nothing that the service's libraries would fetch gets out: whatever asks a proxy finds one that only notes it.
    """
    with _no_way_out() as asked:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
                patch.setenv(name, f"http://127.0.0.1:{asked.port}")
            process = project.start("serve", "--port", "0", "--json", *options)
        assert process.stdout is not None
        assert process.stderr is not None
        log: list[str] = []
        reader = threading.Thread(target=log.extend, args=(process.stderr,), daemon=True)
        reader.start()
        try:
            yield _address(process.stdout, log)
        finally:
            process.send_signal(signal.SIGTERM)
            ended = process.wait(60)
            process.stdout.close()
            reader.join()
    assert ended == 0, "".join(log)[-3000:]
    assert not asked.heard, f"the service asked for something beyond this machine: {asked.heard}"


def _address(events: Iterator[str], log: list[str]) -> str:
    for line in events:
        event = json.loads(line)
        if event["event"] == "page":
            return f"{event['address']}/"
    raise AssertionError("the service ended without a page: " + "".join(log)[-3000:])


class _Trap:
    def __init__(self, listening: socket.socket) -> None:
        self.listening = listening
        self.port = int(listening.getsockname()[1])
        self.heard: list[bytes] = []

    def run(self) -> None:
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.settimeout(5)
                self.heard.append(connection.recv(200))


@contextmanager
def _no_way_out() -> Iterator[_Trap]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        trap = _Trap(listening)
        threading.Thread(target=trap.run, daemon=True).start()
        yield trap


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, which the project's set-up installs."""
    assert CHROMIUM.exists(), f"{CHROMIUM} is missing; install it with 'make setup' or 'apt-get install chromium'"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """One person's browser. It notes every request, every dialog and every error of the page."""

    def __init__(self, browser: Browser, address: str, width: int = 1200) -> None:
        self.address = address
        self.context: BrowserContext = browser.new_context(viewport={"width": width, "height": 900})
        self.asked: list[str] = []
        self.faults: list[str] = []
        self.context.on("request", lambda request: self.asked.append(request.url))
        self.context.on("dialog", lambda dialog: self.faults.append(f"dialog: {dialog.message}"))
        self.context.on("weberror", lambda error: self.faults.append(f"error: {error.error}"))

    def log_in(self, name: str, key: str) -> None:
        """As a person does it, on the page that asks for it."""
        page = self.context.new_page()
        page.goto(self.address)
        self.fill_in(page, name, key)
        page.close()

    def fill_in(self, page: Page, name: str, key: str) -> None:
        """The form that is on show."""
        page.get_by_label("Name").fill(name)
        page.get_by_label("Key").fill(key)
        page.get_by_role("button", name="Log in").click()
        page.locator("#serving").wait_for()

    def open(self, tab: str = "Route", query: str = "") -> Page:
        """A new page, on one of its tabs."""
        page = self.context.new_page()
        page.goto(f"{self.address}{query}")
        page.locator("#serving").wait_for()
        if tab != "Route":
            page.get_by_role("tab", name=tab).click()
        return page

    def elsewhere(self) -> list[str]:
        """What was asked of any other machine."""
        return [url for url in self.asked if urlsplit(url).hostname not in ("127.0.0.1", None)]
