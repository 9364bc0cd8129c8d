"""What a saved router keeps of the prompts that it learnt from, beside its weights."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.encoders.engine_files import ENGINE, TRAINING_ROWS


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
