"""What serving in int8 would cost: the content of precisions.json, which `optimize` writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pipeline.data.names import SEPARATOR
from pipeline.metrics.bootstrap import RESAMPLES, Estimate, paired_differences, resamples, six_decimals
from pipeline.metrics.multilabel import Headline
from pipeline.runtime.arrays import Binary
from pipeline.runtime.plain import OMITTED, JsonObject, parsed, plain_fields


@dataclass(frozen=True)
class RoutedDifferently:
    """A prompt that the precisions route differently: its label and both choices, as `|`-separated text."""

    prompt_id: str
    label: str
    fp32: str
    int8: str


@dataclass(frozen=True)
class PrecisionLoss:
    """The headline figure of each precision, what int8 loses of it, and the largest change of a probability."""

    metric: str
    fp32: float
    int8: float
    loss: Estimate
    largest_difference: float

    @classmethod
    def of(cls, headline: Headline, fp32: Binary, int8: Binary, largest_difference: float) -> PrecisionLoss:
        """From the choices of both on the same rows, bool [n, c]. The loss is a difference of rounded figures."""
        exact, coarse = (six_decimals(headline.statistic(headline.truth, chosen)) for chosen in (fp32, int8))
        draws = resamples(len(fp32), RESAMPLES, seed=0)
        lost = paired_differences(headline.statistic, headline.truth, fp32, int8, draws)
        loss = Estimate.of(six_decimals(exact - coarse), lost, six_decimals)
        return cls(headline.name, exact, coarse, loss, six_decimals(largest_difference))


@dataclass(frozen=True)
class PrecisionChoice:
    """Which precision serves and why; `measured` is None where int8 was not tried or there is no encoder."""

    precision: str
    prompts: int
    differing: tuple[RoutedDifferently, ...] = ()
    reason: str | None = field(default=None, metadata=OMITTED)
    limit: float | None = field(default=None, metadata=OMITTED)
    measured: PrecisionLoss | None = field(default=None, metadata=OMITTED)
    fp32_differs_from_torch: float | None = field(default=None, metadata=OMITTED)

    def to_json(self) -> JsonObject:
        """The measured figures stand beside the others, those of the headline under its name."""
        told = plain_fields(self)
        if self.measured is None:
            return told
        measured = told.pop("measured")
        by_precision = {name: measured.pop(name) for name in ("fp32", "int8")}
        return {**told, **measured, self.measured.metric: by_precision}


def read_precisions(content: object) -> PrecisionChoice:
    """From the content of precisions.json.

    Raises:
        ValueError: it is not what `optimize` writes.
    """
    if isinstance(content, dict) and (metric := content.get("metric")):
        return parsed(PrecisionChoice, {**content, "measured": {**content, **content.get(metric, {})}})
    return parsed(PrecisionChoice, content)


def differing(
    ids: Sequence[str], labels: Sequence[str], fp32: Binary, int8: Binary, candidates: Sequence[str]
) -> tuple[RoutedDifferently, ...]:
    """The rows on which the choices of the precisions, bool [n, c], are not the same."""

    def named(row: Binary) -> str:
        return SEPARATOR.join(name for name, hit in zip(candidates, row, strict=True) if hit)

    rows = np.flatnonzero((fp32 != int8).any(axis=1)).tolist()
    return tuple(RoutedDifferently(ids[i], labels[i], named(fp32[i]), named(int8[i])) for i in rows)
