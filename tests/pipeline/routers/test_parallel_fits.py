"""Fits beside each other: what ends one of them ends in a line."""

from __future__ import annotations

from concurrent.futures.process import BrokenProcessPool

import pytest
import torch

from pipeline.routers.parallel_fits import fit_all
from pipeline.runtime.errors import SwitchtenderError
from pipeline.runtime.progress import Progress


@pytest.mark.parametrize("raised", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), BrokenProcessPool()])
def test_want_of_memory_is_told_with_what_to_do(raised: Exception) -> None:
    def fit(progress: Progress | None) -> None:
        raise raised

    with pytest.raises(SwitchtenderError, match=r"for want of memory .* lower batch_size, max_tokens or threads"):
        fit_all([fit], ["fold 1"], steps=1)
