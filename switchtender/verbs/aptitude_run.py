"""`aptitude run`: a language model answers a sheet, at a price that is told before."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.runtime.errors import InputError, SwitchtenderError
from switchtender.options import Json, finite
from switchtender.show import print_json, progress_bar, say

if TYPE_CHECKING:
    from pipeline.data.prices import Priced
    from pipeline.onboarding.aptitude_run import AptitudeRunResult, CostEstimate
    from pipeline.onboarding.chat_client import AptitudeRunParams
    from pipeline.runtime.plain import JsonObject

app = typer.Typer()


@app.command(
    epilog="Example: switchtender aptitude run --endpoint https://api.example.org/v1 --key env:EXAMPLE_KEY "
    "--model new-model --sheet sheet.csv --out results.csv --yes"
)
def run(
    model: Annotated[str, typer.Option("--model", help="What the endpoint calls the model.")],
    sheet: Annotated[Path, typer.Option("--sheet", help="A sheet that `export` wrote.")],
    out: Annotated[
        Path, typer.Option("--out", help="The .csv or .jsonl of answers; one that is there is gone on with.")
    ],
    endpoint: Annotated[
        str,
        typer.Option("--endpoint", help="Its OpenAI-compatible address; else aptitude_run.endpoint in params.yaml."),
    ] = "",
    key: Annotated[str, typer.Option("--key", help="env:NAME or file:PATH of the API key.")] = "",
    per_minute: Annotated[
        float | None, typer.Option("--per-minute", min=0.01, callback=finite, help="At most so many prompts a minute.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=0, help="The longest answer; 0 sets no limit.")
    ] = None,
    prices: Annotated[
        Path | None, typer.Option("--prices", help="A price file that has the model; else data/prices.yaml.")
    ] = None,
    input_price: Annotated[
        float | None, typer.Option("--input-price", min=0.0, callback=finite, help="USD per million tokens of prompts.")
    ] = None,
    output_price: Annotated[
        float | None,
        typer.Option("--output-price", min=0.0, callback=finite, help="USD per million answer tokens."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Call the endpoint and spend; without it only the estimate is told.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Have a live model answer a sheet: the cost is told first, a break is gone on from, and safe grades are given."""
    root = _root()
    given = {"endpoint": endpoint or None, "key": key or None, "per_minute": per_minute, "max_tokens": max_tokens}
    params = _params(root, given)
    price = _price(model, prices, input_price, output_price, root)
    _answer(model, sheet, out, params, price, root, yes, as_json)


def _root() -> Path | None:
    """The project's folder, or None outside of one: the verb works there too."""
    from flows.workspace.project import find_project

    try:
        return find_project().root
    except InputError:
        return None


def _params(root: Path | None, given: Mapping[str, Any]) -> AptitudeRunParams:
    """What the command line gives, else the project's params.yaml, else the defaults."""
    from pipeline.onboarding.chat_client import AptitudeRunParams
    from pipeline.runtime.params import read

    known = read("aptitude_run", AptitudeRunParams, root / "params.yaml") if root else AptitudeRunParams()
    return known.model_copy(update={name: value for name, value in given.items() if value is not None})


def _price(
    model: str, prices: Path | None, input_price: float | None, output_price: float | None, root: Path | None
) -> Priced | None:
    """What was told, else the price file's; None where nobody knows.

    Raises:
        InputError: only one of the two prices is given, or the file that was named does not know the model.
    """
    from pipeline.data.prices import PRICES_FILE, Priced, read_prices

    if (input_price is None) != (output_price is None):
        raise InputError("--input-price and --output-price belong together, in USD per million tokens; give both")
    if input_price is not None and output_price is not None:
        return Priced(name="told", usd_per_million_in=input_price, usd_per_million_out=output_price)
    if prices:
        return read_prices(prices).of(model)
    own = root / PRICES_FILE if root else PRICES_FILE
    return read_prices(own).by_name.get(model) if own.is_file() else None


def _answer(
    model: str,
    sheet: Path,
    out: Path,
    params: AptitudeRunParams,
    price: Priced | None,
    root: Path | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Say what asking may cost, and with `yes` ask.

    Raises:
        InputError: without `yes`; or a setting, the sheet or the file of answers cannot be used.
        SwitchtenderError: the endpoint does not answer, or refused some prompts.
        HeldByAnotherRun: another process adds answers to the same file.
    """
    from pipeline.onboarding.answers_file import AnswerFile, answered_in
    from pipeline.onboarding.aptitude_run import answer_sheet, estimate, read_sheet
    from pipeline.onboarding.chat_client import ChatClient, endpoint_of

    endpoint, rows = endpoint_of(params, model, root or Path()), read_sheet(sheet)
    before = answered_in(out, rows.columns, model, rows.prompts)
    asked = estimate(rows.without(before), params.max_tokens, price)
    if not as_json:
        _print_estimate(asked, len(before), params, model)
    if asked.prompts and not yes:
        if as_json:
            print_json(_estimated(asked, len(before)))
        raise InputError("nothing was asked yet; to spend that, run it again with --yes")
    with (
        AnswerFile(out, rows.columns) as file,
        ChatClient(endpoint, params) as client,
        progress_bar("aptitude", "prompt", asked.prompts) as bar,
    ):
        result = answer_sheet(rows, file, client, price, bar.update)
    _print(result, asked, len(rows.by_id), out, as_json)


def _print_estimate(asked: CostEstimate, answered: int, params: AptitudeRunParams, model: str) -> None:
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


def _estimated(asked: CostEstimate, answered: int) -> JsonObject:
    return {
        "answered_before": answered,
        "to_ask": asked.prompts,
        "prompt_tokens": asked.tokens,
        "prompts_usd": asked.prompts_usd,
        "most_usd": asked.most_usd,
    }


def _print(result: AptitudeRunResult, asked: CostEstimate, of: int, out: Path, as_json: bool) -> None:
    """How it went.

    Raises:
        SwitchtenderError: some prompts were refused.
    """
    from pipeline.evaluation.recommendation_text import usd

    if as_json:
        facts = {
            "answered": result.answered,
            "of": of,
            "graded": result.graded,
            "refused": dict(result.refused),
            "usd": result.usd,
        }
        print_json(
            {**_estimated(asked, result.answered - result.asked + len(result.refused)), **facts, "results": str(out)}
        )
    else:
        say(f"{result.answered} of {of} prompts are answered: {out}")
        say(f"graded   {result.graded}; {result.answered - result.graded} wait for somebody to fill in their quality")
        if result.usd is not None and result.asked:
            say(f"cost     {usd(result.usd)} by the endpoint's own token counts")
    if result.refused:
        name, reason = next(iter(result.refused.items()))
        raise SwitchtenderError(
            f"{len(result.refused)} prompts were refused, first '{name}' ({reason}); run it again, "
            "or import the rest with --partial"
        )
