"""What tokens cost: a versioned file of list prices, so that a cost can always say where it came from."""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.data.names import Name
from pipeline.runtime.errors import InputError, as_piece, listed
from pipeline.runtime.text import read_text
from pipeline.runtime.yaml_file import load_yaml

MILLION = 1_000_000
PRICES_FILE = Path("data/prices.yaml")


class Priced(BaseModel):
    """A candidate by name with its prices, USD per million tokens. A price of 0 says that it is free, not unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Name
    usd_per_million_in: float = Field(ge=0, allow_inf_nan=False)
    usd_per_million_out: float = Field(ge=0, allow_inf_nan=False)


class ListPrice(Priced):
    """One entry of a price file: also where the price stands, with its date."""

    source: str = Field(min_length=1)


class _PriceFile(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    version: str = Field(min_length=1)
    as_of: date
    candidates: list[Any] = Field(min_length=1)


@dataclass(frozen=True)
class Prices:
    """A price file, read. `label` is what a cost says of its origin."""

    label: str
    by_name: dict[str, Priced]
    where: str

    def of(self, candidate: str) -> Priced:
        """The price of a candidate; `a/b` also answers to `a_b`, as file names have it.

        Raises:
            InputError: it is unknown. There is no default: a price that nobody knows is not 0.
        """
        found = self.by_name.get(candidate) or self.by_name.get(candidate.replace("/", "_"))
        if found is None:
            raise InputError(
                f"{self.where} has no price of '{candidate}'{nearest(candidate, self.by_name)}; "
                "add it, or give a price file that has it with --prices"
            )
        return found

    def cost(self, candidate: str, tokens_in: float, tokens_out: float) -> float:
        """USD for so many tokens.

        Raises:
            InputError: the candidate's price is unknown.
        """
        price = self.of(candidate)
        return (tokens_in * price.usd_per_million_in + tokens_out * price.usd_per_million_out) / MILLION


def read_prices(path: Path) -> Prices:
    """Read a price file of ours (.yaml), or RouterArena's list (.json).

    Raises:
        InputError: it is missing or malformed, names a candidate twice, or leaves out a price.
    """
    if path.suffix.lower() == ".json":
        return _routerarena(path)
    content = read_yaml(path, "data/prices.yaml")
    try:
        head = _PriceFile.model_validate(content)
    except ValidationError as error:
        raise InputError(problem(str(path), error, _PriceFile)) from error
    entries = named_entries(head.candidates, ListPrice, f"{path}: candidates")
    return Prices(f"tokens x prices {head.version}", {entry.name: entry for entry in entries}, str(path))


def _routerarena(path: Path) -> Prices:
    """`{model: {"input_token_price_per_million": ..., "output_token_price_per_million": ...}}`."""
    with _readable(path):
        text = read_text(path)
    try:
        content = json.loads(text)
        entries = [
            {
                "name": name,
                "usd_per_million_in": entry["input_token_price_per_million"],
                "usd_per_million_out": entry["output_token_price_per_million"],
            }
            for name, entry in content.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:80]
        raise InputError(f"{path} is not a price list of RouterArena ({reason}); name its model_cost.json") from error
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    prices = {entry.name: entry for entry in named_entries(entries, Priced, str(path))}
    return Prices(f"list price {path.name} {digest}", prices, str(path))


E = TypeVar("E", bound=Priced)


def named_entries(content: object, model: type[E], where: str) -> tuple[E, ...]:
    """Check a list of entries that have a `name`, each name once.

    Raises:
        InputError: no list, or an entry with a key that is unknown (the nearest known one is told), missing or wrong.
    """
    if not isinstance(content, list) or not content:
        raise InputError(f"{where}: not a list; write '- name: ...' entries")
    entries: dict[str, E] = {}
    for number, values in enumerate(content, start=1):
        name = values.get("name") if isinstance(values, dict) else None
        place = f"{where}, entry {number}" + (f" ('{name}')" if name else "")
        try:
            entry = model.model_validate(values)
        except ValidationError as error:
            raise InputError(problem(place, error, model)) from error
        if entry.name in entries:
            raise InputError(f"{place}: stands twice; rename or remove one")
        entries[entry.name] = entry
    return tuple(entries.values())


def read_yaml(path: Path, example: str) -> object:
    """A YAML file's content; `example` is a file to look at.

    Raises:
        InputError: it is missing, cannot be read, or is not YAML.
    """
    try:
        with _readable(path):
            return load_yaml(path)
    except yaml.YAMLError as error:
        raise InputError(f"{path} is not valid YAML ({' '.join(str(error).split())[:120]}); see {example}") from error


def problem(where: str, error: ValidationError, model: type[BaseModel]) -> str:
    """One line for what is wrong with an entry; a misspelt key before the one that is missing for it."""
    found = error.errors()
    first = next((each for each in found if each["type"] == "extra_forbidden"), found[0])
    key = ".".join(map(str, first["loc"])) or "entry"
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown key '{key}'{nearest(key, model.model_fields)}"
    if key.startswith("usd_per_million") and (first["type"] == "missing" or first["input"] is None):
        return f"{where}: the price {key} is unknown; write it (0 only for what is free)"
    return f"{where}: {key}: {as_piece(first['msg'])} (found {repr(first['input'])[:60]}); mend it"


def nearest(word: str, known: Any) -> str:
    """The end of a message about an unknown name: the nearest known one, or those that there are."""
    names = list(known)
    match = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"; did you mean '{match[0]}'?" if match else f" (known: {listed(names)})"


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the path") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read ({type(error).__name__}); check its mode and encoding") from error
