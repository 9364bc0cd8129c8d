"""New rows of data/prompts.csv held against the rules of the stage `validate`, before anything is written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.workspace.project import Project
from pipeline.data.agents import AGENTS_FILE, read_agents
from pipeline.data.dataset import DATASET
from pipeline.data.forgetting import forgotten_rows
from pipeline.data.holdout import read_holdout
from pipeline.runtime.tables import LINE, read_table, write_text
from pipeline.validation import derived_outcome_tables
from pipeline.validation import derived_prompt_tables as tables
from pipeline.validation.expectations import CRITICAL, SUITES, Rule, RuleResult, SuiteRunner, read_suites
from pipeline.validation.prompt_table import ValidationParams, check_table
from pipeline.validation.quarantine import TableCheck, observed


@dataclass(frozen=True)
class RefusedRow:
    """A row that `validate` would put aside: where it stands, by which rule, what was found, and what to do."""

    where: str
    prompt_id: str
    rule: str
    found: str
    mend: str


class RowCheck:
    """The suites of a project, run on its table with new rows at the end; `folder` is for what the run leaves.

    Raises on making: InputError where a suite, the agents, the holdout or the settings cannot be used.
    """

    def __init__(self, project: Project, folder: Path) -> None:
        self._table = folder / DATASET.name
        suites = read_suites(
            tables.TABLES, tables.TABLES_WITH_LINES, project.root / SUITES, derived_outcome_tables.OUTCOME_TABLES
        )
        self.rules = {rule.name: rule for suite in suites.values() for rule in suite.rules}
        self._runner = SuiteRunner(suites, folder / "gx", folder / "docs")
        self._taxonomy = [agent.name for agent in read_agents(project.root / AGENTS_FILE)]
        self._holdout = read_holdout(project.root / project.holdout)
        self._forgotten = {digest for _, digest in forgotten_rows(project.root)}
        self._params = project.params("validate", ValidationParams)

    def run(self, before: str, after: str, new_rows: Sequence[tuple[str, str]]) -> tuple[list[RefusedRow], list[str]]:
        """What `validate` would put aside of the new rows, and what rules of the whole table they would break.

        `before` and `after` are the table's text without and with them; `new_rows` has
        the id of each and where it stands.

        Raises:
            InputError: the table is malformed, or a rule could not be evaluated.
        """
        lines, checked = self.table(after)
        if checked.rows.empty:
            checked.stop_at_critical(str(DATASET))
        new = dict(zip(lines[len(lines) - len(new_rows) :], new_rows, strict=True))
        refused = list(self._refused(checked, new))
        return refused, [] if refused else self._newly_broken(checked, before)

    def table(self, text: str) -> tuple[list[int], TableCheck]:
        """The line of each row of a table, and what the suites say of it; raises as `run`."""
        write_text(text, self._table)
        rows = read_table(self._table)
        return list(rows[LINE]), check_table(
            rows, self._runner, self._taxonomy, self._holdout, self._forgotten, self._params
        )

    def _refused(self, checked: TableCheck, new: Mapping[int, tuple[str, str]]) -> Iterator[RefusedRow]:
        def told(line: re.Match[str]) -> str:
            return new[int(line[1])][1] if int(line[1]) in new else f"line {line[1]} of {DATASET}"

        for line, (prompt_id, where) in new.items():
            for reason in checked.reasons.get(line, ()):
                name, _, found = reason.partition(" (")
                found = re.sub(r"\bline (\d+)\b", told, found.removesuffix(")"))
                yield RefusedRow(where, prompt_id, name, found, what_to_do(self.rules[name]))

    def _newly_broken(self, checked: TableCheck, before: str) -> list[str]:
        """Critical rules that the table keeps without the new rows and breaks with them.

        A table that lacks rows is filled row by row; what it lacks already is no fault of those that join.
        """
        failed = checked.failed(CRITICAL)
        if not failed or len(before.splitlines()) < 2:
            return []
        known = {place for result in self.table(before)[1].failed(CRITICAL) for place in _places(result)}
        return [
            f"rule '{result.rule.name}' would stop the night: {observed(result)}. {result.rule.why.rstrip('.')}"
            for result in failed
            if not set(_places(result)) <= known
        ]


def _places(result: RuleResult) -> Iterator[tuple[str, int | str]]:
    """Where a rule failed; one place for a rule about the whole."""
    for where in [failure.where for failure in result.failures] or [""]:
        yield result.rule.name, where


def what_to_do(rule: Rule) -> str:
    """What to do with a row that breaks a rule, as the end of a line."""
    told = (rule.mend or f"Mend the row, or leave it out. {rule.why}").rstrip(".")
    return told[:1].lower() + told[1:]
