"""The one protocol behind which every routing system lives, and the abilities that some have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.encoders.engine_files import ENGINE, TRAINING_ROWS
from pipeline.encoders.quantised import MakeInt8
from pipeline.encoders.windows import Embedding
from pipeline.learning.augmentation import AugmentationTrial
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices, Values

if TYPE_CHECKING:
    import pandas as pd


LEARNT = "learnt"


@dataclass(frozen=True)
class Predictions:
    """What a router expects of n prompts and c candidates, and what its policy chose.

    `quality` is float32 [n, c], calibrated, in 0..1; `cost` is float64 [n, c] in USD, NaN where unknown;
    `chosen` is bool [n, c], without any in a row where nothing may be chosen. `operating` is what quality - lambda x
    cost would choose, with the lambda that was chosen in train; None where none was. `error` is the standard error of
    each quality, float64 [n, c]; None where the policy does not ask for it. `learnt` says from which prompts the router
    learnt, bool [n]; None where that is not known.
    """

    candidates: tuple[str, ...]
    quality: FloatMatrix
    cost: Values
    chosen: Binary
    operating: Binary | None = None
    error: Values | None = None
    learnt: Binary | None = None

    def table(self, prompt_ids: Sequence[str]) -> pd.DataFrame:
        """A row a prompt and candidate: `prompt_id, candidate, score, cost, chosen[, learnt]` (0 or 1)."""
        import pandas as pd

        n, c = self.quality.shape
        told = {} if self.learnt is None else {LEARNT: np.repeat(self.learnt.astype(np.int64), c)}
        return pd.DataFrame(
            {
                "prompt_id": np.repeat(np.asarray(prompt_ids, dtype=object), c),
                "candidate": np.tile(np.asarray(self.candidates, dtype=object), n),
                "score": self.quality.reshape(-1).astype(np.float64).round(6),
                "cost": self.cost.reshape(-1).round(12),
                "chosen": self.chosen.reshape(-1).astype(np.int64),
                **told,
            }
        )


def gathered(parts: Sequence[tuple[Indices, Predictions]]) -> Predictions:
    """Predictions of parts, each with the rows that they are for, as one; the rows together are 0 to n - 1."""
    order = np.argsort(np.concatenate([rows for rows, _ in parts]), kind="stable")
    made = [predictions for _, predictions in parts]
    operating = [each.operating for each in made if each.operating is not None]
    errors = [each.error for each in made if each.error is not None]
    return Predictions(
        made[0].candidates,
        np.concatenate([each.quality for each in made])[order],
        np.concatenate([each.cost for each in made])[order],
        np.concatenate([each.chosen for each in made])[order],
        np.concatenate(operating)[order] if len(operating) == len(made) else None,
        np.concatenate(errors)[order] if len(errors) == len(made) else None,
    )


@dataclass(frozen=True)
class Fitted:
    """What a fit expects of each row by folds that did not see it; NaN where no fold holds a row out.

    `held_out` is the quality, float32 [n, c], calibrated, in 0..1, `cost` float64 [n, c] in USD, `error` the standard
    error of each quality, float64 [n, c], where the system tells one of graded outcomes; `int8` is the quality with the
    encoder in int8, float32 [n, c], where that was asked for.
    """

    held_out: FloatMatrix
    cost: Values
    error: Values | None
    int8: FloatMatrix | None


@dataclass(frozen=True)
class CrossFitScores:
    """Scores float32 [n, c] of each row from a fit that did not see its fold, NaN for rows of fold -1.

    `error` float64 [n, c] is what those fits say of how far off each may be, where the system tells it; a policy that
    doubts is chosen on that. `int8` are the scores with the encoder in int8, where that was asked for.
    """

    scores: FloatMatrix
    int8: FloatMatrix | None = None
    error: Values | None = None


class Scorer(Protocol):
    """What differs from one routing system to the next: prompts in, one score a candidate out.

    On labels a score is a logit; on graded outcomes it is an expected quality. `embedding` turns prompts to
    vectors, and may be exchanged for the ONNX encoder, which in int8 differs within `optimize.max_loss`; it is None for
    a system that needs none.
    `training_material` names every file of `save` that keeps something of training prompts; none for weights alone.
    `learns_augmented` is False where augmented rows are left out of every fit.
    What else a scorer may be able to do stands below, an ability a protocol.
    """

    name: ClassVar[str]
    training_material: ClassVar[tuple[TrainingMaterial, ...]]
    learns_augmented: ClassVar[bool] = True
    embedding: Embedding | None = None

    def cross_fit(self, outcomes: Outcomes, folds: Indices, int8: MakeInt8 | None = None) -> CrossFitScores:
        """Scores of each row by folds. What is tuned (a penalty, say) is chosen here and kept for `fit`.

        `int8` makes an encoder's quantised form, to measure what it would cost; nothing comes of it without an encoder.
        """

    def fit(self, outcomes: Outcomes) -> None: ...

    def scores(self, prompts: Sequence[str], vectors: FloatMatrix) -> FloatMatrix:
        """Scores float32 [n, c] of prompts and their vectors [n, width] ([n, 0] without an embedding)."""

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


class Explanation(Protocol):
    """Why a prompt got its scores."""

    def to_json(self) -> dict[str, Any]:
        """As plain values."""


@runtime_checkable
class CanExplain(Protocol):
    """It says why a prompt gets its scores."""

    def explain(self, prompt: str, vector: FloatMatrix) -> Explanation:
        """Of one prompt and its vector float32 [width]."""


@runtime_checkable
class CanJoin(Protocol):
    """It takes in candidates from their outcomes alone, without a refit."""

    def join(self, outcomes: Outcomes) -> None:
        """Add candidates; nothing that is stored of another candidate changes.

        `outcomes.candidates` are the known ones in their order, then the new ones.

        Raises:
            InputError: they are not, or a new one was never tried.
        """


@runtime_checkable
class CountsEpochs(Protocol):
    """It trains by steps, in epochs."""

    epochs: int

    def steps(self, outcomes: Outcomes, folds: Indices) -> int:
        """The most training steps that `cross_fit` and `fit` take together, for a progress bar."""


@runtime_checkable
class TriesAugmentation(Protocol):
    """`cross_fit` finds out whether other wordings and augmented rows help; `fit` heeds it."""

    augmentation: AugmentationTrial | None
    """None where nothing was added, or nothing is fitted yet."""


@runtime_checkable
class KnowsUncertainty(Protocol):
    """Of graded outcomes it tells how far off each expected quality may be; so does its `cross_fit`."""

    def uncertainty(self, prompts: Sequence[str], vectors: FloatMatrix) -> Values:
        """The standard error of each quality that `scores` gives of the same arguments, float64 [n, c]."""


@runtime_checkable
class DetectsNewPrompts(Protocol):
    """It tells a prompt that is like none that it learnt from."""

    def is_new(self, prompts: Sequence[str], vectors: FloatMatrix) -> Binary:
        """Which prompts match no known task, bool [n]."""


@dataclass(frozen=True)
class TrainingMaterial:
    """A file of a router's folder that keeps vectors, words, digests or places of training prompts; `keeps` says which.

    A version's files are signed as a whole, so that no row can be cut out of one: erasing a row removes the file.
    Without a file that is `needed` the router answers no more. Weights are no material: they are learnt from all rows,
    and no file of weights is erased.
    """

    file: str
    keeps: str
    needed: bool = True


TRAINING_INDEX = TrainingMaterial(f"{ENGINE}/{TRAINING_ROWS}", "a vector, the id and the label of each prompt", False)
"""What answers lead back to, beside every router that has an encoder. Without it a version still answers."""
