"""What is said of an evaluation on graded outcomes. Floats that are not known are NaN, and null in JSON."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.evaluation.language_report import UnsupportedLanguage
from pipeline.metrics.bootstrap import UNKNOWN, Estimate
from pipeline.metrics.reliability import ReliabilityBin
from pipeline.runtime.plain import OMITTED, Figure, JsonObject, parsed, plain_fields

SWEPT = "swept on the evaluated prompts: optimistic"
BY_LAMBDA, BY_POLICY = "with the stored lambda, chosen in train", "by the stored policy"


_MEANS = (
    "quality",
    "cost_usd",
    "minus_best_single",
    "cost_minus_best_single",
    "router_minus_this",
    "accept_rate",
    "mean_rank",
)


@dataclass(frozen=True, kw_only=True)
class StrategyFigures:
    """One way of choosing: means with intervals, paired differences, and what these rest on.

    A difference from itself is not known. `prompts` are those of known quality, `untried` those on which what was
    picked was never tried; `chosen_in` says on what the choice was learnt, `most_chosen` is the candidate picked most
    often. `quality_over_datasets` is the mean of the data sets' means, where there are several.
    """

    quality: Estimate
    cost_usd: Estimate = UNKNOWN
    minus_best_single: Estimate = UNKNOWN
    cost_minus_best_single: Estimate = UNKNOWN
    router_minus_this: Estimate = UNKNOWN
    accept_rate: Estimate = UNKNOWN
    mean_rank: Estimate = UNKNOWN
    gap_closed: Estimate
    prompts: int
    untried: int
    prompts_of_known_cost: int | None = field(default=None, metadata=OMITTED)
    chosen_in: str | None = field(default=None, metadata=OMITTED)
    most_chosen: str | None = field(default=None, metadata=OMITTED)
    quality_over_datasets: Estimate | None = field(default=None, metadata=OMITTED)

    def to_json(self) -> JsonObject:
        """Of the means those that are known, and quality in any case."""
        told = plain_fields(self)
        known = {name: told[name] for name in _MEANS if getattr(self, name).is_known}
        return {**known, **{name: held for name, held in told.items() if name == "quality" or name not in _MEANS}}


@dataclass(frozen=True)
class Point:
    """A mean cost (USD a prompt) and a mean quality."""

    cost_usd: Figure
    quality: Figure


@dataclass(frozen=True)
class CandidatePoint:
    """Where one candidate alone lies."""

    candidate: str
    cost_usd: Figure
    quality: Figure


@dataclass(frozen=True)
class OperatingPoint:
    """What was reached with a lambda of train, or `label` by the stored policy, which has no differences."""

    label: str
    cost_usd: Figure
    quality: Figure
    minus_best_single: Estimate | None = field(default=None, metadata=OMITTED)
    cost_minus_best_single: Estimate | None = field(default=None, metadata=OMITTED)


@dataclass(frozen=True)
class SweptFigures:
    """What a frontier reaches, and the frontier itself."""

    aiq: Figure
    quality_at_half_of_best_single: Figure
    quality_at_half_of_dearest: Figure
    cost_to_match_best_single: Figure
    frontier: tuple[Point, ...]


@dataclass(frozen=True)
class Swept:
    """Quality for cost. Swept on the prompts that are evaluated; beside that stands what a lambda of train gets.

    AIQ is taken over the costs `cost_from` to `cost_to`; the halves are the costs at which qualities are read off.
    """

    label: str
    cost_from: Figure
    cost_to: Figure
    half_of_best_single: Figure
    half_of_dearest: Figure
    operating_point: OperatingPoint
    operating_points: dict[str, OperatingPoint]
    candidates: tuple[CandidatePoint, ...]
    rows: dict[str, SweptFigures]


@dataclass(frozen=True)
class PairFigures:
    """APGR, CPT(50) and CPT(80), and the share of prompts that the stored policy sent to the strong candidate."""

    apgr: Figure
    cpt_50: Figure
    cpt_80: Figure
    share_of_strong: Figure


@dataclass(frozen=True)
class Pair:
    """Routing between a weak and a strong candidate, on the prompts on which both were tried."""

    weak: str
    strong: str
    prompts: int
    quality_weak: Figure
    quality_strong: Figure
    label: str
    rows: dict[str, PairFigures]


@dataclass(frozen=True)
class Verdicts:
    """How a strategy's answers stand against the reference candidate's, on so many prompts where both are known.

    `relative_cost` is the mean cost as a multiple of the reference's, where both costs are known.
    """

    wins: int
    ties: int
    losses: int
    relative_cost: Figure


@dataclass(frozen=True)
class AcceptRates:
    """By router the accept rate's area over the share of prompts that go to the reference candidate; by strategy the
    counts behind the accept rate. Reports of the release before have no counts.
    """

    reference: str
    tie: float
    label: str
    area: dict[str, Figure]
    against: dict[str, Verdicts] = field(default_factory=dict)


@dataclass(frozen=True)
class SliceFigures:
    """Some prompts: each strategy's mean quality there, and how far the router is from the best single candidate."""

    kind: str
    name: str
    prompts: int
    quality: dict[str, Figure]
    router_minus_best_single: Estimate


@dataclass(frozen=True)
class CalibrationFigures:
    """Expected against observed quality, in equally filled bins."""

    error: Figure
    error_interval: Estimate
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class OutcomeReport:
    """Everything that is said of a router's predictions on the same outcomes.

    `metrics` has a row a strategy, the router first and the oracle last; `best_single` was chosen in `chosen_in`.
    `swept` is None where no costs are known, `pair` where there is no second candidate to set against the best one.
    """

    kind: str
    prompts: int
    candidates: int
    tried_cells: float
    best_single: str
    chosen_in: str
    untried_choices: int
    metrics: dict[str, StrategyFigures]
    swept: Swept | None
    pair: Pair | None
    accept: AcceptRates
    datasets: tuple[SliceFigures, ...]
    slices: tuple[SliceFigures, ...]
    calibration: dict[str, CalibrationFigures]


@dataclass(frozen=True)
class UnmatchedPrompts:
    """How many of the holdout's prompts match no task, their share, and the ids of the first of them."""

    prompts: int
    new: int
    share: float
    prompt_ids: tuple[str, ...]


@dataclass(frozen=True)
class ModelReport:
    """metrics.json of the models' track: the report, and what every track's metrics.json has.

    `systems` are the headline figures of each, `quality_over` the router's lead over it. `drift` is None where the
    router cannot tell, `unsupported_languages` (of all prompts, train and holdout) where nobody looked.
    """

    outcomes: OutcomeReport
    holdout_version: str
    drift: UnmatchedPrompts | None
    systems: dict[str, dict[str, Estimate]]
    quality_over: dict[str, Estimate]
    unsupported_languages: tuple[UnsupportedLanguage, ...] | None = field(default=None, metadata=OMITTED)

    @property
    def prompts(self) -> int:
        return self.outcomes.prompts

    @property
    def gains(self) -> dict[str, Estimate]:
        """Over each other system, in the track's headline figure."""
        return self.quality_over

    def to_json(self) -> JsonObject:
        told = plain_fields(self)
        return {**told.pop("outcomes"), **told}


def read_model_report(content: object) -> ModelReport:
    """From the content of metrics.json.

    Raises:
        ValueError: it is not what the stage writes.
    """
    return parsed(ModelReport, {**content, "outcomes": content} if isinstance(content, dict) else content)
