"""Where an encoder is found, how long prompts are cut, and what a vector is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_encoders import save_tiny

from pipeline.encoders.sentence_encoder import SentenceEncoder, by_length, locate
from pipeline.runtime.errors import InputError

LONG = " ".join(f"word{i}" for i in range(300))


@pytest.fixture(scope="module")
def encoder(tiny_encoder: Path) -> SentenceEncoder:
    return SentenceEncoder.load(str(tiny_encoder), max_tokens=16)


def test_the_bundled_encoder_is_in_an_installed_package() -> None:
    folder, revision = locate("minilm")
    assert (Path(folder) / "model.safetensors").is_file()
    assert revision is None


def test_a_folder_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert locate(str(tmp_path)) == (str(tmp_path), None)
    (tmp_path / "mine@home").mkdir()
    monkeypatch.chdir(tmp_path)
    assert locate("mine@home") == ("mine@home", None)


@pytest.mark.parametrize("name", ["/nowhere/encoder", "./encoder", "~/encoder"])
def test_a_folder_that_is_missing_is_not_looked_for_on_the_hub(name: str) -> None:
    with pytest.raises(InputError, match=r"does not exist; name another in train\.encoder"):
        locate(name)


def test_a_hub_name_may_be_pinned_to_a_revision() -> None:
    assert locate("distilbert-base-uncased") == ("distilbert-base-uncased", None)
    assert locate("owner/encoder@4f2c1a0") == ("owner/encoder", "4f2c1a0")


def test_a_folder_without_an_encoder_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match=r"cannot be loaded .*; name another in train\.encoder") as caught:
        SentenceEncoder.load(str(tmp_path), max_tokens=16)
    assert "\n" not in str(caught.value)


def test_a_long_prompt_keeps_its_head_and_its_tail(encoder: SentenceEncoder) -> None:
    whole = SentenceEncoder(encoder.model, encoder.tokenizer, max_tokens=10_000).tokenize([LONG])[0]
    [cut] = encoder.tokenize([LONG])
    assert len(whole) > 300
    assert cut == whole[:8] + whole[-8:]
    odd = SentenceEncoder(encoder.model, encoder.tokenizer, max_tokens=15).tokenize([LONG])[0]
    assert odd == whole[:7] + whole[-8:]


def test_a_prompt_that_fits_is_left_alone(encoder: SentenceEncoder) -> None:
    [tokens] = encoder.tokenize(["fix my loop"])
    assert encoder.tokenizer.decode(tokens, skip_special_tokens=True) == "fix my loop"
    assert encoder.tokenize([]) == []


def test_vectors_are_unit_and_do_not_depend_on_the_batch(encoder: SentenceEncoder) -> None:
    prompts = ["fix my loop", LONG, "a", "mail Ana about the ferry at nine, please"]
    together = encoder.embed(prompts)
    assert together.shape == (4, encoder.width)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1.0, abs=1e-5)
    alone = np.concatenate([encoder.embed([prompt]) for prompt in prompts])
    assert alone == pytest.approx(together, abs=1e-5)
    assert encoder.embed([]).shape == (0, encoder.width)


def test_the_middle_of_a_long_prompt_does_not_count_and_its_ends_do(encoder: SentenceEncoder) -> None:
    first, other_middle, other_end = encoder.embed([LONG, LONG.replace("word150", "else"), LONG[:-7] + "else"])
    assert (first == other_middle).all()
    assert (first != other_end).any()


def test_batches_hold_every_row_once_and_rows_of_like_length() -> None:
    tokens = [[0] * length for length in (5, 1, 9, 1, 7)]
    assert list(by_length(tokens, 2)) == [[1, 3], [0, 4], [2]]


def test_a_decoder_is_read_at_its_last_token_whatever_stands_beside_it(tmp_path: Path) -> None:
    decoder = SentenceEncoder.load(str(save_tiny("llama", tmp_path)), max_tokens=64)
    prompts = ["mend the loop", "write a mail to Ana about the ferry at nine, and another one to her brother"]
    together = decoder.embed(prompts)
    for prompt, vector in zip(prompts, together, strict=True):
        ids = torch.tensor(decoder.tokenize([prompt]))
        with torch.no_grad():
            last = decoder.model(input_ids=ids).last_hidden_state[0, -1].numpy()
        assert vector == pytest.approx(last / np.linalg.norm(last), abs=1e-5)
