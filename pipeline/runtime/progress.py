"""Progress of long work, reported a step at a time."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]
"""Called once a step with a short description of where the training is."""
