"""Tags that a causal language model writes for a prompt, on this machine, as TagRouter's generator does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.encoders.causal_lm import causal_identity, load_causal
from pipeline.routers.base.settings import OWN_PROMPT, TagsParams
from pipeline.routers.tags.generator_prompt import GENERATOR_SETTING, PromptTemplate, own_words, read_template
from pipeline.routers.tags.tag_answers import parse_tags
from pipeline.runtime.byte_cache import ByteCache
from pipeline.runtime.device import bf16_on_gpu
from pipeline.runtime.errors import VerificationFailed
from pipeline.runtime.tables import sha256_text

if TYPE_CHECKING:
    import torch

Progress = Callable[[str], None]
NO_GENERATOR: dict[str, Any] = {"generator": "", "generated_tokens": 0}
"""What a saved router knows where nothing is generated."""
_BATCH = 8
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
        self.max_tokens = max_tokens
        self.new_tokens = template.new_tokens if template else new_tokens
        self.recorded = recorded
        self._written: ByteCache[str, str] = ByteCache(_REMEMBERED_BYTES)
        self._loaded: tuple[Any, Any] | None = None

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
        done = 0
        for batch in self._batches(new):
            for text, tags in zip(batch, self.write(batch), strict=True):
                self._written.put(digests[text], tags)
                written[text] = tags
            done += len(batch)
            if progress:
                progress(f"tags written for {done} of {len(new)} prompts")
        return [parse_tags(written[text]) for text in prompts]

    def write(self, prompts: Sequence[str]) -> list[str]:
        """What the model writes after each prompt, in one batch.

        Raises:
            InputError: as `tags`, or it has no positions for so much.
            VerificationFailed: as `tags`.
        """
        import torch

        from pipeline.encoders.pretrained import require_positions

        tokenizer, model = self._model()
        asked = [self._ids(prompt) for prompt in prompts]
        ids, mask = _left_padded(asked, int(tokenizer.pad_token_id or 0))
        told = f"the language model '{self.name}'"
        require_positions(model, ids.shape[1] + self.new_tokens, told, f"name another in {GENERATOR_SETTING}")
        with torch.no_grad(), bf16_on_gpu(model.device):
            written = model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                max_new_tokens=self.new_tokens,
                do_sample=False,
                num_beams=1,
                pad_token_id=int(tokenizer.pad_token_id or 0),
            )
        texts: list[str] = tokenizer.batch_decode(written[:, ids.shape[1] :], skip_special_tokens=True)
        if self.template:
            return [text.strip() for text in texts]
        # Shown examples, a small model goes on with a request of its own.
        return [text.strip().split("\n\n")[0] for text in texts]

    def _batches(self, prompts: Sequence[str]) -> Iterator[list[str]]:
        """Prompts of like length together, so that little is padded."""
        ordered = sorted(prompts, key=lambda text: (len(text), text))
        for start in range(0, len(ordered), _BATCH):
            yield ordered[start : start + _BATCH]

    def _ids(self, prompt: str) -> list[int]:
        """Token ids of what is asked; of a long query, its two ends."""
        tokenizer, _ = self._model()
        query = tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
        if len(query) > self.max_tokens:
            half = self.max_tokens // 2
            prompt = tokenizer.decode(query[:half] + query[-half:])
        shown = self.template.asked(tokenizer, prompt, self.name) if self.template else own_words(tokenizer, prompt)
        ids: list[int] = tokenizer(shown, add_special_tokens=tokenizer.chat_template is None, verbose=False)[
            "input_ids"
        ]
        return ids

    def _model(self) -> tuple[Any, Any]:
        if self._loaded is None:
            if self.recorded and self.identity != self.recorded:
                raise VerificationFailed(
                    f"the tags were written by the language model {self.recorded[:23]}, and '{self.name}' is "
                    f"{self.identity[:23]}; restore that model, or refit the router"
                )
            self._loaded = load_causal(self.name, GENERATOR_SETTING)
        return self._loaded


def _left_padded(tokens: Sequence[list[int]], padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask, int64 [n, longest], every prompt's end in the last column."""
    import torch

    longest = max(map(len, tokens))
    ids = torch.full((len(tokens), longest), padding)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(tokens):
        ids[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    return ids, mask
