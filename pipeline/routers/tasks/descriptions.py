"""What a causal language model says a prompt's task is; tasks are then found among descriptions, as in the paper."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.encoders.causal_lm import causal_identity
from pipeline.encoders.chat_form import FewShot
from pipeline.encoders.greedy_writer import GreedyWriter
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.progress import Progress

SETTING = "tasks.descriptions"
_WORDS = FewShot(
    SETTING,
    role="[Role] You describe requests. Do not answer them. Say in one short sentence what kind of task each is, and "
    "which subject has to be known for it.\n",
    query="[Request] {}\n[Task]",
    opening="The task is to",
    examples=(
        ("Translate 'good morning' into Italian and say when people use it.",
         "translate a greeting into Italian and explain its use."),
        ("Which vitamin does the skin make in sunlight? A. A B. C C. D",
         "choose the right option on a fact of human biology."),
        ("A tank holds 40 litres and loses 3 litres an hour. When is it empty?",
         "solve a word problem of arithmetic about a rate."),
    ),
)  # fmt: skip


class TaskDescriptions:
    """Descriptions of train prompts by a model that is named, or none (""). Only a fit asks for them."""

    def __init__(self, model: str, progress: Progress | None = None) -> None:
        self.identity = ""
        self._writer = GreedyWriter(model, SETTING, _WORDS.asked) if model else None
        self._progress = progress
        self._known: dict[str, str] = {}

    @classmethod
    def told(cls, identity: str) -> TaskDescriptions:
        """Those of a saved router: which model wrote them, and nothing that could write more."""
        found = cls("")
        found.identity = identity
        return found

    def of(self, prompts: Sequence[str]) -> list[str]:
        """One for each prompt; a prompt that the model says nothing of stands for itself.

        Raises:
            InputError: the model cannot be loaded, or none is named.
        """
        assert self._writer is not None
        new = [text for text in dict.fromkeys(prompts) if text not in self._known]
        if new:
            self.identity = causal_identity(self._writer.name, SETTING)
            written = self._writer.write(new, self._told)
            lines = (said.split("\n")[0].strip() for said in written)
            self._known.update((text, line or text) for text, line in zip(new, lines, strict=True))
        return [self._known[text] for text in prompts]

    def embedded(self, prompts: Sequence[str], embed: Callable[[Sequence[str]], FloatMatrix]) -> FloatMatrix | None:
        """The descriptions' vectors float32 [n, width]; None where no model is named."""
        return embed(self.of(prompts)) if self._writer else None

    def _told(self, done: int, of: int) -> None:
        if self._progress:
            self._progress(f"tasks described for {done} of {of} prompts")
