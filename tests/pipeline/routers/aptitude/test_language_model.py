"""The full reader of aptitude: batches, training on a planted rule, real SmolLM2, its checkpoint."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from planted_aptitude import ITEMS, OTHERS, TASKS, levels_alone, other_specialists, prompts, specialists
from safetensors.numpy import load_file
from transformers import AutoTokenizer

from pipeline.encoders.encoder_files import DECISIVE_BEFORE
from pipeline.routers.aptitude.capability import Capability
from pipeline.routers.aptitude.language_model.network import ReaderNetwork
from pipeline.routers.aptitude.language_model.reader import FACTS, TENSORS, LanguageModelReader, two_orders
from pipeline.routers.aptitude.language_model.training import TrainingSchedule, loss_of
from pipeline.routers.aptitude.training_set import TrainingSet
from pipeline.routers.base.settings import AptitudeParams
from pipeline.routers.tags.generator import TagGenerator
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import InputError, VerificationFailed

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"step_candidates": 4, "step_prompts": 4}
UNSEEN = ("add 91 and seven", "a poem on 92 swans", "cook 93 eggs")
SEEN = np.eye(TASKS, dtype=np.float32)[:3]
FAST = TrainingSchedule(first=0.2, connector=3e-2, encoder=1e-3, adapters=1e-2)


@pytest.fixture(scope="module")
def training_set() -> TrainingSet:
    return levels_alone()


def _unseen(training_set: TrainingSet) -> Capability:
    """Two candidates that were not in training: one gets everything right, one everything wrong."""
    answers = np.tile(np.array([1.0, 0.0], dtype=np.float32), (ITEMS, 1))
    return Capability(("oracle", "hopeless"), answers, ("", ""))


def _logits(reader: LanguageModelReader, training_set: TrainingSet, capability: Capability) -> FloatMatrix:
    return reader.logits(training_set.test, capability, UNSEEN, SEEN)


def _tiny(tiny_causal: Path, tiny_encoder: Path | str, **more: object) -> AptitudeParams:
    told = {
        "capability_encoder": str(tiny_encoder),
        "language_model": str(tiny_causal),
        "model_tokens": 16,
        **SMALL,
        **more,
    }
    return AptitudeParams(variant="full", **told)


# --- losses and pace --------------------------------------------------------------------------------------------


def test_a_quality_between_is_yes_and_no() -> None:
    scores, half = torch.tensor([0.0, 3.0]), torch.tensor([0.5, 0.5])
    assert float(loss_of(scores[:1], half[:1], "pointwise")) == pytest.approx(np.log(2))
    assert loss_of(scores[1:], half[1:], "pointwise") > loss_of(scores[:1], half[:1], "pointwise")


def test_the_group_loss_knows_no_level_and_wants_the_handled_prompt_first() -> None:
    scores, quality = torch.tensor([1.0, 0.0, -1.0]), torch.tensor([1.0, 0.0, 0.0])
    loss = float(loss_of(scores, quality, "group"))
    assert float(loss_of(scores + 5, quality, "group")) == pytest.approx(loss, abs=1e-6)
    assert loss == pytest.approx(-np.log(np.exp(1) / (np.exp(1) + 1 + np.exp(-1))), abs=1e-6)
    assert float(loss_of(scores.flip(0), quality, "group")) > loss


def test_the_stages_share_the_steps_and_rates_rise_and_fall() -> None:
    assert [(stage.everything, stage.steps) for stage in TrainingSchedule(first=0.3).stages(10)] == [
        (False, 3),
        (True, 7),
    ]
    assert [stage.steps for stage in TrainingSchedule().stages(1)] == [0, 1]
    rates = list(TrainingSchedule(warmup=0.2).rates(10))
    assert rates[0] == 0.5
    assert max(rates) == rates[1] == rates[2] == 1
    assert rates[-1] == pytest.approx(1 / 8)


def test_two_orders_are_reverse_and_depend_on_the_seed_alone() -> None:
    one, other = two_orders(9, 3)
    assert one.tolist() == other[::-1].tolist() == two_orders(9, 3)[0].tolist()
    assert sorted(one.tolist()) == list(range(9))
    assert one.tolist() != two_orders(9, 4)[0].tolist()


# --- a tiny model -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(training_set: TrainingSet, tiny_causal: Path) -> LanguageModelReader:
    reader = LanguageModelReader(_tiny(tiny_causal, "minilm", steps=32, virtual=0), FAST)
    reader.fit(training_set, 7)
    return reader


def test_training_lowers_the_loss_and_places_unseen_candidates(
    trained: LanguageModelReader, training_set: TrainingSet
) -> None:
    assert np.mean(trained.losses[-10:]) < 0.5 * np.mean(trained.losses[:10])
    found = _logits(trained, training_set, _unseen(training_set))
    assert (found[:, 0] > 1).all()
    assert (found[:, 1] < -1).all()


def test_who_is_good_at_what_is_learnt(tiny_causal: Path, tiny_encoder: Path) -> None:
    """All are of one level: only a candidate's result on the task of a prompt tells, also of kinds never seen."""
    fast = TrainingSchedule(first=0.0, connector=1e-2, encoder=1e-3, adapters=1e-2)
    reader = LanguageModelReader(_tiny(tiny_causal, tiny_encoder, steps=60, step_prompts=8, nearest=2), fast)
    assert _told_apart(reader, 7) > 0.7


@pytest.mark.heavy  # its fast twin: the test above
def test_who_is_good_at_what_is_learnt_by_the_bundled_model() -> None:
    brisk = TrainingSchedule(first=0.0)
    reader = LanguageModelReader(
        AptitudeParams(variant="full", model_tokens=16, nearest=1, steps=30, step_candidates=2), brisk
    )
    assert _told_apart(reader, 7) > 0.5


def _told_apart(reader: LanguageModelReader, seed: int) -> float:
    """Correlation of what a reader says of specialists that it never saw with what they are good at."""
    learnt = specialists()
    reader.fit(learnt, seed)
    texts, task, features = prompts(12, 900)
    found = reader.logits(learnt.test, other_specialists(), texts, features)
    truth = np.array([[t in tasks for tasks in OTHERS] for t in task])
    return float(np.corrcoef(found.ravel(), truth.ravel())[0, 1])


def test_shuffled_lines_change_a_probability_by_less_than_a_twentieth(
    trained: LanguageModelReader, training_set: TrainingSet
) -> None:
    seed, found = trained.seed, []
    for trained.seed in range(6):
        found.append(1 / (1 + np.exp(-_logits(trained, training_set, _mixed(training_set)))))
    trained.seed = seed
    assert 0 < np.ptp(found, axis=0).max() < 0.05


def _mixed(training_set: TrainingSet) -> Capability:
    """Each good at half of the tasks, so that it matters which line stands where."""
    answers = np.stack([training_set.test.task < 2, training_set.test.task % 2], axis=1).astype(np.float32)
    return Capability(("one", "two"), answers, ("", ""))


def test_what_loading_draws_changes_nothing(
    training_set: TrainingSet, tiny_causal: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model's weights are drawn before they are read from its files."""
    readers = [LanguageModelReader(_tiny(tiny_causal, tiny_encoder, steps=3)) for _ in range(2)]
    readers[0].fit(training_set, 5)
    loads = AutoTokenizer.from_pretrained
    monkeypatch.setattr(AutoTokenizer, "from_pretrained", lambda *of, **how: [loads(*of, **how), torch.rand(3)][0])
    readers[1].fit(training_set, 5)
    assert readers[0].losses == readers[1].losses


def test_the_group_loss_trains_too(training_set: TrainingSet, tiny_causal: Path, tiny_encoder: Path) -> None:
    """Under it a prompt's kind is what can be learnt: here poems are handled, all else is not."""
    quality = np.tile(training_set.task[:, None] == 1, (1, 4)).astype(np.float32)
    poems = TrainingSet(
        training_set.test,
        training_set.capability,
        training_set.prompts,
        training_set.features,
        training_set.task,
        quality,
    )
    params = _tiny(tiny_causal, tiny_encoder, steps=40, loss="group", group=4, virtual=0)
    reader = LanguageModelReader(params, FAST)
    reader.fit(poems, 7)
    assert np.mean(reader.losses[-10:]) < 0.3 * np.log(4)
    found = _logits(reader, training_set, training_set.capability)
    assert (found[1] > found[[0, 2]].max(axis=0)).all()


def test_the_first_stage_moves_the_connector_alone(
    training_set: TrainingSet, tiny_causal: Path, tiny_encoder: Path
) -> None:
    params = _tiny(tiny_causal, tiny_encoder, steps=4)
    reader = LanguageModelReader(params, TrainingSchedule(first=1.0))
    reader.fit(training_set, 7)
    torch.manual_seed(7)
    start, found = ReaderNetwork(params).state_dict(), reader._fitted().state_dict()
    moved = {name for name, part in found.items() if not torch.equal(part, start[name])}
    assert moved == {"connector.layer.weight", "connector.layer.bias"}


def test_the_second_stage_moves_all_but_published_weights(trained: LanguageModelReader) -> None:
    torch.manual_seed(7)
    start, found = ReaderNetwork(trained.params).state_dict(), trained._fitted().state_dict()
    moved = {name for name, part in found.items() if not torch.equal(part, start[name])}
    assert {"connector.layer.weight", "model.model.layers.0.self_attn.q_proj.up"} < moved
    assert "connector.body.encoder.layer.0.attention.self.query.weight" in moved
    assert not any(name.startswith("model.") and not name.endswith((".up", ".down")) for name in moved)
    assert not any("word_embeddings" in name for name in moved)


def test_a_score_does_not_depend_on_what_else_is_asked(trained: LanguageModelReader, training_set: TrainingSet) -> None:
    together = _logits(trained, training_set, training_set.capability)
    for row, prompt in enumerate(UNSEEN):
        for column in range(4):
            alone = trained.logits(
                training_set.test, training_set.capability.of(np.array([column])), [prompt], SEEN[row : row + 1]
            )
            assert alone[0, 0] == pytest.approx(together[row, column], abs=1e-4)


def test_fewer_answers_are_more_uncertain(trained: LanguageModelReader, training_set: TrainingSet) -> None:
    every = (np.arange(ITEMS)[:, None] // TASKS % 2).astype(np.float32)
    few = np.where(np.arange(ITEMS)[:, None] < 2 * TASKS, every, np.nan).astype(np.float32)
    capability = Capability(("all", "few"), np.hstack([every, few]), ("", ""))
    found = trained.uncertainty(training_set.test, capability, SEEN)
    assert found.shape == (3, 2)
    assert (found[:, 1] > 1.3 * found[:, 0]).all()


def test_a_capability_without_any_answer_is_read_as_well(
    trained: LanguageModelReader, training_set: TrainingSet
) -> None:
    nothing = Capability(("new",), np.full((ITEMS, 1), np.nan, dtype=np.float32), ("",))
    assert np.isfinite(_logits(trained, training_set, nothing)).all()


def test_a_missing_model_is_one_error_that_names_the_setting(
    training_set: TrainingSet, tmp_path: Path, tiny_causal: Path, tiny_encoder: Path
) -> None:
    for told, setting in (
        ({"language_model": str(tmp_path / "nothing")}, r"nothing does not exist; .* aptitude\.language_model"),
        ({"language_model": str(tmp_path)}, r"cannot be loaded .* aptitude\.language_model"),
        ({"capability_encoder": str(tmp_path / "nothing")}, r"does not exist; .* aptitude\.capability_encoder"),
        ({"capability_encoder": str(tmp_path)}, r"cannot be loaded .* aptitude\.capability_encoder"),
    ):
        with pytest.raises(InputError, match=setting):
            LanguageModelReader(_tiny(tiny_causal, tiny_encoder).model_copy(update=told)).fit(training_set, 1)


def test_more_than_a_language_model_has_positions_for_is_refused(
    training_set: TrainingSet, tiny_causal: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    tokenizer = AutoTokenizer.from_pretrained(tiny_causal)
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=16, n_embd=32, n_layer=1, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    told = r"has positions for 16 tokens, and \d+ are to be read at once; "
    with pytest.raises(InputError, match=told + r"lower aptitude\.model_tokens .* in aptitude\.language_model"):
        LanguageModelReader(_tiny(tmp_path, tiny_encoder)).fit(training_set, 1)
    with pytest.raises(InputError, match=told + r"name another in tags\.generator"):
        TagGenerator(str(tmp_path)).tags(["mend the loop"])


def test_a_reader_that_was_not_fitted_says_so(training_set: TrainingSet, tiny_causal: Path, tiny_encoder: Path) -> None:
    with pytest.raises(InputError, match="not fitted"):
        _logits(LanguageModelReader(_tiny(tiny_causal, tiny_encoder)), training_set, training_set.capability)


def test_other_weights_than_those_it_was_trained_with_are_refused(trained: LanguageModelReader, tmp_path: Path) -> None:
    trained.save(tmp_path)
    facts = json.loads((tmp_path / FACTS).read_text(encoding="utf-8"))
    before = trained._identities(DECISIVE_BEFORE)
    assert all(before[setting] != facts["identities"][setting] for setting in before)
    (tmp_path / FACTS).write_text(json.dumps(facts | {"identities": before}), encoding="utf-8")
    LanguageModelReader(AptitudeParams()).load(tmp_path)  # as the release before recorded them
    facts["identities"]["aptitude.language_model"] = "sha256:" + "0" * 64
    (tmp_path / FACTS).write_text(json.dumps(facts), encoding="utf-8")
    with pytest.raises(VerificationFailed, match=r"aptitude\.language_model is sha256:.* trained with sha256:0000"):
        LanguageModelReader(AptitudeParams()).load(tmp_path)


# --- three steps on each kind of weights --------------------------------------------------------------------------


@pytest.fixture(
    scope="module",
    params=["tiny Llama", pytest.param("SmolLM2", marks=pytest.mark.heavy)],  # its fast twin: the tiny Llama
)
def brief(request: pytest.FixtureRequest, training_set: TrainingSet, tiny_causal: Path) -> LanguageModelReader:
    """Three steps, on random weights and on those that are shipped."""
    few = {"steps": 3, "step_candidates": 1, "step_prompts": 2}
    shipped = AptitudeParams(variant="full", model_tokens=16, **few)
    params = shipped if request.param == "SmolLM2" else _tiny(tiny_causal, "minilm", **few)
    reader = LanguageModelReader(params, TrainingSchedule())
    told: list[str] = []
    reader.fit(training_set, 11, told.append)
    assert [line.split(",")[0] for line in told] == ["step 1/3", "step 2/3", "step 3/3"]
    return reader


def test_a_model_learns_and_judges(brief: LanguageModelReader, training_set: TrainingSet) -> None:
    assert len(brief.losses) == 3
    assert np.isfinite(brief.losses).all()
    found = _logits(brief, training_set, training_set.capability)
    assert found.shape == (3, 4)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert len(np.unique(found[:, :3])) == 9, "it reads both the prompt and the capability"
    assert found[:, 2].tobytes() == found[:, 3].tobytes(), "and knows no candidate but by its answers"


def test_a_model_comes_back_from_its_checkpoint(
    brief: LanguageModelReader, training_set: TrainingSet, tmp_path: Path
) -> None:
    before = _logits(brief, training_set, _unseen(training_set))
    brief.save(tmp_path)
    stored = load_file(tmp_path / TENSORS)
    assert {name.split(".")[0] for name in stored} == {"model", "connector"}
    assert all(name.endswith((".up", ".down")) for name in stored if name.startswith("model."))
    again = LanguageModelReader(AptitudeParams())
    again.load(tmp_path)
    assert _logits(again, training_set, _unseen(training_set)).tobytes() == before.tobytes()
    (tmp_path / "again").mkdir()
    again.save(tmp_path / "again")
    digests = [hashlib.sha256((tmp_path / p / TENSORS).read_bytes()).hexdigest() for p in (".", "again")]
    assert digests[0] == digests[1]


def test_a_model_trains_the_same_again(brief: LanguageModelReader, training_set: TrainingSet) -> None:
    again = LanguageModelReader(brief.params, brief.schedule)
    again.fit(training_set, 11)
    assert again.losses == brief.losses
    assert (
        _logits(again, training_set, _unseen(training_set)).tobytes()
        == _logits(brief, training_set, _unseen(training_set)).tobytes()
    )
