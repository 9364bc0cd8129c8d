"""params.yaml, read once, section by section, into frozen typed models.

Each stage declares its own section beside the code that uses it, so that a new setting of one stage
makes no other stage stale.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.runtime.errors import ParamsError, as_piece, listed, one_line, suggestion
from pipeline.runtime.yaml_file import load_yaml, unquoted_colon

PARAMS_FILE = Path("params.yaml")


class Section(BaseModel):
    """One section of params.yaml: frozen, its figures finite, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


S = TypeVar("S", bound=Section)


def read_file(path: Path = PARAMS_FILE) -> dict[str, Any]:
    """Parse params.yaml into a mapping of sections.

    Raises:
        ParamsError: the file is missing, is not YAML, or is not a mapping.
    """
    try:
        content = load_yaml(path)
        unquoted = unquoted_colon(path)
    except FileNotFoundError as error:
        raise ParamsError(f"{path} is missing; run from the project's root, or restore it with git checkout") from error
    except OSError as error:
        raise ParamsError(f"{path} cannot be read ({error.strerror}); check the path and its permissions") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(f"{path} is not valid YAML ({' '.join(str(error).split())}); mend that line") from error
    if unquoted:
        # PyYAML takes it and DVC, which reads the file before each stage, does not.
        raise ParamsError(f"{path} is not valid YAML ({unquoted} holds a colon in brackets); write it in quotes")
    if not isinstance(content, dict):
        raise ParamsError(f"{path} holds no sections; write one, such as 'train:', or restore it with git checkout")
    return content


def read(section: str, model: type[S], path: Path = PARAMS_FILE) -> S:
    """Read one section of params.yaml; `outer.inner` names a section inside another.

    Raises:
        ParamsError: the section is missing, or a key in it is unknown, missing or of the wrong type.
    """
    content = read_file(path)
    for name in section.split("."):
        if not isinstance(content, dict) or name not in content:
            found = listed(map(str, content)) if isinstance(content, dict) else "nothing"
            raise ParamsError(f"{path} has no section '{section}' (found: {found}); add it, or mend its name")
        content = content[name] or {}
    return parse(section, model, content, path)


def parse(section: str, model: type[S], values: dict[str, Any], where: Path = PARAMS_FILE) -> S:
    """Check one section's values and freeze them.

    Raises:
        ParamsError: a key is unknown, missing or of the wrong type.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join([section, *map(str, first["loc"])])
        if first["type"] == "extra_forbidden":
            known = _known_keys(model, first["loc"][:-1])
            raise ParamsError(f"{where}: unknown key '{key}'{_nearest(str(first['loc'][-1]), known)}") from error
        found = one_line(repr(first["input"]))
        raise ParamsError(f"{where}: {key}: {as_piece(first['msg'])} (found {found})") from error


def _known_keys(model: type[BaseModel], place: Sequence[int | str]) -> list[str]:
    """The keys of a section inside another, `place` being the way to it."""
    for name in place:
        inner = model.model_fields[str(name)].annotation if str(name) in model.model_fields else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        model = inner
    return list(model.model_fields)


def _nearest(word: str, known: Any) -> str:
    """How a message about an unknown key ends: the nearest known one, or all of them."""
    return f"; {suggestion(word, map(str, known), f'known are {listed(known)}', 0.5)}"
