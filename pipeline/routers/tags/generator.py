"""Tags that a causal language model writes for a prompt, on this machine, as TagRouter's generator does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.encoders.causal_lm import load_causal
from pipeline.routers.tags.tag_sources import Places, Tensors
from pipeline.routers.tags.vocabulary import Embed, Vocabulary
from pipeline.routers.text.key_phrases import normal
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.byte_cache import ByteCache
from pipeline.runtime.device import bf16_on_gpu
from pipeline.runtime.tables import sha256_text

if TYPE_CHECKING:
    import torch


Progress = Callable[[str], None]
_SETTING = "tags.generator"
_ROLE = (
    "[Role] You label requests. Do not answer them. Name the subject of each, the kind of task and the skill it needs, "
    "as three to five short tags on one line, parted by commas.\n"
)
_QUERY = "[Request] {}\n[Tags]"
_EXAMPLES = (
    ("Translate 'good morning' into Italian and say when people use it.", "translation, Italian language, etiquette"),
    ("A tank holds 40 litres and loses 3 litres an hour. When is it empty?", "word problem, arithmetic, rates"),
    ("Which vitamin does the skin make in sunlight? A. A B. C C. D", "multiple choice, biology, nutrition"),
)
"""Small models answer the request unless they were shown what is wanted."""
_MOST_TAGS, _MOST_WORDS = 8, 4
_BATCH = 8
_REMEMBERED_BYTES = 16_000_000
_PARTED = re.compile(r"[,;\n|、，；]+")
_NUMBERING = re.compile(r"^\s*(?:tags?\s*:|[-*•#]+|\(?\d+[.)])\s*", re.IGNORECASE)


def parse_tags(text: str) -> tuple[str, ...]:
    """Tags in normal form from what a model wrote (commas, lines, bullets or JSON), at most eight, each once.

    What is longer than four words is a sentence, and a single letter is an option; neither is a tag.
    """
    pieces = (_NUMBERING.sub("", piece) for piece in _PARTED.split(text))
    tags = dict.fromkeys(normal(piece) for piece in pieces)
    fit = (tag for tag in tags if len(tag) > 1 and len(tag.split()) <= _MOST_WORDS)
    return tuple(fit)[:_MOST_TAGS]


class TagGenerator:
    """A causal language model by name or path; it is loaded when first asked, and remembers what it wrote.

    Greedy, so that a prompt gets the same tags again. `cache` is where a bundled model is converted to.
    """

    def __init__(self, name: str, cache: Path | None = None, max_tokens: int = 256, new_tokens: int = 32) -> None:
        self.name = name
        self.cache = cache
        self.max_tokens = max_tokens
        self.new_tokens = new_tokens
        self._written: ByteCache[str, str] = ByteCache(_REMEMBERED_BYTES)
        self._loaded: tuple[Any, Any] | None = None

    def tags(self, prompts: Sequence[str], progress: Progress | None = None) -> list[tuple[str, ...]]:
        """The tags of each prompt; `progress` is called once a batch.

        Raises:
            InputError: the model cannot be loaded.
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
            InputError: it cannot be loaded, or has no positions for so much.
        """
        import torch

        from pipeline.encoders.pretrained import require_positions

        tokenizer, model = self._model()
        asked = [self._ids(prompt) for prompt in prompts]
        ids, mask = _left_padded(asked, int(tokenizer.pad_token_id or 0))
        told = f"the language model '{self.name}'"
        require_positions(model, ids.shape[1] + self.new_tokens, told, f"name another in {_SETTING}")
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
        return [text.strip().split("\n\n")[0] for text in texts]

    def _batches(self, prompts: Sequence[str]) -> Iterator[list[str]]:
        """Prompts of like length together, so that little is padded."""
        ordered = sorted(prompts, key=lambda text: (len(text), text))
        for start in range(0, len(ordered), _BATCH):
            yield ordered[start : start + _BATCH]

    def _ids(self, prompt: str) -> list[int]:
        """Token ids of the role and the query; of a long query, its two ends."""
        tokenizer, _ = self._model()
        query = tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
        if len(query) > self.max_tokens:
            half = self.max_tokens // 2
            query = query[:half] + query[-half:]
        shown = _shown(tokenizer, tokenizer.decode(query))
        ids: list[int] = tokenizer(shown, add_special_tokens=tokenizer.chat_template is None, verbose=False)[
            "input_ids"
        ]
        return ids

    def _model(self) -> tuple[Any, Any]:
        if self._loaded is None:
            self._loaded = load_causal(self.name, _SETTING, self.cache)
        return self._loaded


def _shown(tokenizer: Any, query: str) -> str:
    """What the model reads: each example and its tags, then the query, in the model's own chat form if it has one."""
    asked = [*(_QUERY.format(example) for example, _ in _EXAMPLES), _QUERY.format(query)]
    asked[0] = _ROLE + asked[0]
    answers = [tags for _, tags in _EXAMPLES]
    if tokenizer.chat_template is None:
        return "\n".join([*(f"{text} {tags}" for text, tags in zip(asked, answers, strict=False)), asked[-1]])
    chat = []
    for text, tags in zip(asked, answers, strict=False):
        chat += [{"role": "user", "content": text}, {"role": "assistant", "content": tags}]
    shown: str = tokenizer.apply_chat_template(
        [*chat, {"role": "user", "content": asked[-1]}], tokenize=False, add_generation_prompt=True
    )
    return shown


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


Write = Callable[[Sequence[str]], Sequence[tuple[str, ...]]]
"""From prompts to tags in normal form, as `TagGenerator.tags` gives them."""


@dataclass(frozen=True)
class GeneratedTags:
    """A written tag counts as itself where it is known, else as the nearest known one, else as none.

    `vectors` float32 [tags, width] are the vocabulary's; nothing nearer than a cosine of `similarity` is none.
    """

    vocabulary: Vocabulary
    vectors: FloatMatrix
    similarity: float
    write: Write
    embed: Embed
    kind: str = "generated"

    @property
    def names(self) -> tuple[str, ...]:
        return self.vocabulary.tags

    def places(self, texts: Sequence[str], vectors: FloatMatrix) -> Places:
        distinct = list(dict.fromkeys(texts))
        written = dict(zip(distinct, self.write(distinct), strict=True))
        known = self.vocabulary.index
        unknown = sorted({tag for tags in written.values() for tag in tags if tag not in known})
        near = self._nearest(unknown)
        found = {
            text: sorted({place for tag in tags if (place := known.get(tag, near.get(tag))) is not None})
            for text, tags in written.items()
        }
        return [found[text] for text in texts]

    def _nearest(self, tags: Sequence[str]) -> dict[str, int]:
        """The place of the known tag of highest cosine to each tag; none below `similarity`."""
        if not tags or not len(self.vectors):
            return {}
        cosine = np.nan_to_num(self.embed(tags) @ self.vectors.T, nan=-1.0)
        best = cosine.argmax(axis=1)
        return {tag: int(i) for tag, i, row in zip(tags, best, cosine, strict=True) if row[i] >= self.similarity}

    def tensors(self) -> Tensors:
        return {"vectors": self.vectors}

    def facts(self) -> dict[str, Any]:
        return {
            "class": "GeneratedTags",
            "index": self.vocabulary.index,
            "names": list(self.names),
            "similarity": self.similarity,
        }
