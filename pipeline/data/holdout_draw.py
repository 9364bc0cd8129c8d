"""Drawing a holdout, once: iterative stratification (Sechidis et al., 2011)."""

from __future__ import annotations

import warnings

import numpy as np

from pipeline.data.folds import labels_of_groups, same_prompts
from pipeline.data.outcomes import Outcomes
from pipeline.runtime.errors import InputError


def draw_holdout(outcomes: Outcomes, share: float, minimum: int, seed: int, setting: str) -> tuple[str, ...]:
    """Draw a stratified holdout in which every candidate has at least `minimum` prompts that it is right for.

    `share` in 0..1 is how much of the prompts is held out, `setting` the name of `minimum` in params.yaml; the ids come
    sorted.

    Raises:
        InputError: a candidate has too few prompts for that.
    """
    from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

    groups = same_prompts(outcomes.prompts)
    labels = labels_of_groups(outcomes.quality, groups)
    if labels.shape[1] == 1:  # the stratifier takes a single column for a class, not a label
        labels = np.hstack([labels, ~labels])
    for attempt in range(200 if len(labels) > 1 else 0):
        splitter = MultilabelStratifiedShuffleSplit(1, test_size=share, random_state=seed + attempt)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, chosen = next(splitter.split(np.zeros(len(labels)), labels.astype(int)))
        if (labels[chosen].sum(axis=0)[: len(outcomes.candidates)] >= minimum).all():
            drawn = np.isin(groups, chosen)
            return tuple(sorted(np.array(outcomes.prompt_ids, dtype=object)[drawn]))
    right = labels.sum(axis=0)[: len(outcomes.candidates)]
    least = outcomes.candidates[int(right.argmin())]
    raise InputError(
        f"no draw gives every candidate {minimum} holdout prompts ({least} has {int(right.min())} in all); "
        f"add prompts or lower {setting}"
    )
