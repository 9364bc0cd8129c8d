"""The journal: whole lines whatever happens, nothing answered that is not written, read back joined."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from small_service import wait_until

from pipeline.serving.engine.decision_journal import (
    DECISIONS,
    FEEDBACK,
    Journal,
    JournalFailed,
    append_lines,
    decisions_with_feedback,
    entries,
)


def test_many_threads_write_whole_lines(tmp_path: Path) -> None:
    journal = Journal(tmp_path)

    def write(thread: int) -> None:
        for number in range(200):
            entry = {"thread": thread, "number": number, "filling": "x" * 300}
            if thread % 2:
                journal.write_decisions([entry])
            else:
                journal.decisions([entry]).result()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()
    found = list(entries(tmp_path / DECISIONS))
    assert len(found) == 1600
    for thread_number in range(8):
        assert [e["number"] for e in found if e["thread"] == thread_number] == list(range(200))


def test_half_a_line_of_a_crash_is_passed_over_and_spoils_nothing(tmp_path: Path) -> None:
    path = tmp_path / DECISIONS
    append_lines(path, b'{"a": 1}\n')
    with path.open("ab") as file:
        file.write(b'{"a": 2, "b"')
    assert [e["a"] for e in entries(path)] == [1]
    append_lines(path, b'{"a": 3}\n')
    assert [e["a"] for e in entries(path)] == [1, 3]
    assert path.read_bytes().endswith(b'"b"\n{"a": 3}\n')


def test_a_killed_process_has_lost_nothing_that_it_was_told_is_written(tmp_path: Path) -> None:
    code = (
        "import sys, os; from pathlib import Path; from pipeline.serving.engine.decision_journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for number in range(50): journal.decisions([{'number': number}]).result()\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=dict(os.environ), check=False)
    assert done.returncode == -9
    assert [e["number"] for e in entries(tmp_path / DECISIONS)] == list(range(50))


def test_what_waits_is_written_at_the_end_and_nothing_after(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    waiting = [journal.decisions([{"number": number}]) for number in range(500)]
    journal.close()
    assert all(write.done() and write.exception() is None for write in waiting)
    assert len(list(entries(tmp_path / DECISIONS))) == 500
    with pytest.raises(JournalFailed, match="closed"):
        journal.decisions([{}]).result()
    with pytest.raises(JournalFailed, match="closed"):
        journal.write_decisions([{}])


@pytest.mark.parametrize("own_thread", [False, True])
def test_a_journal_that_cannot_write_says_so_and_recovers_by_itself(tmp_path: Path, own_thread: bool) -> None:
    blocked = tmp_path / "serving"
    blocked.write_text("a file where the folder should be")
    journal = Journal(blocked)
    write = journal.write_decisions if own_thread else lambda entries: journal.decisions(entries).result()
    with pytest.raises(JournalFailed, match="cannot be written"):
        write([{"number": 1}])
    assert "cannot be written" in journal.trouble
    blocked.unlink()
    wait_until(lambda: not journal.trouble)
    journal.decisions([{"number": 2}]).result()
    journal.close()
    assert [e["number"] for e in entries(blocked / DECISIONS)] == [2]


def test_feedback_that_cannot_be_written_stops_no_routing(tmp_path: Path) -> None:
    (tmp_path / FEEDBACK).mkdir()
    journal = Journal(tmp_path)
    with pytest.raises(JournalFailed, match="mend that, and try again"):
        journal.feedback({"number": 1}).result()
    assert not journal.trouble
    journal.decisions([{"number": 2}]).result()
    journal.close()


def test_a_request_that_gives_up_waiting_stops_no_writing(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    cancelled = [journal.decisions([{"number": number}]).cancel() for number in range(200)]
    journal.decisions([{"number": 200}]).result(30)
    journal.close()
    assert not any(cancelled)
    assert len(list(entries(tmp_path / DECISIONS))) == 201


def test_a_moved_journal_is_begun_anew(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.decisions([{"number": 1}]).result()
    (tmp_path / DECISIONS).rename(tmp_path / "old.jsonl")
    journal.decisions([{"number": 2}]).result()
    journal.close()
    assert [e["number"] for e in entries(tmp_path / DECISIONS)] == [2]


def test_judgements_are_joined_with_their_decisions(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.decisions([{"request_id": "a", "index": 0}, {"request_id": "a", "index": 1}]).result()
    journal.feedback({"request_id": "a", "index": 1, "accepted": False}).result()
    journal.feedback({"request_id": "elsewhere", "index": 0, "accepted": True}).result()
    journal.feedback({"request_id": "a", "index": 1, "right": ["sql"]}).result()
    journal.close()
    (found,) = decisions_with_feedback(tmp_path)
    assert found.decision["index"] == 1
    assert [sorted(said) for said in found.feedback] == [
        ["accepted", "index", "request_id"],
        ["index", "request_id", "right"],
    ]
    assert oct((tmp_path / FEEDBACK).stat().st_mode & 0o777) == "0o600"
    assert decisions_with_feedback(tmp_path / "nothing here") == []


def test_every_line_is_one_object_in_ascii(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.decisions([{"prompt": "line one\nline two\u2028 žluťoučký \x85"}]).result()
    journal.close()
    (line,) = (tmp_path / DECISIONS).read_bytes().splitlines()
    assert json.loads(line.decode("ascii"))["prompt"].endswith("\x85")
