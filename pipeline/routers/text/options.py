"""The options of a multiple-choice prompt."""

from __future__ import annotations

import re

_OPTION = re.compile(r"^(\s*\(?)([A-J])([.):、．]\s*)(.*)$")
_FIRST = ord("A")


def rotated_options(text: str, shift: int) -> str:
    """The prompt with its options moved on by `shift` letters: with 1, what stood at A stands at B, the last at A.

    Options are lines that begin with A, B, C ... in turn, with nothing between them but empty lines: of options that
    take several lines nobody knows where the last one ends. A text with fewer than two stays as it is.
    """
    lines = text.split("\n")
    places = _options(lines)
    found = [_OPTION.match(lines[place]) for place in places]
    contents = [match.group(4) for match in found if match]
    for row, (place, match) in enumerate(zip(places, found, strict=True)):
        if match:
            lines[place] = "".join(match.group(1, 2, 3)) + contents[(row - shift) % len(places)]
    return "\n".join(lines)


def _options(lines: list[str]) -> list[int]:
    """The numbers of the lines that are options; none where A does not lead to a B, or other lines stand between."""
    places: list[int] = []
    for number, line in enumerate(lines):
        match = _OPTION.match(line)
        if match and ord(match.group(2)) == _FIRST + len(places):
            places.append(number)
        elif match and match.group(2) == "A":
            places = [number]
    between = set(range(places[0], places[-1])) - set(places) if places else set()
    return places if len(places) > 1 and not any(lines[number].strip() for number in between) else []
