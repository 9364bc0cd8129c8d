"""What serves: the mean of the networks; of exclusive labels in part the published one, and a regression besides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from planted_subjects import two_agents
from scipy.special import log_softmax

from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.finetuning import ClassifierNetwork, TrainingRows, finetune, infer, new_network
from pipeline.routers.weight_averaging import averaged
from pipeline.runtime.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")
SUBJECTS = ("mend the loop", "write a mail", "book a train")


def _params(encoder: Path) -> FinetuningParams:
    return FinetuningParams(encoder=str(encoder), max_tokens=24, epochs=2, batch_size=8, compose=0.0)


def _exclusive(agents: int, known: int, rows: int = 18) -> TrainingRows:
    """Prompts that take turns asking for one of the `known` first agents."""
    given = [row % known for row in range(rows)]
    prompts = [f"{SUBJECTS[agent]}, case {row}" for row, agent in enumerate(given)]
    return TrainingRows(prompts, np.eye(agents, dtype=np.float32)[given], exclusive=True)


def _logits(network: ClassifierNetwork, rows: TrainingRows) -> np.ndarray:
    return infer(network, network.encoder.tokenize(rows.prompts))


def test_what_serves_is_the_mean_of_the_networks(tiny_encoder: Path) -> None:
    outcomes, params = two_agents(), _params(tiny_encoder)
    rows = TrainingRows(outcomes.prompts, outcomes.quality, outcomes.candidates)
    one, other = (finetune(rows, params, 7, order).trained() for order in (0, 1))
    mean = averaged(params, rows, [one, other]).state_dict()
    differing = [name for name in one if not torch.equal(one[name], other[name])]
    assert "head.weight" in differing
    assert len(differing) > 10
    for name in differing:
        assert torch.allclose(mean[name], (one[name] + other[name]) / 2, atol=1e-7)


def test_weights_that_are_no_numbers_are_refused(tiny_encoder: Path) -> None:
    rows, params = _exclusive(3, 3), _params(tiny_encoder).model_copy(update={"learning_rate": 1e30})
    with pytest.raises(InputError, match=r"training diverged.*lower train\.learning_rate"):
        averaged(params, rows, [finetune(rows, params, 7).trained()])


def test_of_exclusive_labels_the_encoder_goes_part_of_the_way_back(tiny_encoder: Path) -> None:
    rows, params = _exclusive(3, 3), _params(tiny_encoder)
    trained = finetune(rows, params, 7).trained()
    published, found = new_network(params, 3).state_dict(), averaged(params, rows, [trained]).state_dict()
    for name in trained.keys() - {"head.weight", "head.bias"}:
        assert torch.allclose(found[name], 0.7 * trained[name] + 0.3 * published[name], atol=1e-6)


@pytest.mark.parametrize("known", [2, 3])
def test_the_heads_regression_makes_the_given_labels_likelier(tiny_encoder: Path, known: int) -> None:
    rows, params = _exclusive(known, known), _params(tiny_encoder)
    trained = finetune(rows, params, 7).trained()
    network = averaged(params, rows, [trained])
    together = log_softmax(_logits(network, rows), axis=1)
    network.load_state_dict({name: trained[name] for name in ("head.weight", "head.bias")}, strict=False)
    alone = log_softmax(_logits(network, rows), axis=1)
    given = rows.labels.astype(bool)
    assert together[given].mean() > alone[given].mean()


def test_an_agent_of_which_only_the_name_is_known_is_reached() -> None:
    few = replace(_exclusive(3, 2), names=("mend_loops", "mails", "train_journeys"))
    params = _params(Path("minilm"))
    network = averaged(params, few, [finetune(few, params, 7).trained()])
    asked = replace(few, prompts=["a journey by train", "when does the next train go"])
    assert _logits(network, asked).argmax(axis=1).tolist() == [2, 2]
    assert (_logits(network, few).argmax(axis=1) != 2).all()


def test_the_bytes_are_the_same_for_any_number_of_threads() -> None:
    rows, params = _exclusive(3, 3, rows=33), _params(Path("minilm"))  # a batch, and one prompt by itself
    trained, heads = finetune(rows, params, 7).trained(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        heads.append(averaged(params, rows, [trained]).head.weight)
        assert torch.get_num_threads() == threads
    assert torch.equal(*heads)


def test_a_single_label_is_answered_always(tiny_encoder: Path) -> None:
    rows, params = _exclusive(2, 1), _params(tiny_encoder)
    assert not _logits(averaged(params, rows, [finetune(rows, params, 7).trained()]), rows).argmax(axis=1).any()
