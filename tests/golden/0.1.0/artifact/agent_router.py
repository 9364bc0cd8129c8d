"""The registered model, from code: MLflow runs this file to load a version.

It imports the installed `pipeline` package, so that two versions in one process do not share the first one's
code; the router's folder carries a format number, and a format that this release does not read is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

import mlflow
from pipeline.routers.systems import open_router


class AgentRouter(mlflow.pyfunc.PythonModel):
    """Prompts in (column `prompt`), the chosen agents and every agent's probability out."""

    def load_context(self, context: Any) -> None:
        self.router = open_router(Path(context.artifacts["router"]) / "model")

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        predictions = self.router.predict([str(text) for text in model_input["prompt"]])
        names = predictions.candidates
        agents = ["|".join(n for n, hit in zip(names, row, strict=True) if hit) for row in predictions.chosen]
        scores = {name: predictions.quality[:, c].astype("float64") for c, name in enumerate(names)}
        return pd.DataFrame({"agents": agents, **scores})


mlflow.models.set_model(AgentRouter())
