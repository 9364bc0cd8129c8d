"""The type of what makes an encoder's int8 form, for as long as its held-out rows are scored."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from pipeline.encoders.windows import TextEncoder

if TYPE_CHECKING:
    from pipeline.encoders.sentence_encoder import SentenceEncoder

MakeInt8 = Callable[["SentenceEncoder"], AbstractContextManager[TextEncoder]]
