"""What goes in and out of the service as JSON. An unknown field is an error that names the nearest known one."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from pipeline.data.prompt_text import fault_in_prompt, fault_in_text
from pipeline.runtime.text import is_blank
from pipeline.serving.engine.decision import RoutingOptions
from pipeline.serving.http.messages import Role, checked_content, text_of


def _text(text: str) -> str:
    if fault := fault_in_text(text):
        raise ValueError(fault)
    return text


def _prompt(text: str) -> str:
    if fault := fault_in_prompt(text):
        raise ValueError(fault)
    return text


Text = Annotated[str, AfterValidator(_text)]
Prompt = Annotated[str, AfterValidator(_prompt)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
REQUEST_ID = r"^[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}$"
"""What a caller's own id may look like: fit for headers, logs and journals, and for a spreadsheet no formula."""
RequestId = Annotated[str, Field(pattern=REQUEST_ID, examples=["0f8d6c7f8a1b4f0c9f4f6a5a7c1d2e3b"])]
_CONTENT = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}, {"type": "null"}]}


class RequestBody(BaseModel):
    """A request's body."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ResponseBody(BaseModel):
    """A response's body."""

    model_config = ConfigDict(frozen=True)


def _one_of(*fields: str) -> ConfigDict:
    """Says in the OpenAPI document that exactly one of these fields is needed; the validators enforce it."""
    return ConfigDict(json_schema_extra={"oneOf": [{"required": [field]} for field in fields]})


class Turn(RequestBody):
    """One turn of a dialogue before the prompt: a message of the chat protocol, whose other fields are not read."""

    model_config = ConfigDict(extra="ignore")

    role: Role
    content: Annotated[Any, AfterValidator(checked_content), WithJsonSchema(_CONTENT)] = None

    @model_validator(mode="after")
    def _has_content(self) -> Self:
        if self.content is None and self.role != "assistant":
            raise ValueError("a turn needs its 'content'; only an assistant that called a tool may have none")
        return self


class RouteRequest(RequestBody):
    """One prompt or several, and how to choose.

    The router learnt from single prompts, so `prompt` (the latest turn of the user) decides alone. With
    `history_turns`, so many of the user's turns before it are put in front of it, each on its own line; what the
    assistant and the system said is never read. `labels` say what the prompts are (`health`): whom the pool bars
    from one of them is not chosen. With `explain`, each result has its `evidence`, where the router can give one.
    """

    model_config = _one_of("prompt", "prompts")

    prompt: Prompt | None = None
    prompts: Annotated[list[Prompt], Field(min_length=1)] | None = None
    history: list[Turn] = []
    history_turns: Annotated[int, Field(ge=0, le=100)] = 0
    top_k: Annotated[int, Field(ge=1)] | None = None
    thresholds: dict[str, Probability] = {}
    policy: Literal["stored", "best", "budget", "willingness"] = "stored"
    budget_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    quality_per_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    labels: Annotated[list[Text], Field(max_length=100)] = []
    explain: bool = False

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.prompt is None) == (self.prompts is None):
            raise ValueError("give either 'prompt' or 'prompts'")
        if self.prompts is not None and (self.history or self.history_turns):
            raise ValueError("'history' belongs to a single 'prompt'; send a request for each dialogue")
        return self

    def texts(self) -> tuple[str, ...]:
        """What the router reads, one text a prompt."""
        if self.prompt is None:
            return tuple(self.prompts or ())
        said = [text_of(turn.content) for turn in self.history if turn.role == "user"]
        # A picture alone is a turn without anything to read.
        before = [text for text in said if not is_blank(text)][-self.history_turns :] if self.history_turns else []
        return ("\n".join([*before, self.prompt]),)

    def options(self) -> RoutingOptions:
        return RoutingOptions(
            self.top_k, self.thresholds, self.policy, self.budget_usd, self.quality_per_usd, tuple(self.labels)
        )


class Near(ResponseBody):
    """A training prompt near the one asked; `prompt_id` is its row's id, `agents` the label that it taught."""

    prompt_id: str
    agents: list[str]
    cosine: float


class RouteResult(ResponseBody):
    """One prompt: `agents` chosen, best first; `ranking` of all by score; `why`, the nearest training prompts.

    `cost_usd` is what is expected for all chosen, null where a cost is unknown. A prompt longer than the encoder
    reads is read in `windows`. `evidence`, where it was asked for: the prompt's tags, and what each of them knows of
    each candidate.
    """

    agents: list[str]
    scores: dict[str, float]
    ranking: list[str]
    why: list[Near]
    cost_usd: float | None
    choice_probability: float
    below_threshold: bool = Field(
        description="Whether none of the chosen reaches its threshold: one had to be chosen, and the likeliest was."
    )
    tokens: int
    windows: int
    unsupported_language: str | None = Field(
        None,
        description="The prompt's language or script, where the encoder was not made for it: the scores say little.",
    )
    evidence: dict[str, Any] | None = None


class RouteResponse(ResponseBody):
    """`results` in the order of the prompts, all by the one version named."""

    request_id: RequestId
    version: str
    run_key: str | None
    provenance_sha256: str | None
    policy: str
    results: list[RouteResult]


class FeedbackRequest(RequestBody):
    """What somebody says of one answer: the `right` agents, a `rating` from 0 to 1, or whether it was `accepted`."""

    model_config = _one_of("right", "rating", "accepted")

    request_id: RequestId
    index: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    right: Annotated[list[Text], Field(max_length=1000)] | None = None
    rating: Probability | None = None
    accepted: bool | None = None
    note: Annotated[Text, Field(max_length=2000)] = ""

    @model_validator(mode="after")
    def _one_judgement(self) -> Self:
        if sum(given is not None for given in (self.right, self.rating, self.accepted)) != 1:
            raise ValueError("give exactly one of 'right', 'rating' and 'accepted'")
        return self


class FeedbackResponse(ResponseBody):
    """`matched`: the answer is one of the latest. Other feedback is kept too, and matched when it is read."""

    request_id: RequestId
    index: int
    matched: bool


class ServedCandidate(ResponseBody):
    """One agent or model: its threshold (null where none is used) and expected USD for a short prompt."""

    name: str
    threshold: float | None
    cost_usd: float | None


class AgentsResponse(ResponseBody):
    """Whom the version in service chooses among, in its own order."""

    version: str
    policy: dict[str, Any]
    candidates: list[ServedCandidate]


class RefusedVersion(ResponseBody):
    """A version that should serve and may not."""

    version: str
    reason: str
    at: str


class VersionResponse(ResponseBody):
    """What answers, and what was refused. `trouble`: why it cannot be known at present what should serve."""

    version: str
    run_key: str | None
    provenance_sha256: str | None
    precision: str
    since: str | None = Field(description="When it was put into service (UTC); null where no promotion says so.")
    loaded_at: str = Field(description="When this service took it up (UTC).")
    refused: RefusedVersion | None
    trouble: str | None


class Health(ResponseBody):
    """The process lives."""

    alive: bool = True


class Readiness(ResponseBody):
    """Prompts are routed. `degraded`: by an older version than should serve, or without knowing; `reason` says."""

    ready: bool = True
    version: str
    degraded: bool
    reason: str | None


class ErrorFacts(ResponseBody):
    """`code` is for programs; `message` names what is wrong; `hint` says what to do."""

    code: str
    message: str
    hint: str = ""
    request_id: str


class ErrorResponse(ResponseBody):
    """The one form of every error."""

    error: ErrorFacts
