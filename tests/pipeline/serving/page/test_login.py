"""The page's door: who gets in, for how long, and what it asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from pipeline.serving.http.auth import ApiKeys
from pipeline.serving.page import login
from pipeline.serving.page.login import Login

ANA, BEN = "ana-k8s7d6f5g4h3j2k1", "ben-q1w2e3r4t5y6u7i8"
PEOPLE = f"ana {ANA} route\nben.z {BEN} review\n"


def door(folder: Path, people: str = PEOPLE) -> TestClient:
    """A page that tells who is in, as a service makes it at its start."""
    (folder / "people").write_text(people)
    app = FastAPI(openapi_url=None)

    @app.api_route("/ui/{rest:path}", methods=["GET", "POST"])
    def seen(request: Request) -> Any:
        return PlainTextResponse(request.state.visitor)

    app.add_middleware(Login, path="/ui", keys=ApiKeys.read("file:people", folder))
    return TestClient(app, base_url="http://127.0.0.1:8400", headers={"Accept": "text/html"})


def enter(client: TestClient, name: str, key: str, at: str = "/ui/") -> Any:
    return client.post(at, data={"name": name, "key": key}, follow_redirects=False)


def test_it_names_the_product_and_what_it_wants(tmp_path: Path) -> None:
    client = door(tmp_path)
    asked = client.get("/ui/models")
    assert asked.status_code == 401
    for said in ("<title>Log in – Switchtender</title>", "<h1>Switchtender</h1>", "Name <input", "Key <input"):
        assert said in asked.text
    assert client.get("/ui/config", headers={"Accept": "application/json"}).text == "log in again"


@pytest.mark.parametrize(("name", "key"), [("ana", "wrong"), ("ana", BEN), ("ben", ANA), ("", ""), ("a\0", ANA)])
def test_nobody_else_gets_in(tmp_path: Path, name: str, key: str) -> None:
    client = door(tmp_path)
    answer = enter(client, name, key)
    assert answer.status_code == 401
    assert "do not belong together" in answer.text
    assert not answer.headers.get("set-cookie")
    assert client.post("/ui/gradio_api/run/predict", json={"fn_index": 0}).status_code == 401


def test_who_logs_in_comes_to_what_was_asked_for_and_stays_over_a_restart(tmp_path: Path) -> None:
    client = door(tmp_path)
    answer = enter(client, "ben.z", BEN, "/ui/models?__theme=dark")
    assert (answer.status_code, answer.headers["location"]) == (303, "./models?__theme=dark")
    for part in ("HttpOnly", "Path=/ui", "SameSite=lax"):
        assert part in answer.headers["set-cookie"]
    assert BEN not in answer.headers["set-cookie"]
    assert client.get("/ui/").text == "ben.z"
    restarted = door(tmp_path)
    restarted.cookies = client.cookies
    assert restarted.get("/ui/").text == "ben.z"
    assert restarted.get("/ui/logout", follow_redirects=False).status_code == 303
    assert restarted.get("/ui/").status_code == 401


def test_a_log_in_ends_with_its_key_with_its_time_and_with_any_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = door(tmp_path)
    enter(client, "ana", ANA)
    ((cookie, value),) = client.cookies.items()
    forgeries = (
        value.replace("ana", "ben%2Ez"), value[:-1] + ("0" if value[-1] != "0" else "1"), "ana..", "", "é",
        f"x.{'9' * 5000}", "ana.99999999999.é",
    )  # fmt: skip
    for other in forgeries:
        forged = door(tmp_path)
        assert forged.get("/ui/", headers={"Cookie": f"{cookie}={other}".encode()}).status_code == 401, other
    changed = door(tmp_path, PEOPLE.replace(ANA, ANA + "x"))
    changed.cookies = client.cookies
    assert changed.get("/ui/").status_code == 401
    assert client.get("/ui/").text == "ana"
    later = login.time.time() + login.SECONDS + 1
    monkeypatch.setattr(login.time, "time", lambda: later)
    assert client.get("/ui/").status_code == 401


def test_the_way_back_never_leads_to_another_site(tmp_path: Path) -> None:
    for at in ("/ui//elsewhere.example", "/ui/https:%2F%2Felsewhere.example"):
        assert enter(door(tmp_path), "ana", ANA, at).headers["location"].startswith("./")
