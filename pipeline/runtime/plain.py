"""Frozen dataclasses as plain JSON values, and back.

Laws: what is not known is NaN in a field of type `Figure`, and null in JSON. Keys stand in the order of the fields; one
whose metadata are OMITTED is left out where it is None.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, TypeAdapter

T = TypeVar("T")

Figure = Annotated[float, BeforeValidator(lambda value: math.nan if value is None else value)]
"""A float that may not be known."""

JsonObject = dict[str, Any]
"""What stands in a JSON file or is printed as JSON: the border of the process, where types end."""

OMITTED = {"omitted where None": True}
"""The metadata of a field that JSON leaves out where it is None."""


def plain(value: object) -> Any:
    """Dataclasses, mappings and sequences as values that `json.dumps` takes."""
    if is_dataclass(value) and not isinstance(value, type):
        own = getattr(value, "to_json", None)
        return own() if own else plain_fields(value)
    if isinstance(value, Mapping):
        return {key: plain(found) for key, found in value.items()}
    if isinstance(value, list | tuple):
        return [plain(found) for found in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def plain_fields(value: Any) -> JsonObject:
    """A dataclass field by field, whether or not it has a `to_json` of its own."""
    found = ((each, getattr(value, each.name)) for each in fields(value))
    return {each.name: plain(held) for each, held in found if held is not None or each.metadata != OMITTED}


def as_stored(value: object) -> Any:
    """Plain values with their keys in the order in which `write_json` puts them."""
    return json.loads(json.dumps(plain(value), sort_keys=True))


def parsed(kind: type[T], value: object) -> T:
    """Plain values as a dataclass of `kind`; further keys are passed over.

    Raises:
        ValueError: a key is missing, or a value is of the wrong type.
    """
    return TypeAdapter(kind).validate_python(value)
