"""Word sent to local stubs of a webhook and a mail server: once a thing and place, noted, and never fatal."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows.notifications import sending
from flows.notifications.sending import MOST_TRIES, notify, notify_params, notify_quietly, send_test, sent
from flows.workspace.night_log import FAILED, logged
from flows.workspace.project import Project
from pipeline.runtime.errors import ParamsError
from pipeline.runtime.track import MODELS

SETTINGS: dict[str, Any] = {
    "to": ["env:WORD"], "events": ["night failed", "gate closed"], "champion_days": 30, "suspects": 0,
    "prefect_block": "", "registry_webhook": "",
}  # fmt: skip


class Webhook(HTTPServer):
    """Takes POSTs of JSON, or refuses all of them."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.refuses = False
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if not hook.refuses:
                    hook.got.append(json.loads(body))
                self.send_response(500 if hook.refuses else 200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)


class MailServer(socketserver.ThreadingTCPServer):
    """Takes one letter a connection, as SMTP has it."""

    def __init__(self) -> None:
        self.letters: list[str] = []
        server = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(b"220 stub\r\n")
                while line := self.rfile.readline().decode().strip():
                    if line.upper() == "DATA":
                        self.wfile.write(b"354 go on\r\n")
                        server.letters.append("".join(iter(lambda: self.rfile.readline().decode(), ".\r\n")))
                    self.wfile.write(b"221 bye\r\n" if line.upper() == "QUIT" else b"250 ok\r\n")

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with Webhook() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with MailServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def project(tmp_path: Path, webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose night failed, with the webhook to hear of it."""
    monkeypatch.setenv("WORD", f"json://user:hunter2@127.0.0.1:{webhook.server_port}/hook")
    settings(tmp_path)
    project = Project(tmp_path)
    fail(project, "no space")
    return project


def settings(root: Path, **changes: Any) -> None:
    (root / "params.yaml").write_text(yaml.safe_dump({"notify": SETTINGS | changes}))


def fail(project: Project, reason: str) -> None:
    with logged(project) as entry:
        entry.ended(FAILED, reason)


def test_a_thing_is_told_once(project: Project, webhook: Webhook) -> None:
    assert [one.error for one in notify(project)] == [""]
    assert notify(project) == []
    (got,) = webhook.got
    assert "failed" in got["title"]
    assert got["message"].startswith("no space.")
    fail(project, "another reason")
    assert len(notify(project)) == 1


def test_what_was_sent_is_noted_without_the_address(project: Project) -> None:
    notify(project)
    (one,) = sent(project)
    assert (one.event, one.to, one.error) == ("night failed", "env:WORD", "")
    assert "hunter2" not in (project.var / "notifications.jsonl").read_text()


def test_a_place_that_refuses_is_tried_again_and_not_for_ever(project: Project, webhook: Webhook) -> None:
    webhook.refuses = True
    assert [bool(one.error) for one in notify(project)] == [True]
    webhook.refuses = False
    assert [one.error for one in notify(project)] == [""]
    fail(project, "another reason")
    webhook.refuses = True
    for _ in range(MOST_TRIES + 2):
        notify(project)
    assert sum(bool(one.error) for one in sent(project)) == 1 + MOST_TRIES


def test_one_place_that_is_gone_costs_the_other_nothing(
    project: Project, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GONE", "json://127.0.0.1:9/hook")
    settings(project.root, to=["env:GONE", "env:WORD"])
    assert [(one.to, bool(one.error)) for one in notify(project)] == [("env:GONE", True), ("env:WORD", False)]
    assert len(webhook.got) == 1


@pytest.mark.parametrize("address", ["carrier-pigeon://roof", ""])
def test_one_place_that_cannot_be_used_costs_the_other_nothing(
    project: Project, webhook: Webhook, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("BAD", address)
    settings(project.root, to=["env:BAD", "env:WORD"])
    with pytest.raises(ParamsError, match="env:BAD"):
        notify(project)
    assert len(webhook.got) == 1


def test_a_place_that_never_ends_its_answer_is_left_and_not_asked_again_at_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(project.on(MODELS), "no space either")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(sending, "_PATIENCE_SECONDS", 0.5)
        monkeypatch.setenv("WORD", f"json://127.0.0.1:{silent.getsockname()[1]}/hook?rto=30")
        assert [one.error for one in notify(project)] == ["it takes too long to answer"]
        assert len(sent(project)) == 1


def test_of_two_who_send_at_once_the_second_waits_and_repeats_nothing(project: Project, webhook: Webhook) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert sorted(len(found.result()) for found in [pool.submit(notify, project) for _ in range(2)]) == [0, 1]
    assert len(webhook.got) == 1


@pytest.mark.parametrize("line", ['{"at": 1, "event": [], "thing": {}, "title": "", "to": ""}', "[1]", "\0", '"a"'])
def test_a_damaged_record_costs_no_word(project: Project, line: str) -> None:
    (project.var / "notifications.jsonl").write_text(line + "\n")
    assert len(notify(project)) == 1
    assert notify(project) == []


def test_a_letter_reaches_a_mail_server(project: Project, mail: MailServer, monkeypatch: pytest.MonkeyPatch) -> None:
    port = mail.server_address[1]
    monkeypatch.setenv("WORD", f"mailto://127.0.0.1:{port}?from=night@example.org&to=duty@example.org&mode=insecure")
    assert [one.error for one in notify(project)] == [""]
    (letter,) = mail.letters
    assert "To: duty@example.org" in letter
    assert "failed" in letter


@pytest.mark.parametrize(
    ("to", "value", "said"),
    [
        ("env:UNSET", None, "env:UNSET is not set or empty; export it"),
        ("json://127.0.0.1/hook", None, "the address is named, not written"),
        ("env:json://user:hunter2@127.0.0.1/hook", None, "the address is named, not written"),
        ("file:nowhere.txt", None, "file:nowhere.txt cannot be read"),
        ("env:WORD", "carrier-pigeon://roof", "env:WORD holds no address that Apprise knows"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told_and_stops_no_night(
    project: Project, monkeypatch: pytest.MonkeyPatch, to: str, value: str | None, said: str
) -> None:
    if value:
        monkeypatch.setenv("WORD", value)
    settings(project.root, to=[to])
    with pytest.raises(ParamsError, match=said):
        notify(project)
    heard: list[str] = []
    notify_quietly(project, heard.append)
    assert len(heard) == 1
    assert said in heard[0]
    assert "hunter2" not in heard[0]


def test_an_unknown_event_is_told(project: Project) -> None:
    settings(project.root, events=["nigth failed"])
    with pytest.raises(ParamsError, match="unknown 'nigth failed'; known are night failed, gate closed"):
        notify_params(project)


def test_a_test_message_goes_out_each_time(project: Project, webhook: Webhook) -> None:
    for _ in range(2):
        send_test(project)
    assert [got["title"] for got in webhook.got] == ["Switchtender: a test message"] * 2
    settings(project.root, to=[])
    with pytest.raises(ParamsError, match="names no place"):
        send_test(project)
