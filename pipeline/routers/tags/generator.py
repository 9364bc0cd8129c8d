"""Tags that a causal language model writes for a prompt, on this machine, as TagRouter's generator does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.encoders.causal_lm import causal_identity
from pipeline.encoders.greedy_writer import GreedyWriter, Told
from pipeline.routers.base.settings import OWN_PROMPT, TagsParams
from pipeline.routers.tags.generator_prompt import GENERATOR_SETTING, OWN_WORDS, PromptTemplate, read_template
from pipeline.routers.tags.tag_answers import parse_tags
from pipeline.runtime.byte_cache import ByteCache
from pipeline.runtime.errors import VerificationFailed
from pipeline.runtime.progress import Progress
from pipeline.runtime.tables import sha256_text

NO_GENERATOR: dict[str, Any] = {"generator": "", "generated_tokens": 0}
"""What a saved router knows where nothing is generated."""
_REMEMBERED_BYTES = 16_000_000


class TagGenerator:
    """A causal language model by name or path; it is loaded when first asked, and remembers what it wrote.

    Greedy, so that a prompt gets the same tags again. It is asked by its `template`, which also says how long an answer
    may be, else in our own words for `new_tokens`. `recorded` is the identity that it has to have, where that is known.
    """

    def __init__(
        self,
        name: str,
        template: PromptTemplate | None = None,
        max_tokens: int = 256,
        new_tokens: int = 32,
        recorded: str = "",
    ) -> None:
        self.name = name
        self.template = template
        self.new_tokens = template.new_tokens if template else new_tokens
        self.recorded = recorded
        self.writer = GreedyWriter(
            name, GENERATOR_SETTING, (template or OWN_WORDS).asked, max_tokens, new_tokens=self.new_tokens
        )
        self._written: ByteCache[str, str] = ByteCache(_REMEMBERED_BYTES)

    @classmethod
    def asked_for(cls, params: TagsParams) -> TagGenerator | None:
        """The one that settings name; None where they name none.

        Raises:
            InputError: its template cannot be read.
        """
        if not params.generator:
            return None
        template = None if params.prompt == OWN_PROMPT else read_template(Path(params.prompt))
        return cls(params.generator, template, new_tokens=params.generated_tokens)

    def facts(self) -> dict[str, Any]:
        """What a saved router knows of it: all that it answers by, but for the model's files."""
        return {
            "generator": self.name,
            "generator_identity": self.identity,
            "generated_tokens": self.new_tokens,
            "prompt": self.template.model_dump() if self.template else None,
        }

    @classmethod
    def load(cls, facts: dict[str, Any]) -> TagGenerator | None:
        """The inverse of `facts`, None of `NO_GENERATOR`; the release before wrote neither an identity nor a prompt."""
        if not facts["generator"]:
            return None
        template = PromptTemplate.model_validate(facts["prompt"]) if facts.get("prompt") else None
        tokens, recorded = int(facts["generated_tokens"]), str(facts.get("generator_identity", ""))
        return cls(str(facts["generator"]), template, new_tokens=tokens, recorded=recorded)

    @property
    def identity(self) -> str:
        """Which model it is, as `causal_identity` tells."""
        return causal_identity(self.name, GENERATOR_SETTING)

    def tags(self, prompts: Sequence[str], progress: Progress | None = None) -> list[tuple[str, ...]]:
        """The tags of each prompt; `progress` is called once a batch.

        Raises:
            InputError: the model cannot be loaded, or cannot be asked by its template.
            VerificationFailed: it is not the one that was recorded.
        """
        digests = {text: sha256_text(text) for text in prompts}
        written = {text: known for text in digests if (known := self._written.get(digests[text])) is not None}
        new = [text for text in digests if text not in written]

        def told(done: int, of: int) -> None:
            if progress:
                progress(f"tags written for {done} of {of} prompts")

        for text, answer in zip(new, self.write(new, told), strict=True):
            self._written.put(digests[text], answer)
            written[text] = answer
        return [parse_tags(written[text]) for text in prompts]

    def write(self, prompts: Sequence[str], told: Told | None = None) -> list[str]:
        """What the model writes after each prompt; `told` is called once a batch.

        Raises:
            InputError: as `tags`, or it has no positions for so much.
            VerificationFailed: as `tags`.
        """
        if prompts and self.recorded and not self.writer.is_loaded and self.identity != self.recorded:
            raise VerificationFailed(
                f"the tags were written by the language model {self.recorded[:23]}, and '{self.name}' is "
                f"{self.identity[:23]}; restore that model, or refit the router"
            )
        texts = self.writer.write(prompts, told)
        # Shown examples, a small model goes on with a request of its own.
        return texts if self.template else [text.split("\n\n")[0] for text in texts]
