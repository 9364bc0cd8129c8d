"""Reading a YAML file that somebody wrote: a key that stands twice in one mapping is an error, not the last one's."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from pipeline.runtime.text import read_text, valid_text


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(None, None, f"'{key.value}' stands twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        try:
            return valid_text(super().construct_scalar(node))
        except ValueError as error:
            raise yaml.constructor.ConstructorError(None, None, f"a text {error}", node.start_mark) from error


def load_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        OSError, UnicodeDecodeError: it cannot be opened, or is not UTF-8.
        yaml.YAMLError: it is not YAML, has a key twice, or a text that UTF-8 cannot hold.
    """
    return parse_yaml(read_text(path))


def parse_yaml(text: str) -> Any:
    """The content of a YAML text.

    Raises:
        yaml.YAMLError: as for `load_yaml`.
    """
    try:
        return deepcopy(_parsed(text)[0])
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply") from error


def unquoted_colon(path: Path) -> str:
    """The first text without quotes that holds a colon within brackets or braces, with its line; empty where none does.

    Raises:
        OSError, UnicodeDecodeError, yaml.YAMLError: as for `load_yaml`.
    """
    return _parsed(read_text(path))[1]


@lru_cache(maxsize=32)
def _parsed(text: str) -> tuple[Any, str]:
    """The content, and the first unquoted colon; remembered, since params.yaml is read anew for each of its sections,
    which took most of the time of every command that only reads.
    """
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        colon = next(_unquoted_colons(node, False, set()), "")
        return None if node is None else loader.construct_document(node), colon
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deeply") from error
    finally:
        loader.dispose()


def _unquoted_colons(node: yaml.Node | None, inside: bool, seen: set[int]) -> Iterator[str]:
    if id(node) in seen:  # an alias, which may lead back to where it stands
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode) and inside and node.style is None and ":" in node.value:
        yield f"'{node.value}' in line {node.start_mark.line + 1}"
    elif isinstance(node, yaml.CollectionNode):
        for entry in node.value:
            for part in entry if isinstance(entry, tuple) else (entry,):
                yield from _unquoted_colons(part, inside or bool(node.flow_style), seen)
