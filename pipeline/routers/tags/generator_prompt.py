"""How a language model is asked for tags: in our own words with examples, or by the template that belongs to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, field_validator

from pipeline.encoders.chat_form import FewShot, in_chat
from pipeline.routers.base.settings import OWN_PROMPT
from pipeline.runtime.errors import InputError, one_line
from pipeline.runtime.params import Section, parse
from pipeline.runtime.yaml_file import load_yaml

PROMPT_SETTING = "tags.prompt"
GENERATOR_SETTING = "tags.generator"
_QUERY = "{query}"
_MOST_CHARACTERS = 20_000
"""Of one message: it is read anew with every prompt."""
OWN_WORDS = FewShot(
    GENERATOR_SETTING,
    role="[Role] You label requests. Do not answer them. Name the subject of each, the kind of task and the skill it "
    "needs, as three to five short tags on one line, parted by commas.\n",
    query="[Request] {}\n[Tags]",
    examples=(
        (
            "Translate 'good morning' into Italian and say when people use it.",
            "translation, Italian language, etiquette",
        ),
        ("A tank holds 40 litres and loses 3 litres an hour. When is it empty?", "word problem, arithmetic, rates"),
        ("Which vitamin does the skin make in sunlight? A. A B. C C. D", "multiple choice, biology, nutrition"),
    ),
)


class PromptTemplate(Section):
    """What a model was tuned to be asked: `{query}` in `user` stands for the prompt; an empty `system` is left out."""

    system: str = Field(default="", max_length=_MOST_CHARACTERS)
    user: str = Field(max_length=_MOST_CHARACTERS)
    new_tokens: int = Field(ge=1, le=4096)

    @field_validator("user")
    @classmethod
    def _has_one_query(cls, user: str) -> str:
        if user.count(_QUERY) != 1:
            raise ValueError(f"holds {_QUERY} {user.count(_QUERY)} times; write it once, where the prompt belongs")
        return user

    def asked(self, tokenizer: Any, query: str, told: str) -> str:
        """What the model reads: system and user message in its own chat form, up to where its answer begins.

        Raises:
            InputError: the tokenizer has no chat template, or one that refuses these messages.
        """
        if tokenizer.chat_template is None:
            raise InputError(
                f"{told} has no chat template, in which the messages of {PROMPT_SETTING} are told to it; name another "
                f"in {GENERATOR_SETTING}, or set {PROMPT_SETTING} to {OWN_PROMPT}"
            )
        system = [{"role": "system", "content": self.system}] if self.system else []
        user = {"role": "user", "content": self.user.replace(_QUERY, query)}
        return in_chat(tokenizer, [*system, user], told, f"the messages of {PROMPT_SETTING}", "mend them")


def read_template(path: Path) -> PromptTemplate:
    """A template out of its YAML file, which is data: nothing in it is run.

    Raises:
        InputError: it cannot be read, or lacks what a template has.
    """
    told = f"the template {path} of {PROMPT_SETTING}"
    try:
        content = load_yaml(path)
    except OSError as error:
        raise InputError(f"{told} cannot be read ({error.strerror}); name another file, or {OWN_PROMPT}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{told} is not YAML ({one_line(error)}); mend it") from error
    if not isinstance(content, dict):
        raise InputError(f"{told} is no mapping; it has the keys {', '.join(PromptTemplate.model_fields)}")
    return parse("template", PromptTemplate, content, path)
