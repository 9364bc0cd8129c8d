"""Beginnings that many prompts share, such as the examples in front of every question of a test.

They are longer than an encoder reads, so that each such prompt would look the same. What follows them is read instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

LEAST_SHARE = 0.05
LEAST_PROMPTS = 5
LEAST_CHARACTERS = 200


def shared_prefixes(prompts: Sequence[str]) -> tuple[str, ...]:
    """Beginnings of at least 200 characters that at least 5 % of the prompts (and 5) share, each ending with a word."""
    need = max(LEAST_PROMPTS, int(LEAST_SHARE * len(prompts)))
    return tuple(sorted(_beginnings(sorted(set(prompts)), LEAST_CHARACTERS, need)))


def _beginnings(ordered: list[str], length: int, need: int) -> set[str]:
    """From sorted prompts, those shared by `need` of them to at least `length` characters, as long as they go."""
    found: set[str] = set()
    for _, same in groupby((text for text in ordered if len(text) > length), key=lambda text: text[:length]):
        group = list(same)
        if len(group) < need:
            continue
        common = _common(group[0], group[-1])
        deeper = _beginnings(group, len(common) + LEAST_CHARACTERS // 4, need)
        whole = _at_a_boundary(common)
        found |= deeper | ({whole} if len(whole) >= LEAST_CHARACTERS else set())
    return found


def _common(first: str, last: str) -> str:
    """The common beginning of all texts that sort between two."""
    for i, (a, b) in enumerate(zip(first, last, strict=False)):
        if a != b:
            return first[:i]
    return first[: min(len(first), len(last))]


def _at_a_boundary(text: str) -> str:
    """The text up to its last line end; of a single line, up to its last space."""
    cut = max(text.rfind("\n"), text.rfind(" ") if "\n" not in text else -1)
    return text[: cut + 1]


def without_prefix(prompt: str, prefixes: Sequence[str]) -> str:
    """What follows the longest of the beginnings; the prompt itself where there is none, or nothing follows."""
    longest = max((prefix for prefix in prefixes if prompt.startswith(prefix)), key=len, default="")
    return prompt[len(longest) :].strip() or prompt


def readings_of(prompt: str) -> Iterator[str]:
    """Every text that may be read in the place of a prompt: itself, and what follows any beginning long enough."""
    yield from (prompt, prompt.strip())
    for at in range(LEAST_CHARACTERS - 1, len(prompt)):
        if prompt[at] in "\n ":
            yield prompt[at + 1 :].strip()
