"""params.yaml: a slip in it is an error that names the key, and no knob in it is idle."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import Field
from sandbox import ROOT

from pipeline.runtime.errors import ParamsError
from pipeline.runtime.params import PARAMS_FILE, Section, parse, read, read_file

SHIPPED = ROOT / "params.yaml"


class Bakery(Section):
    """A section for these tests."""

    ovens: int = Field(ge=1)
    flour_kg: float = Field(gt=0)
    open_late: bool = False


GOOD = "bakery:\n  ovens: 2\n  flour_kg: 10\n"


def slip(tmp_path: Path, text: str, section: str = "bakery") -> str:
    """The one line that the slip gives, after the file's name."""
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ParamsError) as error:
        read(section, Bakery, path)
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert error.value.exit_code == 2
    return message[len(str(path)) :]


def test_a_section_is_read_typed_and_frozen(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(GOOD + "other:\n  unknown: 1\n", encoding="utf-8")
    bakery = read("bakery", Bakery, path)
    assert (bakery.ovens, bakery.flour_kg, bakery.open_late) == (2, 10.0, False)
    with pytest.raises(ValueError, match="frozen"):
        bakery.ovens = 3  # type: ignore[misc]


SLIPS: list[tuple[str, str, str]] = [
    ("misspelt", GOOD + "  open_lat: true\n", ": unknown key 'bakery.open_lat'; did you mean 'open_late'?"),
    ("unlike_any", GOOD + "  zzz: 1\n", ": unknown key 'bakery.zzz'; known are ovens, flour_kg, open_late"),
    ("missing_key", "bakery:\n  ovens: 2\n", ": bakery.flour_kg: field required (found {'ovens': 2})"),
    ("text_for_a_number", GOOD.replace("2", '"2"'), ": bakery.ovens: input should be a valid integer (found '2')"),
    ("fraction", GOOD.replace("2", "2.5"), ": bakery.ovens: input should be a valid integer"),
    ("boolean_for_a_number", GOOD.replace("2", "yes"), ": bakery.ovens: input should be a valid integer (found True)"),
    (
        "number_for_a_boolean",
        GOOD + "  open_late: 1\n",
        ": bakery.open_late: input should be a valid boolean (found 1)",
    ),
    ("null", GOOD.replace("10", "null"), ": bakery.flour_kg: input should be a valid number (found None)"),
    ("out_of_range", GOOD.replace("2", "0"), ": bakery.ovens: input should be greater than or equal to 1 (found 0)"),
    ("list_for_a_section", "bakery: [1]\n", ": bakery: input should be a valid dictionary"),
    ("empty_section", "bakery:\n", ": bakery.ovens: field required"),
    ("no_such_section", "bakry:\n  ovens: 2\n", " has no section 'bakery' (found: bakry); add it, or mend its name"),
    ("not_yaml", "bakery: {ovens: 2\n", " is not valid YAML ("),
    (
        "colon_in_brackets",
        GOOD + "x: &x [a, *x]\nto: ['b:c', env:A]\n",
        " is not valid YAML ('env:A' in line 5 holds a colon in brackets); write it in",
    ),
    ("not_utf8", "bakery: \udcff", " is not valid YAML ("),
    ("empty_file", "", " holds no sections; write one, such as 'train:', or restore it with git checkout"),
    ("list_file", "- 1\n", " holds no sections; write one, such as 'train:', or restore it with git checkout"),
]


@pytest.mark.parametrize(("text", "message"), [case[1:] for case in SLIPS], ids=[case[0] for case in SLIPS])
def test_a_slip_is_told_in_one_line(text: str, message: str, tmp_path: Path) -> None:
    if "\udcff" in text:
        (tmp_path / "params.yaml").write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(ParamsError, match=re.escape(message)):
            read_file(tmp_path / "params.yaml")
        return
    assert slip(tmp_path, text).startswith(message)


def test_a_missing_file_and_a_directory_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match=r"params\.yaml is missing; run from the project's root"):
        read_file(tmp_path / "params.yaml")
    with pytest.raises(ParamsError, match="cannot be read"):
        read_file(tmp_path)


# --- The shipped file, held against the code: every `read("section", Model)` in it.


def sections_read() -> dict[str, set[str]]:
    """Section name -> the names of the models with which the code reads it, found in the source."""
    found: dict[str, set[str]] = {}
    for path in sources():
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call) or len(call.args) < 2:
                continue
            section, model = call.args[:2]
            on_both = ast.unparse(call.func) in ("track.read", "project.params")
            if on_both or ast.unparse(call.func) == "read":
                name = (
                    section.value
                    if isinstance(section, ast.Constant)
                    else getattr(module_of(path), ast.unparse(section), "")
                )
                for prefix in ("", "models.") if on_both else ("",):
                    found.setdefault(f"{prefix}{name}", set()).add(ast.unparse(model))
    # Gates and validation of the two tracks read each a section of its own model.
    return {name: models for name, models in found.items() if name} | {
        "gate": {"GateParams"}, "models.gate": {"ModelGateParams"},
        "validate": {"ValidationParams"}, "models.validate": {"ModelValidationParams"},
    }  # fmt: skip


def model_named(name: str) -> type[Section]:
    """The section model of that name, wherever it is declared."""
    (place,) = [path for path in sources() if f"\nclass {name}(" in path.read_text(encoding="utf-8")]
    model: type[Section] = getattr(module_of(place), name)
    return model


def module_of(path: Path) -> Any:
    return importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))


def sources() -> list[Path]:
    return [path for name in ("pipeline", "flows", "switchtender") for path in sorted((ROOT / name).rglob("*.py"))]


def shipped() -> dict[str, dict[str, object]]:
    content: dict[str, dict[str, Any]] = yaml.safe_load(SHIPPED.read_text(encoding="utf-8"))
    return content | {f"models.{name}": values for name, values in content.pop("models").items()}


def test_every_shipped_section_is_read_and_every_section_read_is_shipped() -> None:
    assert set(shipped()) == set(sections_read())
    assert Path("params.yaml") == PARAMS_FILE


def test_every_shipped_section_parses_with_its_model_and_sets_each_of_its_keys() -> None:
    for section, models in sections_read().items():
        (model,) = map(model_named, models)
        parse(section, model, shipped()[section])
        needed = {name for name, field in model.model_fields.items() if field.is_required()}
        missing = (needed if section.endswith("train") else set(model.model_fields)) - set(shipped()[section])
        assert not missing, (section, missing)


def test_every_shipped_key_is_used_somewhere() -> None:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sources()]
    used = {node.attr for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for section, values in shipped().items():
        assert set(values) <= used, section


def test_every_shipped_key_is_explained() -> None:
    lines = SHIPPED.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if re.match(r"  +\w+: +[^#]", line) and " # " not in line] == []
