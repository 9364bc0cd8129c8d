"""Tab Route: what the version in service makes of a prompt, why, and what another policy would choose."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.data.prompt_text import fault_in_prompt
from pipeline.policies.policy import Policy, SubsetPolicy
from pipeline.runtime.errors import InputError, SwitchtenderError
from pipeline.serving.engine.decision import BEST, BUDGET, STORED, Decision, RoutingOptions, decide
from pipeline.serving.engine.engine import Engine
from pipeline.serving.engine.hot_swap import WARM_UP, NotReady
from pipeline.serving.engine.scored import ScoredText
from pipeline.serving.http.auth import ROUTE
from pipeline.serving.page.context import Noticed, Page
from pipeline.serving.page.rendering import BAD, draw
from pipeline.serving.page.visitors import Sessions, Visitor

ONE_THRESHOLD = "one threshold"
POLICIES = (
    ("as trained", STORED),
    ("one threshold for all", ONE_THRESHOLD),
    ("the best one", BEST),
    ("within a budget", BUDGET),
)
EXAMPLES = (
    "Translate this contract into German and email it to Ana.",
    "Why does our nightly SQL job deadlock? Mend the query.",
    "Read me the minutes aloud, then plan the next meeting.",
)


@dataclass(frozen=True)
class ScoredPrompt:
    """A prompt and its scores, as one version gave them; enough to choose again by another policy."""

    prompt: str
    version: str
    provenance_sha256: str
    candidates: tuple[str, ...]
    policy: Policy
    scored: ScoredText
    milliseconds: float
    texts: dict[str, str]


@dataclass(frozen=True)
class Bar:
    """One candidate in the list: probability and threshold in 0..1; no threshold where the policy has none."""

    name: str
    probability: float
    threshold: float | None
    cost: float | None
    chosen: bool


def add(page: Page, _tab: Any, served: Any) -> None:
    """Prompt and policy on the left, the answer on the right; below each other where it is narrow."""
    import gradio as gr

    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=300):
            prompt = gr.Textbox(
                label="Prompt", lines=4, max_lines=16, elem_id="prompt",
                placeholder="What a person would ask. Shift + Enter routes it.",
            )  # fmt: skip
            button = gr.Button("Route", variant="primary", elem_id="route")
            gr.Examples([[text] for text in EXAMPLES], [prompt], label="For example", api_visibility="private")
            policy = gr.Radio(list(POLICIES), value=STORED, label="Policy", elem_id="policy")
            threshold = gr.Slider(0, 1, 0.5, step=0.01, label="Threshold", visible=False, elem_id="threshold")
            budget = gr.Slider(
                0, 0.2, 0.02, step=0.001, label="Budget, USD a prompt", visible=False, elem_id="budget"
            )  # fmt: skip
        with gr.Column(scale=6, min_width=300):
            told, answer = page.place("answer", draw("route_empty", of_agents=page.of_agents))
    handler = RouteTab(page)
    sliders = [threshold, budget]
    asked = [prompt, policy, *sliders]
    # What is too long for certain is cut on its way, since a body that is too large would be refused without a word.
    most = 2 * handler.most_characters + 2
    cut = f"(prompt, ...rest) => [prompt?.length > {most} ? prompt.slice(0, {most}).toWellFormed() : prompt, ...rest]"
    for trigger in (button.click, prompt.submit):
        page.on(trigger, handler.ask, asked, [answer], told, may=ROUTE, newest_wins=True, js=cut)
    for slider in sliders:
        page.on(slider.change, handler.choose, asked, [answer], told, may=ROUTE, newest_wins=True, js=cut)
    page.on(policy.change, handler.change, asked, [answer, *sliders], told, may=ROUTE, newest_wins=True, js=cut)
    page.on(served.change, handler.offer, [policy], [policy], told)


class RouteTab:
    """Asks the engine once a prompt, and chooses from what it said as often as the policy changes.

    Law: what is shown is of the prompt that it names, and a choice is made for the prompt that stands in its field.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self._asked: Sessions[ScoredPrompt] = page.visitors.sessions()

    @property
    def most_characters(self) -> int:
        return self.page.switch.params.max_prompt_characters

    def ask(self, visitor: Visitor, prompt: str, policy: str, threshold: float, budget: float) -> str:
        """Score a prompt with the version in service."""
        asked = self._scored(prompt or "")
        self._asked.put(visitor.session, asked)
        return render(asked, options_of(asked, policy, threshold, budget), self.page.of_agents)

    def _scored(self, prompt: str) -> ScoredPrompt:
        """Refused before anything is computed where HTTP would refuse it."""
        if fault := fault_in_prompt(prompt):
            raise InputError(fault)
        if len(prompt) > self.most_characters:
            raise InputError(f"the prompt has more than {self.most_characters:,} characters; send a shorter one")
        served = self.page.switch.served
        start = time.perf_counter()
        (scored,) = served.engine.score([prompt])
        scored = served.engine.offered(prompt, scored)
        took = 1000 * (time.perf_counter() - start)
        ids = [near.prompt_id for near in scored.neighbours]
        return ScoredPrompt(
            prompt, served.version, served.provenance_sha256, served.engine.candidates, served.engine.policy, scored,
            took, self.page.texts(served.version, ids),
        )  # fmt: skip

    def choose(self, visitor: Visitor, prompt: str, policy: str, threshold: float, budget: float) -> str:
        """Choose among the scores that are known; the engine is asked only where the prompt was changed since."""
        asked = self._asked.get(visitor.session)
        if not (prompt or "").strip():
            return draw("route_empty", of_agents=self.page.of_agents)
        if asked is None or asked.prompt != prompt:
            return self.ask(visitor, prompt, policy, threshold, budget)
        return render(asked, options_of(asked, policy, threshold, budget), self.page.of_agents)

    def change(
        self, visitor: Visitor, prompt: str, policy: str, threshold: float, budget: float
    ) -> tuple[Any, ...] | Noticed:
        """Another policy: the choice, and which of the two sliders it needs."""
        import gradio as gr

        sliders = gr.update(visible=policy == ONE_THRESHOLD), gr.update(visible=policy == BUDGET)
        try:
            return self.choose(visitor, prompt, policy, threshold, budget), *sliders
        except SwitchtenderError as error:
            return Noticed((gr.skip(), *sliders), error.message, BAD)

    def offer(self, _visitor: Visitor, policy: str) -> Any:
        """The policies that the version in service can follow; the one that was chosen stays if it is among them."""
        import gradio as gr

        try:
            offered = offered_by(self.page.switch.served.engine)
        except NotReady:
            return gr.skip()
        return gr.update(choices=offered, value=policy if policy in [value for _, value in offered] else STORED)


def offered_by(engine: Engine) -> list[tuple[str, str]]:
    """The policies, as name and value, that do not refuse every prompt.

    Thresholds need a router that chooses by them, a budget needs costs.
    """
    (scored,) = engine.score(WARM_UP[:1])
    by_thresholds = isinstance(engine.policy, SubsetPolicy) and not engine.policy.exactly_one
    cannot = set() if by_thresholds else {ONE_THRESHOLD}
    if np.isnan(engine.offered(WARM_UP[0], scored).cost).all():
        cannot.add(BUDGET)
    return [(name, value) for name, value in POLICIES if value not in cannot]


def options_of(asked: ScoredPrompt, policy: str, threshold: float, budget: float) -> RoutingOptions:
    """What the controls ask for."""
    if policy == ONE_THRESHOLD:
        return RoutingOptions(thresholds=dict.fromkeys(asked.candidates, threshold))
    return RoutingOptions(policy=policy, budget_usd=budget if policy == BUDGET else None)


def render(asked: ScoredPrompt, options: RoutingOptions, of_agents: bool = True) -> str:
    """The answer as HTML.

    Raises:
        InputError: the options cannot be met.
    """
    decision = decide(asked.scored, asked.candidates, asked.policy, options)
    return draw(
        "route",
        asked=asked,
        decision=decision,
        bars=bars(asked, options, decision),
        cost=spent(asked, decision),
        of_agents=of_agents,
    )


def bars(asked: ScoredPrompt, options: RoutingOptions, decision: Decision) -> list[Bar]:
    """Every candidate, likeliest first."""
    lines = dict.fromkeys(asked.candidates, None) | _thresholds(asked, options)
    at = {name: i for i, name in enumerate(asked.candidates)}
    quality, cost = asked.scored.quality, asked.scored.cost
    return [
        Bar(name, float(quality[at[name]]), lines[name], _known(cost[at[name]]), name in decision.chosen)
        for name in decision.ranking
    ]


def _thresholds(asked: ScoredPrompt, options: RoutingOptions) -> dict[str, float | None]:
    """The line that a candidate must reach, where the policy draws lines."""
    if options.policy == BEST or not isinstance(asked.policy, SubsetPolicy) or asked.policy.exactly_one:
        return {}
    stored = dict(zip(asked.candidates, asked.policy.thresholds, strict=True))
    return {name: options.thresholds.get(name, line) for name, line in stored.items()}


def spent(asked: ScoredPrompt, decision: Decision) -> float | None:
    """What the chosen ones cost together, in USD; None where that is not known."""
    at = [asked.candidates.index(name) for name in decision.chosen]
    return _known(asked.scored.cost[at].sum()) if at else None


def _known(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)
