"""A candidate takes the test: what that may cost, and every prompt of a sheet asked that was not answered before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.cells import texts
from pipeline.data.prices import MILLION, Priced
from pipeline.onboarding.answers_file import AnswerFile, Row
from pipeline.onboarding.aptitude_sheet import ITEM, REFERENCE
from pipeline.onboarding.chat_client import ChatAnswer, ChatClient, PromptRefused
from pipeline.onboarding.graded_answers import grade
from pipeline.routers.base.cost_model import tokens_in
from pipeline.runtime.errors import SwitchtenderError
from pipeline.runtime.tables import read_table

_SHEET_COLUMNS = (ITEM, "prompt_id", "prompt", "task", "keywords", "grading", REFERENCE)
_ANSWER_COLUMNS = ("quality", "cost", "answer", "whole", "tokens_in", "tokens_out", "model")
_REFUSALS_TO_STOP_AT = 3
"""So many refusals before any answer say that the fault is not the prompts'."""


@dataclass(frozen=True)
class CostEstimate:
    """What asking may cost in USD: the prompts about `prompts_usd`, with the longest answers at most `most_usd`.

    None where the price, or for the second the length of answers, is not known.
    """

    prompts: int
    tokens: int
    prompts_usd: float | None
    most_usd: float | None


@dataclass(frozen=True)
class AptitudeRunResult:
    """What answering a sheet came to: prompts asked, answers in the file, those graded by rule or a person, refusals
    with their reasons, and what the endpoint's own token counts cost in USD (None where no price is known).
    """

    asked: int
    answered: int
    graded: int
    refused: Mapping[str, str]
    usd: float | None


@dataclass(frozen=True)
class SheetRows:
    """The prompts of a sheet by id, each with what the sheet says of it, and the columns of the file of answers."""

    by_id: Mapping[str, Row]
    columns: tuple[str, ...]

    @property
    def prompts(self) -> dict[str, str]:
        return {name: row["prompt"] for name, row in self.by_id.items()}

    def without(self, answered: Mapping[str, str]) -> list[Row]:
        return [row for name, row in self.by_id.items() if name not in answered]


def read_sheet(path: Path) -> SheetRows:
    """Read a sheet that `export` wrote; what is filled in there is passed over.

    Raises:
        TableError: see `read_table`.
    """
    frame = read_table(path, required=("prompt_id", "prompt"))
    columns = [name for name in _SHEET_COLUMNS if name in frame.columns]
    cells = [texts(frame, name, path, filled=name in ("prompt_id", "prompt")) for name in columns]
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*cells, strict=True)]
    return SheetRows({row["prompt_id"]: row for row in rows}, (*columns, *_ANSWER_COLUMNS))


def estimate(rows: list[Row], max_tokens: int, price: Priced | None) -> CostEstimate:
    """What asking some rows of a sheet may cost; `max_tokens` is the longest answer, 0 without a limit."""
    tokens = int(tokens_in([row["prompt"] for row in rows]).sum()) if rows else 0
    if price is None:
        return CostEstimate(len(rows), tokens, None, None)
    prompts_usd = tokens * price.usd_per_million_in / MILLION
    answers_usd = len(rows) * max_tokens * price.usd_per_million_out / MILLION
    return CostEstimate(len(rows), tokens, prompts_usd, prompts_usd + answers_usd if max_tokens else None)


def answer_sheet(
    sheet: SheetRows,
    file: AnswerFile,
    client: ChatClient,
    price: Priced | None,
    advance: Callable[[], object] = lambda: None,
) -> AptitudeRunResult:
    """Ask what is missing in the file and add each answer to it; `advance` is called after each prompt.

    Raises:
        SwitchtenderError: the endpoint refuses everything or does not answer; what was answered is kept.
    """
    model = client.endpoint.model
    before = file.answered(model, sheet.prompts)
    graded, usd = sum(bool(quality) for quality in before.values()), 0.0
    refused: dict[str, str] = {}
    todo = sheet.without(before)
    for number, row in enumerate(todo, start=1):
        try:
            answer = client.ask(row["prompt"])
        except PromptRefused as error:
            refused[row["prompt_id"]] = str(error)
            if number == len(refused) == _REFUSALS_TO_STOP_AT and not before:
                raise SwitchtenderError(f"every prompt is refused ({error}); check the model's name") from error
        else:
            cost = _usd(answer, price)
            usd += cost or 0.0
            file.add(_answered(row, answer, cost, model))
            graded += bool(_quality(row, answer))
        advance()
    answered = len(before) + len(todo) - len(refused)
    return AptitudeRunResult(len(todo), answered, graded, refused, None if price is None else usd)


def _quality(row: Row, answer: ChatAnswer) -> str:
    """The grade by rule, or empty; an answer that was cut off may have gone on to be right."""
    found = grade(answer.text, row.get(REFERENCE, ""), row.get("grading", "")) if answer.is_whole else None
    return "" if found is None else f"{found:g}"


def _usd(answer: ChatAnswer, price: Priced | None) -> float | None:
    """What an answer cost; None where the price or its tokens are not known."""
    if price is None or answer.tokens_in is None or answer.tokens_out is None:
        return None
    return (answer.tokens_in * price.usd_per_million_in + answer.tokens_out * price.usd_per_million_out) / MILLION


def _answered(row: Row, answer: ChatAnswer, cost: float | None, model: str) -> Row:
    """The sheet's row with the answer, its grade and its cost: a row of the file of answers."""
    return {
        **row,
        "quality": _quality(row, answer),
        "cost": "" if cost is None else f"{cost:.9g}",
        "answer": answer.text,
        "whole": str(int(answer.is_whole)),
        "tokens_in": "" if answer.tokens_in is None else str(answer.tokens_in),
        "tokens_out": "" if answer.tokens_out is None else str(answer.tokens_out),
        "model": model,
    }
