"""`aptitude run`: a language model answers a sheet, at a price that is told before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from switchtender.show import print_json, say

if TYPE_CHECKING:
    from pipeline.data.prices import Priced
    from pipeline.onboarding.settings import AptitudeRunParams
    from pipeline.onboarding.test_run import Estimate, Sat


@dataclass(frozen=True)
class RunOptions:
    """What the command line says; what it leaves out (None, or empty) is as params.yaml has it."""

    endpoint: str
    key: str
    per_minute: float | None
    max_tokens: int | None
    prices: Path | None
    input_price: float | None
    output_price: float | None
    yes: bool


def run_sheet(model: str, sheet: Path, out: Path, options: RunOptions, as_json: bool) -> None:
    """Say what asking may cost, and with `yes` ask.

    Raises:
        InputError: without `yes`; or a setting, the sheet or the file of answers cannot be used.
        SwitchtenderError: the endpoint does not answer, or refused some prompts.
        HeldByAnotherRun: another process adds answers to the same file.
    """
    from pipeline.onboarding.answers_file import AnswerFile, answered_in
    from pipeline.onboarding.chat_client import Asking
    from pipeline.onboarding.endpoint import endpoint_of
    from pipeline.onboarding.test_run import estimate, read_sheet, sit
    from pipeline.runtime.errors import InputError

    root = _root()
    params = _params(root, options)
    endpoint, rows, price = endpoint_of(params, model, root or Path()), read_sheet(sheet), _price(model, options, root)
    before = answered_in(out, rows.columns, model, rows.prompts)
    asked = estimate(rows.without(before), params.max_tokens, price)
    if not as_json:
        _print_estimate(asked, len(before), params, model)
    if asked.prompts and not options.yes:
        if as_json:
            print_json(_estimated(asked, len(before)))
        raise InputError("nothing was asked yet; to spend that, run it again with --yes")
    with AnswerFile(out, rows.columns) as file, Asking(endpoint, params) as asking, _bar(asked.prompts) as bar:
        sat = sit(rows, file, asking, price, bar.update)
    _print(sat, asked, len(rows.by_id), out, as_json)


def _root() -> Path | None:
    """The project's folder, or None outside of one: the verb works there too."""
    from flows.workspace.project import find_project
    from pipeline.runtime.errors import InputError

    try:
        return find_project().root
    except InputError:
        return None


def _params(root: Path | None, options: RunOptions) -> AptitudeRunParams:
    from pipeline.onboarding.settings import AptitudeRunParams
    from pipeline.runtime.params import read

    given: dict[str, Any] = {
        "endpoint": options.endpoint or None,
        "key": options.key or None,
        "per_minute": options.per_minute,
        "max_tokens": options.max_tokens,
    }
    known = read("aptitude_run", AptitudeRunParams, root / "params.yaml") if root else AptitudeRunParams()
    return known.model_copy(update={name: value for name, value in given.items() if value is not None})


def _price(model: str, options: RunOptions, root: Path | None) -> Priced | None:
    """What was told, else the price file's; None where nobody knows.

    Raises:
        InputError: only one of the two prices is given, or the file that was named does not know the model.
    """
    from pipeline.data.prices import PRICES_FILE, Priced, read_prices
    from pipeline.runtime.errors import InputError

    if (options.input_price is None) != (options.output_price is None):
        raise InputError("--input-price and --output-price belong together, in USD per million tokens; give both")
    if options.input_price is not None and options.output_price is not None:
        return Priced(name="told", usd_per_million_in=options.input_price, usd_per_million_out=options.output_price)
    if options.prices:
        return read_prices(options.prices).of(model)
    own = root / PRICES_FILE if root else PRICES_FILE
    return read_prices(own).by_name.get(model) if own.is_file() else None


def _bar(total: int) -> Any:
    from tqdm import tqdm

    from pipeline.runtime.stage import shows_progress

    return tqdm(desc="aptitude", unit="prompt", total=total, disable=not shows_progress(), leave=False)


def _print_estimate(asked: Estimate, answered: int, params: AptitudeRunParams, model: str) -> None:
    from pipeline.evaluation.recommendation_text import usd

    if answered:
        say(f"{answered} prompts are answered already")
    if not asked.prompts:
        return
    minutes = asked.prompts / params.per_minute
    say(f"{asked.prompts} prompts to ask {model}, about {asked.tokens} tokens, {minutes:.0f} minutes or more")
    if asked.prompts_usd is None:
        say(f"cost     unknown: no price of {model} (--input-price and --output-price, or --prices, tell it)")
    elif asked.most_usd is None:
        say(f"cost     prompts {usd(asked.prompts_usd)}; answers without limit (--max-tokens sets one)")
    else:
        say(
            f"cost     prompts {usd(asked.prompts_usd)}; with answers at most {usd(asked.most_usd)} "
            f"({params.max_tokens} tokens each)"
        )


def _estimated(asked: Estimate, answered: int) -> dict[str, Any]:
    return {
        "answered_before": answered,
        "to_ask": asked.prompts,
        "prompt_tokens": asked.tokens,
        "prompts_usd": asked.prompts_usd,
        "most_usd": asked.most_usd,
    }


def _print(sat: Sat, asked: Estimate, of: int, out: Path, as_json: bool) -> None:
    """How it went.

    Raises:
        SwitchtenderError: some prompts were refused.
    """
    from pipeline.evaluation.recommendation_text import usd
    from pipeline.runtime.errors import SwitchtenderError

    if as_json:
        facts = {"answered": sat.answered, "of": of, "graded": sat.graded, "refused": dict(sat.refused), "usd": sat.usd}
        print_json({**_estimated(asked, sat.answered - sat.asked + len(sat.refused)), **facts, "results": str(out)})
    else:
        say(f"{sat.answered} of {of} prompts are answered: {out}")
        say(f"graded   {sat.graded}; {sat.answered - sat.graded} wait for somebody to fill in their quality")
        if sat.usd is not None and sat.asked:
            say(f"cost     {usd(sat.usd)} by the endpoint's own token counts")
    if sat.refused:
        name, reason = next(iter(sat.refused.items()))
        raise SwitchtenderError(
            f"{len(sat.refused)} prompts were refused, first '{name}' ({reason}); run it again, "
            "or import the rest with --partial"
        )
