"""What a stage learns of a file's rows while suites are run: which are put aside, why, and which rules failed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import LINE
from pipeline.validation.expectations import CRITICAL, ROW, SUITES, Rule, RuleResult, Suite

RESULTS = "results.json"
_SHOWN = 100


@dataclass
class TableCheck:
    """A table's rows and what the suites run so far found of them. Law: a row is named in `reasons` or it is kept.

    `where` is the column that names a row, by default by its line.
    """

    rows: pd.DataFrame
    rule_results: list[RuleResult] = field(default_factory=list)
    reasons: dict[int, list[str]] = field(default_factory=dict)
    where: str = LINE

    def record(self, rule_results: Iterable[RuleResult], table: pd.DataFrame) -> None:
        """Take in the results of a suite on a table; rows that break a row rule of it are put aside."""
        for result in rule_results:
            self.rule_results.append(result)
            if result.rule.severity == ROW and result.failures:
                self._put_aside(result, table)

    def _put_aside(self, result: RuleResult, table: pd.DataFrame) -> None:
        about = f"{result.rule.column}_of"
        partner = dict(zip(table[self.where], table[about], strict=True)) if about in table.columns else {}
        for failure in result.failures:
            row = int(failure.where)
            # A prompt's text would outlive its erasure in the fates.
            detail = partner.get(row) or ("" if result.rule.column == "prompt" else _show(failure.value))
            reason = f"{result.rule.name} ({detail})" if detail else result.rule.name
            reasons = self.reasons.setdefault(row, [])
            if reason not in reasons:
                reasons.append(reason)

    @property
    def kept(self) -> pd.DataFrame:
        return self.rows[~self.rows[self.where].isin(self.reasons)].reset_index(drop=True)

    @property
    def quarantined(self) -> pd.DataFrame:
        return self.rows[self.rows[self.where].isin(self.reasons)].reset_index(drop=True)

    def failed(self, severity: str) -> list[RuleResult]:
        return [found for found in self.rule_results if found.rule.severity == severity and not found.success]

    def results(self, suites: Mapping[str, Suite]) -> list[dict[str, object]]:
        """A line for each rule; `success` is null where the stage stopped before the rule was run."""
        found = {result.rule.name: result for result in self.rule_results}
        return [_result(rule, found.get(rule.name)) for suite in suites.values() for rule in suite.rules]

    def stop_at_critical(self, details: str) -> None:
        """Raises InputError for the first critical rule that failed; `details` names where more stands."""
        for result in self.failed(CRITICAL):
            raise InputError(
                f"rule '{result.rule.name}' failed: {observed(result)}. {result.rule.why.rstrip('.')} "
                f"(limits: {SUITES / result.rule.suite}.json; details: {details})"
            )


def _result(rule: Rule, result: RuleResult | None) -> dict[str, object]:
    facts: dict[str, object] = {"rule": rule.name, "suite": rule.suite, "severity": rule.severity, "why": rule.why}
    if result is None:
        return {**facts, "success": None, "observed": None, "unexpected": None}
    unexpected = len(result.failures)
    return {**facts, "success": result.success, "observed": result.observed, "unexpected": unexpected}


def observed(result: RuleResult) -> str:
    """What failed a rule, in a piece of one line."""
    if not result.failures:
        return f"observed {_show(result.observed)}"
    shown = ", ".join(f"{failure.where}: {_show(failure.value)}" for failure in result.failures[:3])
    return f"{len(result.failures)} unexpected, {shown}" + (", ..." if len(result.failures) > 3 else "")


def _show(value: object) -> str:
    """A value as a short piece of one line; nothing where there is none."""
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
