"""The registered model, from code: MLflow runs this file to load a version.

It imports the installed `pipeline` package, so that two versions in one process do not share the first one's
code; the router's folder carries a format number, and a format that this release does not read is refused.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException

import mlflow
from pipeline.data.prompt_text import fault_in_prompt
from pipeline.routers.systems import open_router
from pipeline.versions.key_at_hand import check_if_possible


class AgentRouter(mlflow.pyfunc.PythonModel):
    """Prompts in (column `prompt`), the chosen agents and every agent's probability out."""

    def load_context(self, context: Any) -> None:
        """Raises VerificationFailed where a public key is at hand and the files are not what was signed."""
        folder = Path(context.artifacts["router"])
        if unproved := check_if_possible(folder, Path(context.artifacts["signature"])):
            warnings.warn(f"the router's signature was not checked: {unproved}", stacklevel=2)
        self.router = open_router(folder / "model")

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """One row a prompt, in order.

        Raises:
            MlflowException: a row holds no prompt; MLflow's server answers 400.
        """
        predictions = self.router.predict(prompts_in(model_input))
        names = predictions.candidates
        agents = ["|".join(n for n, hit in zip(names, row, strict=True) if hit) for row in predictions.chosen]
        scores = {name: predictions.quality[:, c].astype("float64") for c, name in enumerate(names)}
        return pd.DataFrame({"agents": agents, **scores})


def prompts_in(frame: pd.DataFrame) -> list[str]:
    """The prompts of a frame's rows; nothing is made text that was none.

    Raises:
        MlflowException: names the first row that holds no prompt, and why.
    """
    cells = list(frame["prompt"])
    # MLflow makes one row with a list in its cell of {"prompt": [a, b]}, which is two prompts.
    if len(cells) == 1 and isinstance(cells[0], list) and cells[0]:
        cells = list(cells[0])
    for row, cell in enumerate(cells, start=1):
        if fault := fault_in_prompt(cell):
            raise MlflowException.invalid_parameter_value(f"prompt {row}: {fault}")
    return [str(cell) for cell in cells]


mlflow.models.set_model(AgentRouter())
