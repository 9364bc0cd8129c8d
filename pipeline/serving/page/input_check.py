"""Values that no control of the page sends: told in the notice of their event, where Gradio answers 500 and a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.data.prompt_text import fault_in_text
from pipeline.runtime.errors import InputError, as_piece


@dataclass(frozen=True)
class Unusable:
    """What a handler's binding is given for each value of an event where one of them cannot be used."""

    reason: str


def require_usable(values: Sequence[Any]) -> None:
    """Stop an event whose values cannot be used.

    Raises:
        InputError: says why.
    """
    for value in values:
        if isinstance(value, Unusable):
            raise InputError(value.reason)


def checked_blocks(**options: Any) -> Any:
    """Gradio's Blocks, which reads an event's values as `Unusable` where Gradio cannot or must not read them."""
    import gradio as gr

    class CheckedBlocks(gr.Blocks):  # type: ignore[misc]
        async def preprocess_data(self, block_fn: Any, inputs: list[Any], *rest: Any, **named: Any) -> list[Any]:
            try:
                for block, value in zip(block_fn.inputs, inputs, strict=False):
                    # Gradio makes a text of whatever is sent: a list would be routed as its brackets and quotes.
                    if isinstance(block, gr.Textbox) and value is not None and (fault := fault_in_text(value)):
                        raise gr.Error(fault)
                read: list[Any] = await super().preprocess_data(block_fn, inputs, *rest, **named)
                return read
            except gr.Error as error:
                reason = f"a value cannot be used: {as_piece(str(error.message))[:200]}"
            except Exception:
                reason = "a value cannot be used: it is of another kind than the page sends; load the page again"
            return [Unusable(reason) for _ in block_fn.inputs]

    return CheckedBlocks(**options)
