"""Which encoder a folder holds: every file that decides about tokens and vectors counts, and old digests still hold."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.encoders.causal_lm import causal_identity
from pipeline.encoders.encoder_files import DECISIVE_BEFORE, encoder_identity, is_encoder, place_of
from pipeline.runtime.errors import InputError

TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt",
              "vocab.json", "merges.txt", "spm.model", "spiece.model", "sentencepiece.bpe.model")  # fmt: skip


@pytest.fixture
def folder(tiny_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_encoder, tmp_path / "copy"))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", *TOKENIZERS])
def test_a_changed_file_makes_another_encoder(folder: Path, name: str) -> None:
    before = encoder_identity(str(folder)), causal_identity(str(folder), "tags.generator")
    with (folder / name).open("ab") as file:
        file.write(b" ")
    assert encoder_identity(str(folder)) != before[0]
    assert causal_identity(str(folder), "tags.generator") != before[1]
    assert not is_encoder(str(folder), before[0])


def test_a_file_that_decides_nothing_does_not_count(folder: Path) -> None:
    before = encoder_identity(str(folder))
    (folder / "README.md").write_text("of no account", encoding="utf-8")
    assert encoder_identity(str(folder)) == before


def test_a_digest_of_the_release_before_is_still_this_encoder(folder: Path) -> None:
    before = encoder_identity(str(folder), decisive=DECISIVE_BEFORE)
    assert before != encoder_identity(str(folder))
    assert is_encoder(str(folder), before)
    (folder / "tokenizer.json").write_text("{}", encoding="utf-8")
    assert not is_encoder(str(folder), before)


def test_the_identity_of_one_on_a_hub_is_its_name() -> None:
    assert (
        encoder_identity("someone/encoder@4f2c")
        == causal_identity("someone/encoder@4f2c", "x")
        == "hub:someone/encoder@4f2c"
    )
    assert encoder_identity("someone/encoder") == "hub:someone/encoder"


@pytest.mark.parametrize(
    ("name", "told"),
    [("someone/encoder@", "a revision after the @"), ("@4f2c", "a name before the @"), ("@", "a name")],
)
def test_half_a_name_is_refused(name: str, told: str) -> None:
    with pytest.raises(InputError, match=f"the encoder '{name}' lacks {told}.* in validate\\.encoder") as caught:
        place_of(name, "encoder", "validate.encoder")
    assert "\n" not in str(caught.value)
