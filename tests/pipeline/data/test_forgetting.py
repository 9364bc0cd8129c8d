"""Rows leave the curated files, and a list says which."""

from __future__ import annotations

from pathlib import Path

from pipeline.data.forgetting import CuratedFiles, ForgottenRow, files_without_rows, forgotten_rows, with_forgotten

CURATED = CuratedFiles((Path("data/prompts.csv"), Path("data/label_reviews.csv")), (Path("data/holdout.txt"),))


def _project(root: Path) -> Path:
    (root / "data").mkdir(parents=True)
    (root / "data/prompts.csv").write_text("prompt_id,prompt,agents\np1,one,a\np2,two,b\np3,three,b\n")
    (root / "data/holdout.txt").write_text("p2\n")
    reviews = "prompt_id,text_sha256,decision,agents,reviewer,reviewed_on,note\np1,ab,keep,,ana,2026-11-22,\n"
    (root / "data/label_reviews.csv").write_text(reviews)
    return root


def test_a_cut_names_only_files_that_change(tmp_path: Path) -> None:
    root = _project(tmp_path)
    assert {path.name for path in files_without_rows(root, ["p1"], CURATED).files} == {
        "prompts.csv",
        "label_reviews.csv",
    }
    assert {path.name for path in files_without_rows(root, ["p2"], CURATED).files} == {"prompts.csv", "holdout.txt"}
    assert {path.name for path in files_without_rows(root, ["p3"], CURATED).files} == {"prompts.csv"}
    assert files_without_rows(root, ["p4"], CURATED).files == {}
    assert (root / "data/prompts.csv").read_text().count("\n") == 4


def test_a_text_is_listed_once(tmp_path: Path) -> None:
    root = _project(tmp_path)
    assert forgotten_rows(root) == []
    first = ForgottenRow("p1", "ab", "2026-11-22", "Ana, <a@x>", 'request "17"')
    (root / "data/forgotten.csv").write_bytes(with_forgotten(root, [first]))
    again = with_forgotten(root, [first, ForgottenRow("p1", "cd", "2026-11-23", "b", "more")])
    assert again.decode().splitlines() == [
        "prompt_id,text_sha256,forgotten_on,by,reason",
        'p1,ab,2026-11-22,"Ana, <a@x>","request ""17"""',
        "p1,cd,2026-11-23,b,more",
    ]
    assert {name for name, _ in forgotten_rows(root)} == {"p1"}


def test_a_reason_is_no_formula(tmp_path: Path) -> None:
    entry = ForgottenRow("p1", "ab", "2026-11-22", "@ana", "=HYPERLINK(A1)")
    assert (
        with_forgotten(_project(tmp_path), [entry]).decode().splitlines()[1] == "p1,ab,2026-11-22,'@ana,'=HYPERLINK(A1)"
    )


def test_a_candidate_without_outcomes_goes_whole(tmp_path: Path) -> None:
    root = _project(tmp_path)
    joined = Path("data/new.csv")
    (root / joined).write_text("prompt_id,candidate,quality\np1,new,1\np1,new,0\n")
    curated = CuratedFiles((*CURATED.tables, joined), (), frozenset({joined}))
    found = files_without_rows(root, ["p1"], curated)
    assert found.files[joined] is None
    assert (found.gone[joined], found.texts) == (2, {"p1": ("one",)})
