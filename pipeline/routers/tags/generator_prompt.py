"""How a language model is asked for tags: in our own words with examples, or by the template that belongs to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, field_validator

from pipeline.routers.base.settings import OWN_PROMPT
from pipeline.runtime.errors import InputError, one_line
from pipeline.runtime.params import Section, parse
from pipeline.runtime.yaml_file import load_yaml

PROMPT_SETTING = "tags.prompt"
GENERATOR_SETTING = "tags.generator"
_QUERY = "{query}"
_OWN_ROLE = (
    "[Role] You label requests. Do not answer them. Name the subject of each, the kind of task and the skill it needs, "
    "as three to five short tags on one line, parted by commas.\n"
)
_OWN_QUERY = "[Request] {}\n[Tags]"
_OWN_EXAMPLES = (
    ("Translate 'good morning' into Italian and say when people use it.", "translation, Italian language, etiquette"),
    ("A tank holds 40 litres and loses 3 litres an hour. When is it empty?", "word problem, arithmetic, rates"),
    ("Which vitamin does the skin make in sunlight? A. A B. C C. D", "multiple choice, biology, nutrition"),
)
"""Small models answer the request unless they were shown what is wanted."""


class PromptTemplate(Section):
    """What a model was tuned to be asked: `{query}` in `user` stands for the prompt; an empty `system` is left out."""

    system: str = ""
    user: str
    new_tokens: int = Field(ge=1, le=4096)

    @field_validator("user")
    @classmethod
    def _has_one_query(cls, user: str) -> str:
        if user.count(_QUERY) != 1:
            raise ValueError(f"holds {_QUERY} {user.count(_QUERY)} times; write it once, where the prompt belongs")
        return user

    def asked(self, tokenizer: Any, query: str, model: str) -> str:
        """What the model reads: system and user message in its own chat form, up to where its answer begins.

        Raises:
            InputError: the tokenizer has no chat template, or one that refuses these messages.
        """
        from jinja2 import TemplateError

        told = f"the language model '{model}'"
        if tokenizer.chat_template is None:
            raise InputError(
                f"{told} has no chat template, in which the messages of {PROMPT_SETTING} are told to it; name another "
                f"in {GENERATOR_SETTING}, or set {PROMPT_SETTING} to {OWN_PROMPT}"
            )
        system = [{"role": "system", "content": self.system}] if self.system else []
        user = {"role": "user", "content": self.user.replace(_QUERY, query)}
        try:
            return _in_chat([*system, user], tokenizer)
        except TemplateError as error:
            raise InputError(
                f"{told} refuses the messages of {PROMPT_SETTING} ({one_line(error)}); mend them"
            ) from error


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


def own_words(tokenizer: Any, query: str) -> str:
    """What the model reads: each example and its tags, then the query, in the model's own chat form if it has one."""
    asked = [*(_OWN_QUERY.format(example) for example, _ in _OWN_EXAMPLES), _OWN_QUERY.format(query)]
    asked[0] = _OWN_ROLE + asked[0]
    answers = [tags for _, tags in _OWN_EXAMPLES]
    if tokenizer.chat_template is None:
        return "\n".join([*(f"{text} {tags}" for text, tags in zip(asked, answers, strict=False)), asked[-1]])
    chat = []
    for text, tags in zip(asked, answers, strict=False):
        chat += [{"role": "user", "content": text}, {"role": "assistant", "content": tags}]
    return _in_chat([*chat, {"role": "user", "content": asked[-1]}], tokenizer)


def _in_chat(messages: list[dict[str, str]], tokenizer: Any) -> str:
    shown: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return shown
