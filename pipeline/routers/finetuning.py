"""Fine-tuning an encoder with one output a candidate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from pipeline.encoders.layers import layer_groups
from pipeline.encoders.sentence_encoder import SentenceEncoder, by_length
from pipeline.learning.augmentation import composed, refusing, retyped, spoken
from pipeline.routers.base.settings import FinetuningParams, planned_epochs
from pipeline.runtime.arrays import FloatMatrix, Indices
from pipeline.runtime.progress import Progress

Weights = Mapping[str, torch.Tensor]
"""What training changed of a network, by the parameters' names."""
_MOST_LABELS_TO_COMPOSE = 2
_LEAST_SHARE = 1e-3
"""Of prompts, that a label starts with."""


class ClassifierNetwork(torch.nn.Module):
    """Encoder, pooling to a unit vector, scale, dropout, and one linear output a candidate.

    The scale lets a unit vector reach confident logits; without it the head has to grow for many epochs.
    """

    def __init__(self, encoder: SentenceEncoder, outputs: int, dropout: float, scale: float) -> None:
        super().__init__()
        self.body = encoder.model
        self.encoder = encoder
        self.dropout = torch.nn.Dropout(dropout)
        self.head = torch.nn.Linear(encoder.width, outputs)
        self.scale = scale
        torch.nn.init.normal_(self.head.weight, std=0.02)
        self.to(encoder.device)

    def forward(self, tokens: Sequence[list[int]]) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.dropout(self.encoder.pooled(tokens) * self.scale))
        return logits

    def head_arrays(self) -> tuple[FloatMatrix, FloatMatrix]:
        """Weights float32 [c, width] and biases float32 [c] of the head, on scaled vectors."""
        return self.head.weight.detach().cpu().numpy(), self.head.bias.detach().cpu().numpy()

    def trained(self) -> Weights:
        """The parameters that were trained, on the CPU."""
        return {name: value.detach().cpu() for name, value in self.named_parameters() if value.requires_grad}


@dataclass(frozen=True)
class TrainingRows:
    """What one network learns from: prompts, labels float32 [n, c] in 0..1 (NaN: not tried), the candidates' names.

    `names` are empty where they say nothing about the prompts: of graded outcomes they are names of models. Where
    labels are `exclusive` each prompt has exactly one.
    """

    prompts: Sequence[str]
    labels: FloatMatrix
    names: Sequence[str] = ()
    exclusive: bool = False

    def with_names(self, params: FinetuningParams) -> tuple[list[str], FloatMatrix]:
        """Prompts and labels, those of the names after the others where they are learnt from."""
        learnt = spoken(self.names) if params.names else []
        own = np.eye(self.labels.shape[1], dtype=np.float32)[: len(learnt)]
        return [*self.prompts, *learnt], np.concatenate([self.labels, own])


def new_network(params: FinetuningParams, outputs: int) -> ClassifierNetwork:
    """A network with the encoder's published weights and a fresh head.

    Raises:
        InputError: the encoder cannot be loaded.
    """
    dropout = params.encoder_dropout
    names = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout")
    encoder = SentenceEncoder.load(params.encoder, params.max_tokens)
    if params.precision != "fp32":
        _train_in_bf16(encoder)
    for name in names:
        if hasattr(encoder.model.config, name):
            setattr(encoder.model.config, name, dropout)
    for module in encoder.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    return ClassifierNetwork(encoder, outputs, params.dropout, params.scale)


def _train_in_bf16(encoder: SentenceEncoder) -> None:
    """Where the architecture bears it: some mask their attention with numbers that bf16 does not hold."""
    encoder.trains_in_bf16 = True
    try:
        encoder.pooled(encoder.tokenize(["a"]))
    except RuntimeError:
        encoder.trains_in_bf16 = False


def finetune(
    rows: TrainingRows, params: FinetuningParams, seed: int, order: int = 0, progress: Progress | None = None
) -> ClassifierNetwork:
    """A network fine-tuned on the rows.

    The loss is binary cross-entropy, positives weighted by max(1, negatives / positives) ** pos_weight_power, or, of
    exclusive labels, cross-entropy;
    learning rates fall by `layer_decay` a layer towards the input (Howard and Ruder, 2018), warm up, then decay
    linearly over the planned epochs. Word embeddings stay as they are: a few hundred prompts touch a sliver of them.
    Networks of one seed start alike; `order` gives each its own order of rows and dropout, so that their weights can
    be averaged (Wortsman et al., 2022, model soups).
    """
    torch.manual_seed(seed)
    network = new_network(params, rows.labels.shape[1])
    _start_head(network, rows, params)
    torch.manual_seed(seed + 7919 * order)
    generator = np.random.default_rng([seed, order])
    material = _Material(rows, params, network.encoder)
    epochs = planned_epochs(len(material.prompts), params)
    optimizer, scheduler = _optimizer(network, params, epochs * -(-len(material.prompts) // params.batch_size))
    weight = _pos_weight(rows.labels, params).to(network.encoder.device)
    network.train()
    with _plain_attention(network.encoder):
        for epoch in range(epochs):
            tokens, labels = material.epoch(generator)
            for batch in _batches(tokens, params.batch_size, generator):
                truth = torch.from_numpy(labels[batch]).to(weight.device)
                logits = network([tokens[i] for i in batch])
                optimizer.zero_grad()
                torch.autograd.backward(_loss(logits, truth, weight, rows.exclusive))
                optimizer.step()
                scheduler.step()
                if progress:
                    progress(f"epoch {epoch + 1}/{epochs}")
    network.eval()
    return network


def _loss(logits: torch.Tensor, truth: torch.Tensor, weight: torch.Tensor, exclusive: bool) -> torch.Tensor:
    if exclusive:
        return cross_entropy(logits, truth)
    each = binary_cross_entropy_with_logits(logits, truth.nan_to_num(), pos_weight=weight, reduction="none")
    return torch.where(truth.isnan(), 0.0, each).sum(dim=1).mean()


@contextmanager
def _plain_attention(encoder: SentenceEncoder) -> Iterator[None]:
    """On a CPU torch's fused attention takes a third of the time of training on prompts as short as these."""
    model = encoder.model
    if encoder.device.type != "cpu" or model.config._attn_implementation != "sdpa":
        yield
        return
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation("sdpa")


@torch.no_grad()
def infer(network: ClassifierNetwork, tokens: Sequence[list[int]], batch_size: int = 32) -> FloatMatrix:
    """Logits float32 [n, c] in the order given, with dropout off."""
    network.eval()
    logits = np.zeros((len(tokens), network.head.out_features), dtype=np.float32)
    for batch in by_length(tokens, batch_size):
        logits[batch] = network([tokens[i] for i in batch]).cpu().numpy()
    return logits


@torch.no_grad()
def _start_head(network: ClassifierNetwork, rows: TrainingRows, params: FinetuningParams) -> None:
    """The head begins at the labels' shares, and, where names speak, at what the encoder makes of them.

    A rare agent's few prompts show little of what it is for; its name says some of the rest. A candidate that was
    never tried is worth one half on every prompt.
    """
    tried = (~np.isnan(rows.labels)).sum(axis=0, dtype=np.float32)
    share = np.where(tried > 0, np.nansum(rows.labels, axis=0) / np.maximum(tried, 1), 0.5)
    prior = share.clip(_LEAST_SHARE, 1 - _LEAST_SHARE)
    network.head.bias.copy_(torch.from_numpy(np.log(prior / (1 - prior)).astype(np.float32)))
    network.head.weight.mul_(torch.from_numpy(np.sign(tried))[:, None].to(network.head.weight.device))
    if rows.names and params.names:
        vectors = torch.from_numpy(network.encoder.embed(spoken(rows.names)))
        apart = torch.nn.functional.normalize(vectors - vectors.mean(dim=0), dim=-1)
        network.head.weight.add_(params.names * apart.to(network.head.weight.device))


class _Material:
    """The rows as an epoch reads them: each prompt as it is, or in another wording drawn anew; and the names."""

    def __init__(self, rows: TrainingRows, params: FinetuningParams, encoder: SentenceEncoder) -> None:
        self.rows, self.params, self.encoder = rows, params, encoder
        self.names = spoken(rows.names)
        self.prompts, self.labels = rows.with_names(params)
        self.tokens = encoder.tokenize(self.prompts)
        self.joinable: Indices = np.flatnonzero(rows.labels.sum(axis=1) <= _MOST_LABELS_TO_COMPOSE)

    def epoch(self, generator: np.random.Generator) -> tuple[list[list[int]], FloatMatrix]:
        """Token ids and labels float32 [n, c] of one epoch."""
        tokens, labels = list(self.tokens), self.labels.copy()
        changed: dict[int, str] = {}
        if self.rows.names:  # only where labels are what people asked for does a wording have some
            for row, chance in enumerate(generator.random(len(self.rows.prompts))):
                if (text := self._reworded(row, float(chance), labels, generator)) is not None:
                    changed[row] = text
        for row, ids in zip(changed, self.encoder.tokenize(list(changed.values())), strict=True):
            tokens[row] = ids
        return tokens, labels

    def _reworded(self, row: int, chance: float, labels: FloatMatrix, generator: np.random.Generator) -> str | None:
        """Another wording of a row, or None; where it asks for more than the row does, `labels` say so."""
        text, params = self.rows.prompts[row], self.params
        if chance < params.retype:
            return retyped(text, generator)
        chance -= params.retype
        if chance < params.refuse:
            return self._refusing(row, generator)
        if chance - params.refuse >= params.compose or self.labels[row].sum() > _MOST_LABELS_TO_COMPOSE:
            return None
        other = int(generator.choice(self.joinable))
        labels[row] = np.maximum(self.labels[row], self.labels[other])
        return composed(text, self.rows.prompts[other], generator)

    def _refusing(self, row: int, generator: np.random.Generator) -> str | None:
        other = int(generator.integers(len(self.rows.prompts)))
        if (self.labels[row] * self.labels[other]).any():
            return None
        if is_name := bool(generator.random() < 0.5):
            agents = np.flatnonzero(self.labels[other])
            unwanted = self.names[int(generator.choice(agents))] if len(agents) else ""
        else:
            unwanted = self.rows.prompts[other]
        return refusing(self.rows.prompts[row], unwanted, is_name, generator) if unwanted else None


def _pos_weight(labels: FloatMatrix, params: FinetuningParams) -> torch.Tensor:
    positives = np.maximum(np.nansum(labels, axis=0), 1.0)
    return torch.from_numpy(
        (((len(labels) - positives) / positives).clip(min=1.0) ** params.pos_weight_power).astype(np.float32)
    )


def _optimizer(
    network: ClassifierNetwork, params: FinetuningParams, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    layers = layer_groups(network.body)
    for parameter in network.body.parameters():
        parameter.requires_grad_(False)
    groups = [{"params": list(network.head.parameters()), "lr": params.head_learning_rate}]
    for depth, layer in enumerate(reversed(layers)):
        for parameter in layer:
            parameter.requires_grad_(True)
        groups.append({"params": layer, "lr": params.learning_rate * params.layer_decay**depth})
    optimizer = torch.optim.AdamW(groups, weight_decay=params.weight_decay, fused=True)
    warmup = max(1, int(params.warmup_share * steps))

    def factor(step: int) -> float:
        return min((step + 1) / warmup, max(0.0, (steps - step) / max(1, steps - warmup)))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def _batches(tokens: Sequence[list[int]], size: int, generator: np.random.Generator) -> Iterator[list[int]]:
    """Shuffled batches of like length: shuffle, sort within windows of eight batches, shuffle the batches."""
    order = generator.permutation(len(tokens)).tolist()
    batches: list[list[int]] = []
    for start in range(0, len(order), size * 8):
        window = sorted(order[start : start + size * 8], key=lambda row: len(tokens[row]))
        batches += [window[i : i + size] for i in range(0, len(window), size)]
    for number in generator.permutation(len(batches)):
        yield batches[number]
