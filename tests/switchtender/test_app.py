"""The command line as a whole: every verb is there and shows an example, starts quickly, and says slips in one line."""

from __future__ import annotations

import errno
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from own_table import command
from typer.testing import CliRunner

import switchtender.__main__
import switchtender.verbs
from switchtender.app import app

HEAVY = (
    "torch", "mlflow", "great_expectations", "gradio", "prefect", "pandas", "numpy", "sklearn", "transformers", "dvc",
    "flows",
)  # fmt: skip


def commands(group: typer.Typer, *above: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each verb as it is typed, and the module that declares it."""
    for declared in group.registered_commands:
        assert declared.callback is not None
        yield (*above, declared.name or declared.callback.__name__), declared.callback.__module__
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        name = inner.typer_instance.info.name
        yield from commands(inner.typer_instance, *above, *([name] if isinstance(name, str) else []))


COMMANDS = dict(commands(app))


def test_every_module_of_a_verb_is_registered() -> None:
    package = switchtender.verbs
    assert set(COMMANDS.values()) == {
        f"{package.__name__}.{found.name}" for found in pkgutil.iter_modules(package.__path__)
    }


@pytest.mark.parametrize("verb", COMMANDS, ids=" ".join)
def test_every_verb_has_an_example(verb: tuple[str, ...]) -> None:
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*verb, "--help"])
    assert done.exit_code == 0
    said = " ".join(done.output.split())
    assert f"Example: switchtender {' '.join(verb)}" in said or f"Examples: switchtender {' '.join(verb)}" in said


def test_what_the_system_refuses_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "var/x")

    monkeypatch.setattr(switchtender.__main__, "app", refused)
    monkeypatch.setattr("sys.argv", ["switchtender", "status"])
    with pytest.raises(SystemExit, match="1"):
        switchtender.__main__.main()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("switchtender: var/x: No space left on device; mend that")


def test_no_verb_imports_a_heavy_library_before_it_needs_one() -> None:
    code = f"import sys, switchtender.app, switchtender.__main__; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


GOOD = "prompt_id,prompt,agents\na,one,x\nb,two,y\nc,three,x\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("fit", "nothing.csv", "--out", "o"), "nothing.csv does not exist"),
        (("fit", ".", "--out", "o"), "is a directory"),
        (("fit", "t.txt", "--out", "o"), "unknown ending '.txt'"),
        (("fit", "t.csv", "--router", "oracle", "--out", "o"), "unknown router 'oracle'"),
        (("fit", "t.csv", "--out", "t.csv"), "t.csv exists"),
        (("predict", "nowhere", "t.csv", "--out", "p.csv"), "nowhere holds no router"),
        (("predict", "nowhere", "t.csv", "--out", "t.csv"), "--out t.csv is what is read from; name another file"),
        (("evaluate", "t.csv", "t.csv"), "lacks the column 'candidate'"),
        (("fit", "t.csv", "--agents", "absent.yaml", "--out", "o"), "absent.yaml is missing"),
        (("recommend", "t.csv", "--budget", "inf"), "write a finite number"),
        (("route", "\udcff"), "argument 2, '\\udcff', is not UTF-8"),
        (("candidate", "add", "a|b", "t.csv"), "has the name 'a|b'"),
        (("nightly",), "not inside a Switchtender project"),
    ],
)
def test_a_wrong_argument_is_one_clear_line(arguments: tuple[str, ...], expected: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(GOOD)
    (tmp_path / "t.txt").write_text(GOOD)
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.txt"]


def test_an_interrupted_verb_says_so_and_ends_with_130(tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code += "import switchtender.app as a, switchtender.__main__ as m, _thread, os\n"
    code += "@a.app.command()\ndef stuck() -> None:\n    os.kill(os.getpid(), signal.SIGINT)\n    input()\nm.main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "stuck"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "switchtender: interrupted; what was finished is kept, run the same command to go on\n"


def test_the_release_is_told(tmp_path: Path) -> None:
    from importlib.metadata import version

    assert command("--version", cwd=tmp_path).stdout.strip() == version("switchtender")
