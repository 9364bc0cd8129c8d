"""What is trained of each architecture: every block, what follows the blocks, and no embedding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_encoders import ARCHITECTURES, save_tiny
from torch import nn

from pipeline.encoders.layers import layer_groups
from pipeline.encoders.sentence_encoder import SentenceEncoder

AFTER = {"modernbert": {"final_norm"}, "deberta-v2": {"encoder.LayerNorm", "encoder.conv"},
         "deberta-v3": {"encoder.LayerNorm"}, "llama": {"norm"}}  # fmt: skip


def _names(model: nn.Module, groups: list[list[nn.Parameter]]) -> list[set[str]]:
    known = {id(part): name for name, part in model.named_parameters()}
    return [{known[id(part)] for part in group} for group in groups]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_group_is_a_block_and_the_last_holds_what_follows(name: str, tmp_path: Path) -> None:
    encoder = SentenceEncoder.load(str(save_tiny(name, tmp_path / name)), 24)
    groups = layer_groups(encoder.model)
    names = _names(encoder.model, groups)
    assert len(names) == (1 if name == "albert" else 2)
    blocks = [{part for part in group if f".{place}." in f".{part}"} for place, group in enumerate(names)]
    assert all(blocks)
    assert blocks[:-1] == names[:-1]
    after = names[-1] - blocks[-1]
    assert {module for module in AFTER.get(name, ()) for part in after if part.startswith(f"{module}.")} == AFTER.get(
        name, set()
    )
    assert all(part.startswith(tuple(AFTER.get(name, ()))) for part in after)
    assert not any("embedding" in part or "pooler" in part for group in names for part in group)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_trained_parameter_decides_about_the_vector(name: str, tmp_path: Path) -> None:
    encoder = SentenceEncoder.load(str(save_tiny(name, tmp_path / name)), 24)
    encoder.pooled(encoder.tokenize(["mend the loop", "a ferry at nine"]))[:, 0].sum().backward()
    assert all(part.grad is not None for group in layer_groups(encoder.model) for part in group)


class _Plain(nn.Module):
    """Modules by name, in the order given."""

    def __init__(self, **parts: Any) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def _lines(*widths: int) -> nn.ModuleList:
    return nn.ModuleList([nn.Linear(1, width, bias=False) for width in widths])


def test_blocks_that_stand_in_several_lists_are_joined() -> None:
    """XLM's attentions and feed-forward parts; a list of another length is no part of them."""
    model = _Plain(words=nn.Embedding(3, 1), attentions=_lines(2, 3), outputs=_lines(4, 5), heads=_lines(6))
    assert _names(model, layer_groups(model)) == [
        {"attentions.0.weight", "outputs.0.weight"},
        {"attentions.1.weight", "outputs.1.weight", "heads.0.weight"},
    ]


def test_the_list_with_the_most_parameters_holds_the_blocks() -> None:
    model = _Plain(before=_lines(1, 1, 1), layer=_lines(9, 9), after=_lines(1, 1, 1))
    assert _names(model, layer_groups(model)) == [
        {"layer.0.weight"},
        {"layer.1.weight", "after.0.weight", "after.1.weight", "after.2.weight"},
    ]


def test_a_list_inside_a_block_is_no_list_of_blocks() -> None:
    """MobileBERT's blocks hold lists that are longer than the list of blocks."""
    inner = [_Plain(feed=_lines(1, 1, 1)), _Plain(feed=_lines(1, 1, 1))]
    model = _Plain(layer=nn.ModuleList(inner))
    assert [len(group) for group in layer_groups(model)] == [3, 3]


def test_a_model_without_blocks_is_one_group() -> None:
    model = _Plain(words=nn.Embedding(3, 2), line=nn.Linear(2, 2))
    assert _names(model, layer_groups(model)) == [{"line.weight", "line.bias"}]
    assert layer_groups(_Plain(words=nn.Embedding(3, 2))) == []
