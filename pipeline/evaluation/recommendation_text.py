"""From the figures of a comparison to one plain sentence: one model, a mixture or a router."""

from __future__ import annotations

from typing import Any

import numpy as np

Facts = dict[str, Any]

MARGIN = 0.005
"""A router that may be this much worse, but no more, counts as being as good."""


def verdict(facts: Facts) -> tuple[str, str]:
    """`one`, `mixture`, `router` or `none`, and the sentence that says so, from the facts of `recommend`."""
    return _for_quality(facts) if facts["budget_usd"] is None else _within_budget(facts)


def _for_quality(facts: Facts) -> tuple[str, str]:
    """Quality decides; cost decides between what is as good, if a mixture could not have saved as much."""
    router, single = facts["router"], facts["best_single"]
    quality, cost = facts["router_minus_best_single"]["quality"], facts["router_minus_best_single"]["cost_usd"]
    equal = (facts["mixture"] or {}).get("router_minus_mixture_at_equal_cost") or {"low": None}
    cheaper = cost["high"] is not None and cost["high"] < 0
    pays = cheaper and _surely_more(equal)
    if quality["low"] is None:
        return "none", f"Nothing can be said: {router} chose no candidate that was tried where {single} was tried too."
    if _surely_more(quality):
        return "router", f"Use {router}: it beat {single} alone by {spread(quality)}{_at_what_cost(facts)}."
    if quality["low"] >= -MARGIN and pays:
        return "router", f"Use {router}: as good as {single} alone ({spread(quality)}){_at_what_cost(facts)}."
    alone = f"Use {single} alone: no router beat it (difference {spread(quality)})"
    if pays:
        spent = facts["rows"]["router"]["cost_usd"]["value"]
        return "one", f"{alone}; to spend {usd(spent)} a prompt, {router} beat a mixture by {spread(equal)}."
    return "one", f"{alone}."


def _within_budget(facts: Facts) -> tuple[str, str]:
    router, single, mixture = facts["router"], facts["best_single"], facts["mixture"]
    start = f"With {usd(facts['budget_usd'])} a prompt use"
    over_single = facts["router_minus_best_single"]["quality"]
    over_mixture = mixture["router_minus_mixture_at_budget"]["quality"]
    mixed = mixture["minus_best_single"]["quality"]
    if _surely_more(over_single) and _surely_more(over_mixture):
        beaten = f"{single} alone by {spread(over_single)} and a mixture by {spread(over_mixture)}"
        return "router", f"{start} {router}: it beat {beaten}."
    if _surely_more(mixed):
        pair = f"{mixture['cheaper']} and {mixture['dearer']}"
        return "mixture", (
            f"{start} a random mixture of {pair}: it beat {single} alone by {spread(mixed)}, and no router beat it "
            f"(difference {spread(over_mixture)})."
        )
    return "one", f"{start} {single} alone: neither a router (difference {spread(over_single)}) nor a mixture beat it."


def _surely_more(found: Facts) -> bool:
    return found["low"] is not None and found["low"] > 0


def _at_what_cost(facts: Facts) -> str:
    rows = facts["rows"]
    spent, single = rows["router"]["cost_usd"]["value"], rows["best_single"]["cost_usd"]["value"]
    return f", at {spent / single:.0%} of its cost" if spent is not None and single else ""


def spread(found: Facts) -> str:
    """`-.003, 95 % -.010 to .004`."""
    if found["value"] is None:
        return "not known"
    return f"{short(found['value'])}, 95 % {short(found['low'])} to {short(found['high'])}"


def short(value: float) -> str:
    """Three decimals without the leading zero."""
    text = f"{value:.3f}"
    return "0" if float(text) == 0 else text.replace("0.", ".", 1) if abs(value) < 1 else text


def usd(value: float) -> str:
    """Three significant digits, never in powers of ten: `USD .00251`."""
    text = np.format_float_positional(value, precision=3, fractional=False, trim="-")
    return f"USD {text.replace('0.', '.', 1) if abs(value) < 1 and value else text}"
