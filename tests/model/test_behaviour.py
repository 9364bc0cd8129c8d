"""How the trained router behaves: obvious prompts, changes that must not matter, and changes that must.

None of these prompts is in the dataset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import yaml
from refusals import REFUSALS
from sandbox import ROOT

from pipeline.data.agents import read_agents
from pipeline.data.folds import inner_folds
from pipeline.data.holdout import read_holdout
from pipeline.data.outcomes import from_labels
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.routers.baselines.linear import LinearScorer
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.runtime.tables import read_table

Choose = Callable[[str], frozenset[str]]
SHIPPED = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))

OBVIOUS = {
    "coding": "My Python function raises IndexError when the list is empty, here is the code, please fix the bug.",
    "email": "Write a friendly reply to Mrs Okafor's email and tell her the parcel left this morning.",
    "web_research": "Search online for the latest reviews of folding electric bikes, with links to the sources.",
    "summarizing": "Give me the key points of these meeting minutes in five bullets.",
    "data_analysis": "Here is a CSV of daily visitors. Plot the trend and tell me if weekends differ from weekdays.",
    "calendar": "Move my dentist appointment to Thursday at 3 pm and remind me an hour before.",
    "translation": "Translate this paragraph from English into Portuguese.",
    "document_qa": "According to the attached PDF manual, what is the maximum load of the lift?",
    "sql": "Write a SQL query that joins orders and customers and returns the ten largest orders of each month.",
    "creative_writing": "Write a short bedtime story about a hedgehog who wants to be a lighthouse keeper.",
}

ORDINARY = (
    *OBVIOUS.values(),
    "Which trains get me from Ghent to Lyon by Saturday noon, and where could I sleep near the station?",
    "Should I pay off the car loan early or put the money into my pension?",
    "Order 88121 arrived with a cracked lid, I want my money back.",
    "Nginx answers 502 since the last deployment, the container keeps restarting on the staging cluster.",
    "Find the latest opening hours of the ferry museum and put a visit into my diary for Sunday.",
    "Turn the notes below into three sentences and send them to Priya by mail.",
    "Solve x squared minus seven x plus ten equals zero and show each step.",
    "Put this letter into Finnish and keep the tone formal.",
    "The query below takes 40 seconds, which index does the table need?",
    "Think of a slogan for a bakery that only opens at night.",
)

ADDED = (
    ("Translate this paragraph from English into Portuguese.", "Then email it to Tomas.", "email"),
    ("Give me the key points of these meeting minutes.", "Also translate them into Spanish.", "translation"),
    ("Write a SQL query that counts last month's orders by shop.", "And email the result to Dana.", "email"),
    ("Reply to Mrs Okafor's email about the parcel.", "And book a meeting with her on Friday at 10.", "calendar"),
    ("Fix the bug in the Python function below.", "Then write an email to the team about the fix.", "email"),
    ("Find the newest reviews of electric cargo bikes online.", "Then summarize them in five lines.", "summarizing"),
    (
        "According to the attached PDF manual, what is the maximum load of the lift?",
        "Translate the answer into Polish.",
        "translation",
    ),
    (
        "Write a short bedtime story about a hedgehog.",
        "And put a reminder in my calendar to read it on Sunday.",
        "calendar",
    ),
    (
        "Move my dentist appointment to Thursday at 3 pm.",
        "And look up online whether the car park there is open.",
        "web_research",
    ),
    ("Plot the trend in this CSV of daily visitors.", "And write the Python script that does it.", "coding"),
    ("Which trains get me from Ghent to Lyon by Saturday noon?", "Block the trip in my calendar too.", "calendar"),
    ("Put this letter into Finnish.", "And write a two-line poem to go on its envelope.", "creative_writing"),
    ("Think of a slogan for a bakery that only opens at night.", "And translate it into German.", "translation"),
    ("Which index does the query below need?", "And search the web for how other databases do it.", "web_research"),
    ("Nginx answers 502 since the last deployment.", "And mail the on-call team what happened.", "email"),
)


@dataclass(frozen=True)
class Bar:
    """What is asked of a router: choices that a change may move; second requests and refusals that have to be heard."""

    moved: dict[str, float]
    added: float
    refused: float


# docs/results/agents.md has what was measured: of 15 second requests the shipped night hears 13.
TRAINED = Bar({"typos": 0.1, "upper case": 0.1, "politeness": 0.1, "space at the end": 0.1}, added=0.85, refused=0.75)
# With frozen vectors 11 of 20 moved by typos and 3 by politeness, and 10 of 15 second requests were heard.
LINEAR = Bar({"typos": 0.6, "upper case": 0.15, "politeness": 0.2, "space at the end": 0.15}, added=0.6, refused=0.25)


@pytest.fixture(
    scope="module",
    params=["linear", pytest.param("full night", marks=pytest.mark.heavy)],  # its fast twin: the linear router
)
def router(request: pytest.FixtureRequest) -> CalibratedRouter:
    """One head an agent on frozen vectors of the shipped prompts; and the router of the full night."""
    if request.param == "full night":
        trained: CalibratedRouter = request.getfixturevalue("trained_router")
        return trained
    minilm: FrozenEmbedding = request.getfixturevalue("minilm")
    rows = read_table(ROOT / "data/prompts.csv")
    names = [agent.name for agent in read_agents(ROOT / "data/agents.yaml")]
    train = from_labels(rows[~rows["prompt_id"].isin(read_holdout(ROOT / "data/holdout.txt"))], names)
    made = CalibratedRouter(LinearScorer(minilm))
    made.fit(train, inner_folds(train, 2, SHIPPED["run"]["seed"]))
    return made


@pytest.fixture
def bar(router: CalibratedRouter) -> Bar:
    return LINEAR if router.scorer.name == "linear" else TRAINED


@pytest.fixture(scope="module")
def choose(router: CalibratedRouter) -> Choose:
    def agents(prompt: str) -> frozenset[str]:
        row = router.predict([prompt]).chosen[0]
        return frozenset(name for name, hit in zip(router.candidates, row, strict=True) if hit)

    return agents


@pytest.mark.parametrize("agent", OBVIOUS)
def test_an_obvious_prompt_goes_to_its_agent(agent: str, choose: Choose) -> None:
    assert agent in choose(OBVIOUS[agent])


def _with_typos(prompt: str) -> str:
    """Every fourth word of five letters or more has two unlike inner letters swapped."""
    words = prompt.split(" ")
    long = [i for i, word in enumerate(words) if len(word) >= 5 and word.isalpha() and word[1] != word[2]]
    for i in long[::4]:
        words[i] = words[i][0] + words[i][2] + words[i][1] + words[i][3:]
    return " ".join(words)


CHANGES: dict[str, Callable[[str], str]] = {
    "typos": _with_typos,
    "upper case": str.upper,
    "politeness": lambda prompt: f"{prompt[:-1]}, please{prompt[-1]}",
    "space at the end": lambda prompt: f"{prompt}  \n\n",
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_does_not_matter_leaves_the_choice_alone(change: str, choose: Choose, bar: Bar) -> None:
    pairs = [(prompt, CHANGES[change](prompt)) for prompt in ORDINARY]
    assert all(before != after for before, after in pairs)
    moved = [before for before, after in pairs if choose(before) != choose(after)]
    assert len(moved) <= bar.moved[change] * len(pairs), moved


def test_a_request_for_two_agents_goes_to_both(choose: Choose) -> None:
    assert choose("Translate this contract into German and email it to Ana") >= {"translation", "email"}


def test_a_second_request_adds_its_agent(choose: Choose, bar: Bar) -> None:
    added = [agent in choose(f"{prompt} {more}") for prompt, more, agent in ADDED]
    missed = [f"{prompt} {more}" for (prompt, more, _), hit in zip(ADDED, added, strict=True) if not hit]
    assert sum(added) >= bar.added * len(ADDED), missed
    before = [agent in choose(prompt) for prompt, _, agent in ADDED]
    assert sum(before) <= 0.2 * len(ADDED)


def test_a_refused_agent_is_left_alone(choose: Choose, bar: Bar) -> None:
    ignored = [f"{prompt} {refusal}" for prompt, refusal, agent in REFUSALS if agent in choose(f"{prompt} {refusal}")]
    assert len(REFUSALS) - len(ignored) >= bar.refused * len(REFUSALS), ignored


def test_known_weaknesses_are_reported(choose: Choose, record_property: Callable[[str, object], None]) -> None:
    """Only its size is written down: small talk distracts."""
    greeted = sum(choose(f"Hello, could you please help me? {p} Thank you!") == choose(p) for p in ORDINARY)
    record_property("greetings", f"{greeted} of {len(ORDINARY)}")
    print(f"greetings understood: {greeted} of {len(ORDINARY)}")
