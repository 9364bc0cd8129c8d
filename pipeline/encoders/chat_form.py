"""What a causal language model is told, in its own chat form if it has one; a prompt within it is text and no more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pipeline.runtime.errors import InputError, one_line

_CLOCK = "strftime_now"
_SAME_DAY = f"{{% macro {_CLOCK}(form) %}}1 January 2024{{% endmacro %}}"
"""For chat templates that tell a model the date: a prompt is to read the same on every day."""


@dataclass(frozen=True)
class FewShot:
    """A role, examples (asked, answered) and a prompt put into `query` for `{}`; its answer was begun by an `opening`.

    Small models answer a prompt unless they were shown what is wanted of it. `setting` is what errors name.
    """

    setting: str
    role: str
    query: str
    examples: Sequence[tuple[str, str]]
    opening: str = ""

    def asked(self, tokenizer: Any, prompt: str, told: str) -> str:
        """What the model reads, up to where its answer goes on; `told` is how an error calls it.

        Raises:
            InputError: it has a chat template, which refuses this.
        """
        asked = [self.query.replace("{}", text) for text in (*(text for text, _ in self.examples), prompt)]
        asked[0] = self.role + asked[0]
        answers = [f"{self.opening} {answer}".strip() for _, answer in self.examples]
        if tokenizer.chat_template is None:
            shown = [f"{text} {answer}" for text, answer in zip(asked, answers, strict=False)]
            return "\n".join([*shown, f"{asked[-1]} {self.opening}".rstrip()])
        chat = []
        for text, answer in zip(asked, answers, strict=False):
            chat += [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
        chat.append({"role": "user", "content": asked[-1]})
        return in_chat(tokenizer, chat, told, "what it is asked", f"name another in {self.setting}") + self.opening


def in_chat(tokenizer: Any, messages: Sequence[dict[str, str]], told: str, what: str, remedy: str) -> str:
    """Messages in a model's own chat form, up to where its answer begins. Whatever the day, it is the same.

    Raises:
        InputError: its chat template refuses them, or is none; the message says what was refused, and the `remedy`.
    """
    from jinja2 import TemplateError

    try:
        template = tokenizer.get_chat_template()
        shown: str = tokenizer.apply_chat_template(
            list(messages),
            chat_template=_SAME_DAY + template if _CLOCK in template else template,
            tokenize=False,
            add_generation_prompt=True,
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise InputError(f"{told} refuses {what} ({one_line(error)}); {remedy}") from error
    return shown


def as_text(tokenizer: Any, text: str) -> str:
    """The text without control tokens: what is written like one is parted by a space.

    Else a prompt could end its turn, and speak in the model's or the system's name.
    """
    return _control_tokens(tokenizer).sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)


@lru_cache(maxsize=4)
def _control_tokens(tokenizer: Any) -> re.Pattern[str]:
    """What finds them, the longest first; nothing is found where there are none."""
    special = (token.content for token in tokenizer.added_tokens_decoder.values() if token.special)
    control = sorted({token for token in (*tokenizer.all_special_tokens, *special) if len(token) > 1}, key=len)
    return re.compile("|".join(map(re.escape, reversed(control))) or r"(?!)")
