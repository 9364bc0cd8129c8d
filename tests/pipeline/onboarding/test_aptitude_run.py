"""A candidate behind an endpoint takes the test: patience, pace, resuming, grading by rule, keys that stay secret."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from small_aptitude import plain, small_table, small_test
from stub_endpoint import Reply, Stub, completion, failure, stub_endpoint

from pipeline.data.prices import Priced
from pipeline.onboarding.answers_file import AnswerFile
from pipeline.onboarding.aptitude_run import AptitudeRunResult, answer_sheet, estimate, read_sheet
from pipeline.onboarding.aptitude_sheet import make_sheet, write_sheet
from pipeline.onboarding.chat_client import AptitudeRunParams, ChatClient, PromptRefused, endpoint_of
from pipeline.onboarding.graded_answers import grade, read_graded_answers
from pipeline.runtime.errors import HeldByAnotherRun, InputError, ParamsError, SwitchtenderError, TableError
from pipeline.runtime.tables import read_table, write_table

TEST = small_test()
KEY = "not-a-real-key-42"
PRICE = Priced(name="x", usd_per_million_in=1.0, usd_per_million_out=10.0)


@dataclass
class Time:
    """A clock that moves only by sleeping."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += [seconds] if seconds else []


@pytest.fixture
def stub() -> Iterator[Stub]:
    with stub_endpoint() as stub:
        yield stub


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    """Six items of the small test; the right answer to each is B."""
    told = small_table(tmp_path / "table.csv", reference="B")
    write_sheet(make_sheet(TEST, plain, told), 6, tmp_path / "sheet.csv")
    return tmp_path / "sheet.csv"


def settings(stub: Stub, **changes: object) -> AptitudeRunParams:
    return AptitudeRunParams(endpoint=stub.url, per_minute=60_000).model_copy(update=changes)


def client(stub: Stub, time: Time | None = None, **changes: object) -> ChatClient:
    params, time = settings(stub, **changes), time or Time()
    return ChatClient(endpoint_of(params, "new-model"), params, time.clock, time.sleep)


def run(stub: Stub, sheet: Path, out: Path, price: Priced | None = PRICE) -> AptitudeRunResult:
    rows = read_sheet(sheet)
    with AnswerFile(out, rows.columns) as file, client(stub) as one:
        return answer_sheet(rows, file, one, price)


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_answers_are_kept_with_grade_and_cost_and_can_be_imported(stub: Stub, sheet: Path, ending: str) -> None:
    stub.answer = lambda prompt: completion("**B**" if prompt.startswith("sums") else 'A, or\r\n"B"')
    out = sheet.parent / f"answers.{ending}"
    found = run(stub, sheet, out)
    rows = read_table(out)
    is_sum = rows["prompt_id"].str.startswith("sums")
    assert (found.asked, found.answered, found.graded, found.refused) == (6, 6, int(is_sum.sum()), {})
    assert found.usd == pytest.approx(6 * 200e-6)
    assert set(rows.loc[is_sum, "quality"]) == {"1"}
    assert set(rows.loc[~is_sum, "quality"]) == {""}
    assert set(rows.loc[~is_sum, "answer"]) == {'A, or\r\n"B"'}
    assert set(rows["cost"]) == {"0.0002"}
    assert stub.prompts == list(read_table(sheet)["prompt"])
    assert set(stub.bodies[0]) == {"model", "messages", "max_tokens"}
    with pytest.raises(TableError, match="quality is empty"):
        read_graded_answers(out, TEST, plain)
    assert len(read_graded_answers(out, TEST, plain, partial=True).answers) == found.graded


def test_a_second_call_asks_only_what_is_missing(stub: Stub, sheet: Path) -> None:
    out = sheet.parent / "answers.csv"
    stub.first = [completion("B"), completion("B"), *[failure(500)] * 8]
    with pytest.raises(SwitchtenderError, match=r"did not answer in 8 tries \(status 500\); what was answered is kept"):
        run(stub, sheet, out)
    assert len(read_table(out)) == 2
    write_table(read_table(out).drop(columns="line").assign(quality="1"), sheet.parent / "graded.csv")
    with pytest.raises(TableError, match=r"graded\.csv, line 4: the file ends, and 4 of 6 items have no row"):
        read_graded_answers(sheet.parent / "graded.csv", TEST, plain)
    stub.bodies.clear()
    assert run(stub, sheet, out).answered == 6
    assert stub.prompts == list(read_table(sheet)["prompt"])[2:]
    assert list(read_table(out)["prompt_id"]) == list(read_table(sheet)["prompt_id"])
    stub.bodies.clear()
    assert run(stub, sheet, out).asked == len(stub.bodies) == 0


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_half_a_row_costs_one_answer(stub: Stub, sheet: Path, ending: str) -> None:
    out = sheet.parent / f"answers.{ending}"
    stub.answer = lambda prompt: completion('two\nlines, and a " quote')
    run(stub, sheet, out)
    whole = out.read_bytes()
    start, end = (whole.rindex(name) - (1 if ending == "csv" else len('{"item": "')) for name in (b"5 of 6", b"6 of 6"))
    for cut in range(start + 1, end, 7):
        out.write_bytes(whole[:cut])
        stub.bodies.clear()
        assert run(stub, sheet, out).answered == 6
        assert len(stub.bodies) == 2
        assert out.read_bytes() == whole
    out.write_bytes(b"")
    assert run(stub, sheet, out).asked == 6
    assert out.read_bytes() == whole


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_last_row_without_its_line_end_is_kept(stub: Stub, sheet: Path, ending: str) -> None:
    out = sheet.parent / f"answers.{ending}"
    stub.answer = lambda prompt: completion('two\nlines, and a " quote')
    run(stub, sheet, out)
    whole = out.read_bytes()
    out.write_bytes(whole[:-1])
    stub.bodies.clear()
    assert run(stub, sheet, out).asked == len(stub.bodies) == 0
    assert out.read_bytes() == whole


def test_answers_of_another_model_sheet_or_kind_are_not_gone_on_with(stub: Stub, sheet: Path) -> None:
    out = sheet.parent / "answers.csv"
    run(stub, sheet, out)
    content = out.read_text(encoding="utf-8")
    out.write_text(content.replace("new-model", "old-model"), encoding="utf-8")
    with pytest.raises(TableError, match=r"answers\.csv, line 2: answered by 'old-model'"):
        run(stub, sheet, out)
    out.write_text(content.replace("question", "riddle"), encoding="utf-8")
    with pytest.raises(TableError, match=r"line 2: prompt '.*', which is not so in the sheet"):
        run(stub, sheet, out)
    notes = sheet.parent / "notes.csv"
    notes.write_text("my notes, never to be cut", encoding="utf-8")
    with pytest.raises(TableError, match="holds something else than answers"):
        run(stub, sheet, notes)
    assert notes.read_text(encoding="utf-8") == "my notes, never to be cut"
    with pytest.raises(TableError, match=r"name a \.csv or \.jsonl file"):
        run(stub, sheet, sheet.parent / "answers.parquet")


def test_grades_of_people_are_kept_when_it_goes_on(stub: Stub, sheet: Path) -> None:
    out = sheet.parent / "answers.csv"
    stub.first = [completion("perhaps"), failure(401)]
    with pytest.raises(SwitchtenderError):
        run(stub, sheet, out)
    out.write_text(out.read_text(encoding="utf-8").replace('"","0.0002"', '"0.25","0.0002"'), encoding="utf-8")
    assert run(stub, sheet, out).graded >= 1
    assert next(iter(read_table(out)["quality"])) == "0.25"


def test_two_processes_do_not_add_to_one_file(sheet: Path) -> None:
    rows = read_sheet(sheet)
    with AnswerFile(sheet.parent / "a.csv", rows.columns), pytest.raises(HeldByAnotherRun, match="another process"):
        AnswerFile(sheet.parent / "a.csv", rows.columns)


def test_a_failure_that_may_pass_is_tried_again_later_each_time(stub: Stub) -> None:
    time = Time()
    stub.first = [failure(500), failure(429), failure(503)]
    with client(stub, time) as one:
        assert one.ask("?").text == "B"
    assert [round(seconds) for seconds in time.slept] == [1, 2, 4]


def test_retry_after_is_honoured_in_seconds_and_as_a_date(stub: Stub) -> None:
    time = Time()
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    stub.first = [failure(429, retry_after="17"), failure(503, retry_after=soon), failure(429, retry_after="nonsense")]
    with client(stub, time) as one:
        one.ask("?")
    assert time.slept[0] == pytest.approx(17)
    assert 80 < time.slept[1] <= 90
    assert time.slept[2] == pytest.approx(4)
    stub.first = [failure(429, retry_after="7200")]
    with client(stub, time) as one, pytest.raises(SwitchtenderError, match="asks to come back in 7200 s"):
        one.ask("?")


def test_no_more_are_asked_a_minute_than_allowed(stub: Stub) -> None:
    time = Time()
    with client(stub, time, per_minute=30.0) as one:
        for _ in range(4):
            one.ask("?")
    assert time.now == pytest.approx(6.0)


def test_nobody_there_is_tried_again_too() -> None:
    params = AptitudeRunParams(endpoint="http://127.0.0.1:9/v1", tries=3)
    time = Time()
    with (
        ChatClient(endpoint_of(params, "x"), params, time.clock, time.sleep) as one,
        pytest.raises(SwitchtenderError, match=r"did not answer in 3 tries \(ConnectError\)"),
    ):
        one.ask("?")


def test_what_is_refused_for_good_is_not_tried_again(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", KEY)
    stub.answer = lambda prompt: failure(401, f"wrong key {KEY}")
    with client(stub, key="env:SOME_KEY") as one, pytest.raises(SwitchtenderError, match=r"wrong key \*\*\*") as error:
        one.ask("?")
    assert KEY not in str(error.value)
    assert stub.headers[0]["authorization"] == f"Bearer {KEY}"
    assert len(stub.bodies) == 1


def test_only_the_key_that_was_named_is_sent(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    strange = dict.fromkeys(("OPENAI_API_KEY", "OPENAI_ADMIN_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"), "other")
    strange["OPENAI_CUSTOM_HEADERS"] = "Authorization: other\nX-Gateway: other"
    strange["OPENAI_BASE_URL"] = "http://127.0.0.1:9/v1"
    for name, value in {**strange, "SOME_KEY": KEY}.items():
        monkeypatch.setenv(name, value)
    caplog.set_level(logging.DEBUG)
    for key in ("", "env:SOME_KEY"):
        with client(stub, key=key) as one:
            one.ask("?")
    without, with_key = stub.headers
    assert "other" not in {*without.values(), *with_key.values()}
    assert set(with_key) - set(without) == {"authorization"}
    needed = {"host", "content-type", "content-length", "accept", "accept-encoding", "connection", "user-agent"}
    assert set(without) <= needed
    assert KEY not in caplog.text


def test_a_redirect_is_not_followed(stub: Stub) -> None:
    stub.first = [Reply(307, "", {"location": f"{stub.url}/chat/completions"})]
    with client(stub) as one, pytest.raises(SwitchtenderError, match=r"redirects elsewhere \(status 307\)"):
        one.ask("?")
    assert len(stub.bodies) == 1


def test_no_proxy_stands_between_this_machine_and_itself(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with client(stub, tries=1) as one:
        assert one.ask("?").text == "B"


@pytest.mark.parametrize("body", ["<h1>It works!</h1>", {"choices": []}, {"choices": [{}]}, [], None])
def test_what_is_no_completion_stops_it(stub: Stub, body: object) -> None:
    stub.first = [Reply(body=body)]
    with client(stub) as one, pytest.raises(SwitchtenderError, match="answers with no chat completion"):
        one.ask("?")


def test_a_refused_prompt_is_left_out_and_the_rest_asked(stub: Stub, sheet: Path) -> None:
    second = read_table(sheet)["prompt"][1]
    stub.answer = lambda prompt: failure(400, "too long") if prompt == second else completion("B")
    found = run(stub, sheet, sheet.parent / "answers.csv")
    assert (found.answered, list(found.refused.values())) == (5, ["status 400: too long"])
    with client(stub) as one, pytest.raises(PromptRefused):
        one.ask(second)


def test_where_every_prompt_is_refused_it_stops(stub: Stub, sheet: Path) -> None:
    stub.answer = lambda prompt: failure(400, "no such model")
    with pytest.raises(SwitchtenderError, match=r"every prompt is refused .*no such model.*check the model's name"):
        run(stub, sheet, sheet.parent / "answers.csv")
    assert len(stub.bodies) == 3


def test_an_answer_that_was_cut_off_or_empty_is_for_people(stub: Stub, sheet: Path) -> None:
    stub.first = [completion("B", "length"), completion(None), completion("\ud800 B")]
    out = sheet.parent / "answers.csv"
    run(stub, sheet, out)
    rows = read_table(out)
    assert list(rows["quality"])[:3] == ["", "", ""]
    assert list(rows["whole"])[:2] == ["0", "1"]


def test_the_estimate_is_of_what_is_missing(sheet: Path) -> None:
    rows = read_sheet(sheet)
    first = rows.without({})
    whole, rest = estimate(first, 1000, PRICE), estimate(first[4:], 1000, PRICE)
    assert (whole.prompts, rest.prompts) == (6, 2)
    assert whole.prompts_usd == pytest.approx(whole.tokens * 1e-6)
    assert whole.most_usd == pytest.approx(whole.tokens * 1e-6 + 6 * 1000 * 10e-6)
    assert estimate(first, 0, PRICE).most_usd is None
    assert estimate(first, 1000, None).prompts_usd is None
    assert estimate([], 1000, PRICE).most_usd == 0


GRADES = [
    ("B", "B", 1.0), ("b", "B", 1.0), ("(B)", "B", 1.0), ("B.", "(B)", 1.0), ("**B**", "B", 1.0), ("C", "B", 0.0),
    ("The answer is C.", "B", 0.0), ("The correct answer is: (B)", "B", 1.0), ("Answer: B", "B", 1.0),
    ("B or C", "B", None), ("B, since it is so", "B", None), ("It is not B", "B", None), ("Because.", "B", None),
    ("42", "42", 1.0), ("42.0", "42", 1.0), ("1,000", "1000", 1.0), ("The final answer is 43.", "42", 0.0),
    ("3.14", "3.1416", None), ("42 %", "42", None), ("42 apples", "42", None), ("-42", "42", 0.0),
    ("1,00", "100", None),
    ("Ostend", "Ostend", 1.0), (" Ostend\n", "Ostend", 1.0), ("ostend", "Ostend", None), ("Bruges", "Ostend", None),
    ("", "B", None), ("B", "", None), ("A", "Ostend", None), ("2", "B", None), ("B", "2", None),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "reference", "grade_"), GRADES)
def test_a_rule_grades_only_what_it_cannot_get_wrong(answer: str, reference: str, grade_: float | None) -> None:
    assert grade(answer, reference, "0 or 1") == grade_
    assert grade(answer, reference, "0 to 1") is None


ENDPOINTS = {
    "none": ({}, "no endpoint is named"),
    "no host": ({"endpoint": "https:///v1"}, "the endpoint cannot be used"),
    "no scheme": ({"endpoint": "api.example.org/v1"}, "the endpoint cannot be used"),
    "credentials": ({"endpoint": f"https://me:{KEY}@api.example.org/v1"}, "the endpoint cannot be used"),
    "key in the query": ({"endpoint": f"https://api.example.org/v1?key={KEY}"}, "the endpoint cannot be used"),
    "no port": ({"endpoint": "https://api.example.org:x/v1"}, "the endpoint cannot be used"),
    "written": ({"endpoint": "https://api.example.org/v1", "key": KEY}, "the key is named, not written"),
    "not set": ({"endpoint": "https://api.example.org/v1", "key": "env:NOWHERE"}, "env:NOWHERE is not set or empty"),
    "no file": ({"endpoint": "https://api.example.org/v1", "key": "file:nowhere"}, "file:nowhere cannot be read"),
    "two lines": ({"endpoint": "https://api.example.org/v1", "key": "env:TWO"}, "env:TWO holds no key of one line"),
    "plain": ({"endpoint": "http://api.example.org/v1", "key": "env:SOME_KEY"}, "in plain text; write https://"),
}


@pytest.mark.parametrize("slip", ENDPOINTS)
def test_an_endpoint_that_cannot_be_used_is_told_without_any_key(slip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", KEY)
    monkeypatch.setenv("TWO", f"{KEY}\n{KEY}")
    values, words = ENDPOINTS[slip]
    with pytest.raises(ParamsError) as error:
        endpoint_of(AptitudeRunParams(**values), "x")
    assert words in str(error.value)
    assert KEY not in str(error.value)


def test_keys_are_read_from_files_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text(f"{KEY}\n", encoding="utf-8")
    params = AptitudeRunParams(endpoint="https://api.example.org/v1/", key="file:key.txt")
    endpoint = endpoint_of(params, "x", tmp_path)
    assert endpoint.base_url == "https://api.example.org/v1"
    assert endpoint.headers == {"Authorization": f"Bearer {KEY}"}
    assert KEY not in repr(endpoint)
    assert endpoint_of(AptitudeRunParams(endpoint="http://other.example.org"), "x").headers == {}


def test_without_the_package_it_says_what_to_install(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(InputError, match=r"run: pip install -c constraints\.txt -e '\.\[chat\]'"):
        client(stub)
