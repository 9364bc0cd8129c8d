"""A version's settings in words, section by section, for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


def sections(params: Mapping[str, object], outer: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    """Each section's name and its own settings; sections inside it follow as `outer.inner`.

    A section that is one value has it under no name; one of nothing has none.
    """
    for name, values in params.items():
        if not isinstance(values, Mapping):
            yield f"{outer}{name}", {"": _in_words(values)}
            continue
        inner = {key: value for key, value in values.items() if value and isinstance(value, Mapping)}
        if (own := {key: _in_words(value) for key, value in values.items() if key not in inner}) or not inner:
            yield f"{outer}{name}", own
        yield from sections(inner, f"{outer}{name}.")


def _in_words(value: object) -> str:
    """As a person says it; what is not set is none."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if value and isinstance(value, list):
        return f"[{', '.join(map(_in_words, value))}]"
    return "none" if value is None or value in ("", [], {}) else str(value)
