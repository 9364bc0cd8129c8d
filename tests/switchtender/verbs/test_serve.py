"""`switchtender serve` before it answers: which settings it takes, and which it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_service import fit_small

from pipeline.runtime.errors import InputError
from pipeline.serving.engine.settings import ServeParams
from switchtender.verbs.serve import ServeOptions, serve


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fit_small(tmp_path_factory.mktemp("routers") / "1")


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"host": "0.0.0.0"}, "no keys are configured"),
        ({"host": "no.such.host.invalid"}, "cannot be listened on"),
        ({"host": "127.0.0..1"}, "cannot be listened on"),
        ({"version": "3"}, "--from names a folder, --version and --track a registered version"),
        ({"track": "models"}, "--from names a folder, --version and --track a registered version"),
        ({"keys": "env:NOT_SET_AT_ALL"}, "holds no key"),
        ({"keys": "secret"}, "named, not written: env:NAME or file:PATH"),
        ({"keys": "file:nowhere.txt"}, "nowhere.txt cannot be read"),
        ({"upstreams": "nowhere.yaml"}, "nowhere.yaml is missing"),
    ],
)
def test_a_setting_that_cannot_be_used_stops_the_start(
    router: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refused:
        serve(folder=router, port=0, no_page=True, **said)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_options_override_settings_and_the_rest_stays() -> None:
    params = ServeParams(port=1234, poll_seconds=9.0, log_prompts=True)
    assert ServeOptions().over(params) == params
    changed = ServeOptions(host="::1", port=0, keys="env:A", no_page=True).over(params)
    assert (changed.host, changed.port, changed.keys, changed.page) == ("::1", 0, "env:A", False)
    assert changed.poll_seconds == 9.0
