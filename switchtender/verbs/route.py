"""`route`: the agents of a prompt, or its language model, and what speaks for the choice."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.data.prompt_text import fault_in_prompt
from pipeline.runtime.errors import InputError
from pipeline.runtime.text import counted, to_digits
from switchtender.options import Json, RouterFolder, TrackOption, VersionOption
from switchtender.router_source import CHAMPION, name_of, refuse_both, router_source
from switchtender.show import print_json, print_table, say, warn_of_language

if TYPE_CHECKING:
    from flows.status import RouterSource
    from pipeline.policies.policy import Policy
    from pipeline.routers.base.protocol import Predictions
    from pipeline.routers.calibrated import CalibratedRouter

app = typer.Typer()
_SHOWN = 8


@app.command(epilog='Example: switchtender route "Translate this contract into German and email it to Ana"')
def route(
    prompt: Annotated[str, typer.Argument(help="The prompt; - reads it from standard input.")],
    as_json: Json = False,
    version: VersionOption = CHAMPION,
    folder: RouterFolder = None,
    why: Annotated[bool, typer.Option("--why", help="What speaks for the choice, where the system can say.")] = False,
    track: TrackOption = "",
) -> None:
    """Which agents, or which language model, answer a prompt, with the score of each."""
    from pipeline.routers.systems import open_router

    refuse_both(folder, version, track)
    text = _asked(prompt)
    with router_source(version, folder, track) as (place, source):
        _print_choice(open_router(place), text, name_of(source, folder), source, as_json, why)


def _asked(prompt: str) -> str:
    """The prompt as it was given, or what stands on stdin."""
    try:
        # As bytes: Python may put halves of surrogate pairs in the place of what is not UTF-8.
        text = sys.stdin.buffer.read().decode("utf-8") if prompt == "-" else prompt
    except UnicodeDecodeError as error:
        raise InputError("the prompt is not UTF-8; send it as UTF-8") from error
    if fault := fault_in_prompt(text):
        raise InputError(fault)
    return text


def _print_choice(
    router: CalibratedRouter, text: str, title: str, source: RouterSource, as_json: bool, why: bool
) -> None:
    from pipeline.policies.policy import below_threshold

    predictions = router.predict([text])
    below = bool(below_threshold(router.policy, predictions.quality, predictions.chosen)[0])
    evidence = router.explain(text) if why else None
    (language,) = router.unsupported_languages([text]) or [None]
    ranked = sorted(
        zip(predictions.candidates, predictions.quality[0], predictions.chosen[0], strict=True), key=lambda r: -r[1]
    )
    if as_json:
        scores = {name: round(float(score), 6) for name, score, _ in ranked}
        said: dict[str, Any] = {"policy": _facts(router.policy, predictions.candidates)}
        said |= {"usd": usd} if (usd := _known_costs(predictions, router)) else {}
        said |= {"unsupported_language": language} if language else {}
        said |= {"why": evidence} if why else {}
        agents = [name for name, _, hit in ranked if hit]
        print_json({"agents": agents, "below_threshold": below, "scores": scores, **said, **vars(source)})
        return
    _print_scores(title, predictions, router)
    if below:
        say("No agent reaches its threshold; the likeliest is chosen, since each prompt needs one.")
    if language:
        warn_of_language("the prompt seems", language)
    if why:
        _print_evidence(evidence, [name for name, _, _ in sorted(ranked, key=lambda row: not row[2])], source)


def _known_costs(predictions: Predictions, router: CalibratedRouter) -> dict[str, float]:
    """What each model is expected to cost for the prompt, USD; of agents nothing is told."""
    if router.calibration is not None:
        return {}
    every = zip(predictions.candidates, predictions.cost[0].tolist(), strict=True)
    return {name: value for name, value in every if math.isfinite(value)}


def _print_scores(title: str, predictions: Predictions, router: CalibratedRouter) -> None:
    """What is chosen, then the likeliest agents; or the best models, with what each is expected to cost and the policy
    that weighed them.
    """
    from switchtender.report_tables import cost

    quality, spent, chosen = (part[0].tolist() for part in (predictions.quality, predictions.cost, predictions.chosen))
    order = sorted(range(len(quality)), key=lambda place: (not chosen[place], -quality[place]))[:_SHOWN]
    rows = [["*" if chosen[place] else "", predictions.candidates[place], quality[place]] for place in order]
    facts = _facts(router.policy, predictions.candidates)
    if router.calibration is not None:  # learnt from labels
        columns = ["", "agent", "score"]
        if "thresholds" in facts and not facts.get("exactly_one"):
            columns, rows = [*columns, "threshold"], [[*row, facts["thresholds"][row[1]]] for row in rows]
        print_table(title, columns, rows)
        _say_others(len(quality), "agent")
        return
    if any(map(math.isfinite, spent)):
        rows = [[*row, cost(spent[place])] for row, place in zip(rows, order, strict=True)]
    print_table(title, ["", "model", "score", "USD"][: len(rows[0])], rows)
    _say_others(len(quality), "model")
    kind = facts.pop("kind")
    told = ", ".join(f"{name} {to_digits(v) if isinstance(v, float) else v}" for name, v in facts.items())
    say(f"Chosen by the policy {kind}{f' ({told})' if told else ''}.")


def _say_others(count: int, noun: str) -> None:
    if count > _SHOWN:
        say(f"{counted(count - _SHOWN, f'less likely {noun}')} not shown; --json tells all.")


def _facts(policy: Policy, candidates: Sequence[str]) -> dict[str, Any]:
    """The policy's kind, then its figures; thresholds and a pair by the candidates' names."""
    facts = policy.to_json()
    if "thresholds" in facts:
        facts["thresholds"] = dict(zip(candidates, facts["thresholds"], strict=True))
    return facts | {name: candidates[facts[name]] for name in ("strong", "weak") if name in facts}


def _print_evidence(evidence: dict[str, Any] | None, ranked: list[str], source: RouterSource) -> None:
    """In the words of the system."""
    if evidence is None:
        # A version was registered with an index of what it learnt from; a folder has none.
        more = "; its service tells the nearest prompts of train (POST /v1/route)" if source.version else ""
        say(f"This system cannot say more than its scores, as `tags`, `tasks` and `aptitude` can{more}.")
    elif "reference" in evidence:
        _print_tags(evidence, ranked)
    else:
        _print_tasks(evidence, ranked)


def _print_tasks(evidence: dict[str, Any], ranked: list[str]) -> None:
    """The tasks that the prompt is taken for, and there the best candidate beside the next."""
    shown = ranked[:2]
    rows = [
        [
            f"{task['share']:.0%}",
            task["task"],
            ", ".join(task["phrases"][:4]),
            *(float(task["quality"][name]) for name in shown),
        ]
        for task in evidence["tasks"]
    ]
    if evidence["new"]:
        say("The prompt is like no task: graded outcomes give it each candidate's mean over all prompts.")
    title = "tasks that come nearest" if evidence["new"] else "tasks that the prompt is taken for"
    print_table(title, ["share", "task", "words that tell it apart", *shown], rows)


def _count(value: float) -> float:
    """Whole where it is; where the reference was not tried its expectation stands in, and counts are parts."""
    return int(value) if value == int(value) else round(value, 1)


def _print_tags(evidence: dict[str, Any], ranked: list[str]) -> None:
    """Of the best candidate beside the reference, what each tag of the prompt knows, the weightiest first."""
    best = next((name for name in ranked if name != evidence["reference"]), ranked[0])
    found = [(tag["tag"], cell) for tag in evidence["tags"] for cell in tag["candidates"] if cell["candidate"] == best]
    found.sort(key=lambda pair: -abs(pair[1]["contribution"]))
    rows = [
        [tag, *(_count(cell[name]) for name in ("wins", "ties", "losses")), f"{cell['contribution']:+.4f}"]
        for tag, cell in found
    ]
    title = f"{best} beside {evidence['reference']}, the reference, on train prompts with the same tags"
    print_table(title, ["tag", "wins", "ties", "losses", f"adds to {best}"], rows)
