"""What a stage learns of a file's rows while suites are judged: which are put aside, why, and which rules failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import LINE
from pipeline.validation.expectations import CRITICAL, ROW, SUITES, Judgement, Rule, Suite

RESULTS = "results.json"
_SHOWN = 100


@dataclass
class Hearing:
    """What is known of the rows while the suites are judged. Law: a row is named in `reasons` or it is kept.

    `where` is the column that names a row, by default by its line.
    """

    rows: pd.DataFrame
    judgements: list[Judgement] = field(default_factory=list)
    reasons: dict[int, list[str]] = field(default_factory=dict)
    where: str = LINE

    def take(self, judgements: Iterable[Judgement], table: pd.DataFrame) -> None:
        """Record judgements on a table; rows that break a row rule of it are put aside."""
        for judgement in judgements:
            self.judgements.append(judgement)
            if judgement.rule.severity == ROW and judgement.failures:
                self._put_aside(judgement, table)

    def _put_aside(self, judgement: Judgement, table: pd.DataFrame) -> None:
        about = f"{judgement.rule.column}_of"
        partner = dict(zip(table[self.where], table[about], strict=True)) if about in table.columns else {}
        for failure in judgement.failures:
            row = int(failure.where)
            # A prompt's text would outlive its erasure in the fates.
            detail = partner.get(row) or ("" if judgement.rule.column == "prompt" else _show(failure.value))
            reason = f"{judgement.rule.name} ({detail})" if detail else judgement.rule.name
            reasons = self.reasons.setdefault(row, [])
            if reason not in reasons:
                reasons.append(reason)

    @property
    def kept(self) -> pd.DataFrame:
        return self.rows[~self.rows[self.where].isin(self.reasons)].reset_index(drop=True)

    @property
    def quarantined(self) -> pd.DataFrame:
        return self.rows[self.rows[self.where].isin(self.reasons)].reset_index(drop=True)

    def failed(self, severity: str) -> list[Judgement]:
        return [found for found in self.judgements if found.rule.severity == severity and not found.success]

    def results(self, suites: Mapping[str, Suite]) -> list[dict[str, object]]:
        """A line for each rule; `success` is null where the stage stopped before the rule was judged."""
        found = {judgement.rule.name: judgement for judgement in self.judgements}
        return [_result(rule, found.get(rule.name)) for suite in suites.values() for rule in suite.rules]

    def stop_at_critical(self, details: str) -> None:
        """Raises InputError for the first critical rule that failed; `details` names where more stands."""
        for judgement in self.failed(CRITICAL):
            raise InputError(
                f"rule '{judgement.rule.name}' failed: {observed(judgement)}. {judgement.rule.why.rstrip('.')} "
                f"(limits: {SUITES / judgement.rule.suite}.json; details: {details})"
            )


def _result(rule: Rule, judgement: Judgement | None) -> dict[str, object]:
    facts: dict[str, object] = {"rule": rule.name, "suite": rule.suite, "severity": rule.severity, "why": rule.why}
    if judgement is None:
        return {**facts, "success": None, "observed": None, "unexpected": None}
    unexpected = len(judgement.failures)
    return {**facts, "success": judgement.success, "observed": judgement.observed, "unexpected": unexpected}


def observed(judgement: Judgement) -> str:
    """What failed a rule, in a piece of one line."""
    if not judgement.failures:
        return f"observed {_show(judgement.observed)}"
    shown = ", ".join(f"{failure.where}: {_show(failure.value)}" for failure in judgement.failures[:3])
    return f"{len(judgement.failures)} unexpected, {shown}" + (", ..." if len(judgement.failures) > 3 else "")


def _show(value: object) -> str:
    """A value as a short piece of one line; nothing where there is none."""
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
