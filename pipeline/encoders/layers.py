"""Which parameters of an encoder are trained, and how deep each lies."""

from __future__ import annotations

from collections.abc import Iterator

from torch.nn import Embedding, Module, ModuleList, Parameter

_POOLER = "pooler"
"""What transformers call a layer on the first token alone, which is never read here."""


def layer_groups(model: Module) -> list[list[Parameter]]:
    """A transformer's parameters that are trained, a group a block, input side first.

    Left out are embeddings, of words and of positions, and what is declared before the first block: a small table
    touches a sliver of them. What is declared after the blocks, such as a last norm, is in the last group. A block that
    all layers share (ALBERT's) is one group; of a model without blocks everything is.
    """
    blocks = [[part for block in level for part in block.parameters()] for level in _blocks(model)]
    placed = {id(part) for block in blocks for part in block}
    left_out = {id(part) for module in _never_trained(model) for part in module.parameters()}
    every = list(model.parameters())
    first = next((place for place, part in enumerate(every) if id(part) in placed), 0)
    after = [part for part in every[first:] if id(part) not in placed]
    groups = [*blocks[:-1], [*(blocks[-1] if blocks else []), *after]]
    return [group for group in ([part for part in found if id(part) not in left_out] for found in groups) if group]


def _blocks(model: Module) -> list[tuple[Module, ...]]:
    """The modules of each block: of the outermost list with the most parameters, and of its like-long siblings."""
    lists = list(_outermost_lists(model))
    if not lists:
        return []
    parent, main = max(lists, key=lambda found: sum(part.numel() for part in found[1].parameters()))
    return list(zip(*(found for of, found in lists if of is parent and len(found) == len(main)), strict=True))


def _outermost_lists(module: Module) -> Iterator[tuple[Module, ModuleList]]:
    for child in module.children():
        if isinstance(child, ModuleList):
            yield module, child
        else:
            yield from _outermost_lists(child)


def _never_trained(model: Module) -> Iterator[Module]:
    for name, module in model.named_modules():
        if isinstance(module, Embedding) or name.rpartition(".")[2] == _POOLER:
            yield module
