"""Rules about tables: suites under version control in, run by Great Expectations, plain results out.

The suites are Great Expectations' own JSON, one file a table; the `meta` of each expectation carries the
rule's name, its severity and why it is there. No other module knows Great Expectations.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shutil
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.runtime.errors import InputError
from pipeline.validation.data_docs import escape_results, make_offline

SUITES = Path("data/expectations")
ROW, CRITICAL, WARNING = "row", "critical", "warning"
_LABELS = ("rule", "severity", "why")


@dataclass(frozen=True)
class Rule:
    """One expectation of a suite, by the name that a curator reads. Law: no two rules share a name.

    A failed rule of severity `row` puts rows aside; a failed `critical` one stops the night; a `warning` is told.
    `mend` says what to do with a row that breaks it, where the suite does.
    """

    name: str
    suite: str
    severity: str
    why: str
    column: str
    mend: str = ""


@dataclass(frozen=True)
class Suite:
    """The rules for one table, in file order, and the JSON that Great Expectations reads."""

    name: str
    path: Path
    rules: tuple[Rule, ...]
    content: dict[str, Any]


@dataclass(frozen=True)
class Failure:
    """One value that failed, and where: what the table's index column holds there (a line, a name)."""

    where: int | str
    value: Any


@dataclass(frozen=True)
class RuleResult:
    """How a table fared under one rule; `observed` is what a whole-table rule measured, else None."""

    rule: Rule
    success: bool
    observed: Any
    failures: tuple[Failure, ...]


def read_suites(
    tables: Iterable[str], with_lines: Iterable[str], folder: Path = SUITES, others: Iterable[str] = ()
) -> dict[str, Suite]:
    """Read the suite of each table, in the order of `tables`; rules of severity `row` belong to those `with_lines`.

    `others` are tables that another stage judges, whose suites may stand beside.

    Raises:
        InputError: a suite is missing, malformed or of no known table, a rule lacks its name, severity or reason,
            or two rules share a name.
    """
    known = tuple(tables)
    every = (*known, *others)
    for path in sorted(folder.glob("*.json")):
        if path.stem not in every:
            raise InputError(f"{path} judges no known table; known are {', '.join(every)}: rename or remove it")
    suites = {name: _read_suite(name, folder / f"{name}.json") for name in known}
    rules = [rule for suite in suites.values() for rule in suite.rules]
    names = [rule.name for rule in rules]
    row_tables = tuple(with_lines)
    for rule in rules:
        if names.count(rule.name) > 1:
            raise InputError(f"{folder} has two rules named '{rule.name}'; rename one")
        if rule.severity == ROW and rule.suite not in row_tables:
            raise InputError(
                f"{suites[rule.suite].path}: rule '{rule.name}' judges no rows of a file; make it {CRITICAL}"
            )
    return suites


def _read_suite(name: str, path: Path) -> Suite:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rules = tuple(_rule(name, entry, path) for entry in content["expectations"])
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is missing or unreadable; restore it with git checkout") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not an expectation suite ({error!r}); restore it with git checkout") from error
    if content.get("name") != name:
        raise InputError(f"{path}: the suite's name is {content.get('name')!r}; make it '{name}'")
    return Suite(name, path, rules, content)


def _rule(suite: str, entry: dict[str, Any], path: Path) -> Rule:
    meta, kwargs = entry.get("meta", {}), entry["kwargs"]
    for label in _LABELS:
        if not meta.get(label):
            raise InputError(f"{path}: {entry['type']} has no meta.{label}; give it a rule name, a severity and why")
    if meta["severity"] not in (ROW, CRITICAL, WARNING):
        raise InputError(
            f"{path}: rule '{meta['rule']}' has severity '{meta['severity']}'; use {ROW}, {CRITICAL} or {WARNING}"
        )
    columns = kwargs.get("column_list") or [""]
    return Rule(
        meta["rule"], suite, meta["severity"], meta["why"], kwargs.get("column", columns[-1]), meta.get("mend", "")
    )


class SuiteRunner:
    """Great Expectations with a file context of its own, made anew; `write_docs` renders all that was run.

    Raises:
        InputError: Great Expectations refuses an expectation of a suite.
    """

    def __init__(self, suites: Mapping[str, Suite], context: Path, docs: Path) -> None:
        self._suites = suites
        self._docs = docs
        self._results = context / "gx" / "uncommitted" / "validations"
        shutil.rmtree(context, ignore_errors=True)
        context.mkdir(parents=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._context = _open_context(context, docs)
            self._definitions = {suite.name: _define(self._context, suite) for suite in suites.values()}

    def run(
        self, name: str, frame: pd.DataFrame, where: str | None = None, parameters: Mapping[str, Any] | None = None
    ) -> list[RuleResult]:
        """Run the suite of a table; one result a rule, in the suite's order.

        `where` is the column that tells where a failing value stands. `parameters` fill the suite's $PARAMETERs.

        Raises:
            InputError: a rule could not be evaluated.
        """
        suite = self._suites[name]
        wanted = {"result_format": "COMPLETE", **({"unexpected_index_column_names": [where]} if where else {})}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                answer = self._definitions[name].run(
                    batch_parameters={"dataframe": frame},
                    expectation_parameters=dict(parameters or {}),
                    result_format=wanted,
                    run_id=_run_id(),
                )
            except _refusals() as error:
                raise InputError(f"{suite.path} cannot be evaluated ({_one_line(error)}); mend it") from error
        found: dict[str, Any] = {_meta(item)["rule"]: item for item in answer.results}
        return [_rule_result(rule, found[rule.name], where, suite.path) for rule in suite.rules]

    def write_docs(self) -> Path:
        """Render the suites and results as HTML that needs no network; returns the first page."""
        shutil.rmtree(self._docs, ignore_errors=True)
        escape_results(self._results)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._context.build_data_docs()
        return make_offline(self._docs)


def _open_context(folder: Path, docs: Path) -> Any:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    context: Any = gx.get_context(mode="file", project_root_dir=folder)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    for site in context.get_site_names():
        context.delete_data_docs_site(site)
    store = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(docs.resolve())}
    index = {"class_name": "DefaultSiteIndexBuilder"}
    site = {
        "class_name": "SiteBuilder",
        "store_backend": store,
        "site_index_builder": index,
        "show_how_to_buttons": False,
    }
    context.add_data_docs_site("prompts", site)
    return context


def _define(context: Any, suite: Suite) -> Any:
    import great_expectations as gx

    try:
        built = gx.ExpectationSuite(**suite.content)
    except _refusals() as error:
        raise InputError(f"{suite.path}: {_one_line(error)}; mend it") from error
    if len(built.expectations) != len(suite.rules):
        accepted = {_meta(expectation)["rule"] for expectation in built.expectations}
        refused = next(rule.name for rule in suite.rules if rule.name not in accepted)
        raise InputError(f"{suite.path}: rule '{refused}' has an unknown type of expectation; mend it")
    source = context.data_sources.add_or_update_pandas(suite.name)
    batch = source.add_dataframe_asset(suite.name).add_batch_definition_whole_dataframe(suite.name)
    definition = gx.ValidationDefinition(name=suite.name, data=batch, suite=context.suites.add_or_update(built))
    return context.validation_definitions.add_or_update(definition)


def _rule_result(rule: Rule, item: Any, where: str | None, path: Path) -> RuleResult:
    result: dict[str, Any] = item.to_json_dict()["result"]
    counted = int(result.get("unexpected_count") or 0)
    if not result or (not item.success and not counted and "observed_value" not in result):
        raise InputError(f"{path}: rule '{rule.name}' cannot be evaluated ({_why(item.exception_info)}); mend it")
    listed = result.get("unexpected_index_list") or []
    if len(listed) != counted:
        raise InputError(f"{path}: rule '{rule.name}' found {counted} values and placed {len(listed)}; mend it")
    observed = result.get("observed_value")
    if isinstance(observed, float) and not math.isfinite(observed):
        raise InputError(f"{path}: rule '{rule.name}' measured {observed}; give it a table with rows")
    failures = tuple(Failure(entry[str(where)], entry.get(rule.column)) for entry in listed)
    return RuleResult(rule, bool(item.success) and not failures, observed, failures)


def _meta(item: Any) -> dict[str, Any]:
    """The `meta` of an expectation, or of the expectation that a result answers."""
    meta: dict[str, Any] = getattr(item, "expectation_config", item).meta
    return meta


def _why(exception_info: dict[str, Any]) -> str:
    for entry in [exception_info, *(value for value in exception_info.values() if isinstance(value, dict))]:
        if entry.get("exception_message"):
            return " ".join(str(entry["exception_message"]).split())[:160]
    return "no result"


def _run_id() -> Any:
    from great_expectations.core import RunIdentifier

    return RunIdentifier(run_name="validate")


def _refusals() -> tuple[type[Exception], ...]:
    from great_expectations.compatibility import pydantic
    from great_expectations.exceptions.exceptions import GreatExpectationsError

    return GreatExpectationsError, pydantic.ValidationError, ValueError, TypeError, KeyError


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
