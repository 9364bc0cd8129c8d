"""The registered model through MLflow's own doors: in Python, and over its scoring server."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.scoring_server import init
from sandbox import ROOT
from small_service import AGENTS, fit_small

import mlflow
from flows.registry.mlflow_store import MODEL_FILE
from flows.registry.registration import signature_of
from pipeline.runtime.errors import VerificationFailed
from pipeline.versions.key_at_hand import PUBLIC_KEY
from pipeline.versions.signing import Signer, SigningParams, make_key

A, B = "translate this to german", "join two tables in sql"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small router as a night registers one."""
    place = tmp_path_factory.mktemp("model")
    fit_small(place / "router" / "model")
    make_key(place / "key.pem", place / "key.pub")
    by_key = SigningParams(method="key", private_key="key.pem", public_key="key.pub", identity="", oidc_issuer="")
    Signer(by_key, place).sign(place / "router", place / "router.sig")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            place / "saved", python_model=str(ROOT / MODEL_FILE),
            artifacts={"router": str(place / "router"), "signature": str(place / "router.sig")},
            signature=signature_of(AGENTS), pip_requirements=[],
        )  # fmt: skip
    return place / "saved"


@pytest.fixture(scope="module")
def model(saved: Path) -> Any:
    with pytest.MonkeyPatch.context() as environment, warnings.catch_warnings():
        environment.setenv(PUBLIC_KEY, str(saved.parent / "key.pub"))
        warnings.simplefilter("ignore")
        return mlflow.pyfunc.load_model(str(saved))


def frame(*cells: Any) -> pd.DataFrame:
    return pd.DataFrame({"prompt": pd.Series(list(cells), dtype=object)})


@pytest.mark.parametrize(
    "given",
    [
        pd.DataFrame({"prompt": [A, B]}),
        {"prompt": [A, B]},
        {"prompt": np.array([A, B])},
        [{"prompt": A}, {"prompt": B}],
        pd.Series([A, B], name="prompt"),
        pd.DataFrame({"prompt": [A, B], "of no interest": [1, 2]}, index=[7, 9]),
    ],
    ids=["frame", "columns", "arrays", "records", "series", "other index"],
)
def test_two_prompts_have_the_same_answers_in_every_shape(model: Any, given: Any) -> None:
    alone = pd.concat([model.predict({"prompt": text}) for text in (A, B)], ignore_index=True)
    pd.testing.assert_frame_equal(model.predict(given), alone)


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        (None, "an empty cell is none"),
        (float("nan"), "an empty cell is none"),
        (pd.NA, "an empty cell is none"),
        ("", "the prompt is empty"),
        (" \n", "the prompt is empty"),
        ([A, B], "a value of type list is none"),
        ({"text": A}, "a value of type dict is none"),
        (A.encode(), "a value of type bytes is none"),
        (7, "a value of type int is none"),
        ("a\0", "NUL"),
    ],
)
def test_what_is_no_prompt_is_refused_by_its_place(model: Any, cell: Any, why: str) -> None:
    with pytest.raises(MlflowException, match=f"prompt 2: .*{why}"):
        model.predict(frame(A, cell))


def test_half_a_surrogate_pair_is_refused(model: Any) -> None:
    with pytest.raises(MlflowException, match="surrogate"):
        model.predict(frame("a\ud800"))


@pytest.mark.parametrize("given", [frame(None), frame([]), frame([A, None]), frame(["", A]), frame([[A, B]])])
def test_a_single_row_is_held_to_the_same_rule(model: Any, given: pd.DataFrame) -> None:
    with pytest.raises(MlflowException, match="prompt"):
        model.predict(given)


def test_the_scoring_server_answers_400_for_what_is_no_prompt(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")  # set by the server, which leaves it set
    client = TestClient(init(model))

    def post(content: Any) -> Any:
        return client.post("/invocations", json=content)

    expected = json.loads(model.predict(frame(A, B)).to_json(orient="records"))
    for shape in (
        {"dataframe_records": [{"prompt": A}, {"prompt": B}]},
        {"dataframe_split": {"columns": ["prompt"], "data": [[A], [B]]}},
        {"inputs": {"prompt": [A, B]}},
        {"instances": [{"prompt": A}, {"prompt": B}]},
    ):
        answer = post(shape)
        assert answer.status_code == 200, answer.text
        assert [row["agents"] for row in answer.json()["predictions"]] == [row["agents"] for row in expected]
        assert [row["sql"] for row in answer.json()["predictions"]] == pytest.approx([row["sql"] for row in expected])
    for cell in (None, "", [A, B], 3, True, {"a": A}):
        shapes: list[dict[str, Any]] = [
            {"dataframe_records": [{"prompt": A}, {"prompt": cell}]},
            {"dataframe_split": {"columns": ["prompt"], "data": [[A], [cell]]}},
            {"inputs": {"prompt": [A, cell]}},
        ]
        # Of `instances` MLflow makes a NumPy array first, in which a number beside texts is a text.
        shapes += [] if isinstance(cell, int) else [{"instances": [{"prompt": A}, {"prompt": cell}]}]
        for shape in shapes:
            assert post(shape).status_code == 400, (shape, post(shape).text)


def test_it_says_so_where_nobody_looked_at_the_signature(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(saved)
    with pytest.warns(UserWarning, match="signature was not checked: no public key is at hand"):
        mlflow.pyfunc.load_model(str(saved))


def test_what_is_not_signed_by_the_key_at_hand_is_not_loaded(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PUBLIC_KEY, str(saved.parent / "key.pub"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        mlflow.pyfunc.load_model(str(saved))
    changed = shutil.copytree(saved, tmp_path / "changed")
    with (changed / "artifacts" / "router" / "model" / "router.json").open("a") as file:
        file.write(" ")
    with pytest.raises(VerificationFailed, match=r"router.json is changed"):
        mlflow.pyfunc.load_model(str(changed))
