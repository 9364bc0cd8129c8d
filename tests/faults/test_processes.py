"""A command's whole process group ends with it: by itself, by a time-out, and with a child that will not listen."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.workspace.dvc_stages import StageFailed, TransientFailure, _failure
from flows.workspace.lock import held
from flows.workspace.processes import TIMED_OUT, run
from pipeline.runtime.errors import HeldByAnotherRun, InputError

GRANDCHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import signal, time; {ignore}; print(1, flush=True); time.sleep(60)"])
print(child.pid, flush=True)
time.sleep({seconds})
"""


def start_grandchild(tmp_path: Path, seconds: float, ignore: str, timeout: float) -> tuple[int, int]:
    code = GRANDCHILD.format(seconds=seconds, ignore=ignore)
    done = run([sys.executable, "-c", code], cwd=tmp_path, env=os.environ, timeout=timeout)
    return done.code, max(int(line) for line in done.output.split())


def is_alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_a_timed_out_command_leaves_no_grandchild(tmp_path: Path) -> None:
    code, grandchild = start_grandchild(tmp_path, 60, "pass", timeout=3)
    assert code == TIMED_OUT
    assert not is_alive(grandchild)


def test_a_command_that_ended_leaves_no_grandchild(tmp_path: Path) -> None:
    code, grandchild = start_grandchild(tmp_path, 1, "pass", timeout=30)
    assert code == 0
    assert not is_alive(grandchild)


def test_a_grandchild_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    _, grandchild = start_grandchild(tmp_path, 60, "signal.signal(signal.SIGTERM, signal.SIG_IGN)", timeout=3)
    assert not is_alive(grandchild)


def test_what_is_passed_on_to_a_terminal_cannot_speak_to_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    parts = (b"\r 50%", b"\x1b[2J\xe2\x80", b"\xae\xff n\xc3\xa9\n")
    code = f"import os\nfor part in {parts}: os.write(2, part)"
    done = run([sys.executable, "-c", code], cwd=tmp_path, env=os.environ, echo=True)
    assert capfd.readouterr().err == "\r 50%\\u001b[2J\\u202e\ufffd n\u00e9\n"
    assert "\x1b[2J\u202e" in done.output, "the night's own record has it as it was"


def test_output_and_exit_code_come_back(tmp_path: Path) -> None:
    done = run([sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"],
               cwd=tmp_path, env=os.environ)  # fmt: skip
    assert done.code == 7
    assert {"out", "err"} <= set(done.output.split())


def trouble(code: int, output: str) -> Exception:
    from flows.workspace.processes import Finished

    return _failure("train", Finished(code, output, 1.0), 60.0)


@pytest.mark.parametrize(
    ("code", "output"),
    [(TIMED_OUT, ""), (255, "exited with -9"), (255, "exited with 137"), (255, "ERROR: Unable to acquire lock")],
)
def test_what_may_pass_is_tried_again(code: int, output: str) -> None:
    assert isinstance(trouble(code, output), TransientFailure)


def test_a_stages_own_words_are_kept() -> None:
    found = trouble(255, "train: data/x.csv is missing; restore it\nERROR: failed to reproduce: exited with 2")
    assert isinstance(found, InputError)
    assert str(found) == "train: data/x.csv is missing; restore it"


def test_a_full_disk_is_told_in_the_stages_own_words_and_not_tried_again() -> None:
    found = trouble(255, "train: x cannot be written (No space left on device); free some space\nexited with 1")
    assert str(found).endswith("free some space")
    assert not isinstance(found, TransientFailure)


def test_a_bug_is_not_tried_again() -> None:
    found = trouble(255, "ZeroDivisionError: division by zero\nexited with 1")
    assert isinstance(found, StageFailed)
    assert not isinstance(found, TransientFailure)


def test_the_lock_names_its_holder(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from flows.workspace.lock import held\n"
        "with held(Path(sys.argv[1]), 'nightly'):\n    print('ready', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline().strip() == "ready"
    with (
        pytest.raises(HeldByAnotherRun, match=rf"held by nightly \(process {other.pid}, since "),
        held(tmp_path / "lock", "x"),
    ):
        pass
    other.kill()
    other.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            with held(tmp_path / "lock", "x"):
                return
        except HeldByAnotherRun:
            time.sleep(0.1)
    pytest.fail("a killed holder still holds the lock")
