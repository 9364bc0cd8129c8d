"""Feedback on an answer, checked and as it is written to the journal."""

from __future__ import annotations

from typing import Any

from pipeline.runtime.errors import InputError, suggestion
from pipeline.serving.engine.log import timestamp
from pipeline.serving.http.request_routing import RememberedAnswer, asked_by
from pipeline.serving.http.schemas import FeedbackRequest


def feedback_entry(said: FeedbackRequest, remembered: RememberedAnswer | None) -> dict[str, Any]:
    """One line of feedback.jsonl. An answer that is remembered is checked against; another one is taken as it is.

    Raises:
        InputError: that answer had no such index, or a right agent is none of its candidates.
    """
    if remembered is not None:
        _require_fitting(said, remembered)
    judgement = {"right": said.right, "rating": said.rating, "accepted": said.accepted}
    return {
        "at": timestamp(),
        "request_id": said.request_id,
        "index": said.index,
        "by": asked_by.get(),
        "matched": remembered is not None,
        "version": remembered.version if remembered else None,
        **{name: value for name, value in judgement.items() if value is not None},
        **({"note": said.note} if said.note else {}),
    }


def _require_fitting(said: FeedbackRequest, remembered: RememberedAnswer) -> None:
    """Refuse feedback on a prompt that the answer did not have, or that names none of its candidates."""
    if said.index >= remembered.prompts:
        raise InputError(f"index {said.index} is out of range; that request had {remembered.prompts} prompts, from 0")
    for name in said.right or ():
        if name not in remembered.candidates:
            hint = suggestion(name, remembered.candidates, "GET /v1/agents lists them")
            raise InputError(f"right: '{name[:60]}' was no candidate of version {remembered.version}; {hint}")
