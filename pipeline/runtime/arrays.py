"""Names of the array types that many rooms pass around; a shape stands in each docstring, [rows, columns]."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatMatrix = npt.NDArray[np.float32]
"""Vectors and qualities: float32, mostly [prompts, candidates]."""
Values = npt.NDArray[np.float64]
"""Figures that are computed with: float64."""
Binary = npt.NDArray[np.bool_]
"""Truths, choices and masks: bool."""
Indices = npt.NDArray[np.int64]
"""Rows, columns or counts: int64."""
