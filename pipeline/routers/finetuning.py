"""Fine-tuning an encoder with one output a candidate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from pipeline.encoders.layers import layer_groups
from pipeline.encoders.quantised import MakeInt8
from pipeline.encoders.sentence_encoder import SentenceEncoder, by_length
from pipeline.learning.linear_heads import apply_heads
from pipeline.routers.base.settings import FinetuningParams, planned_epochs
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.progress import Progress


class ClassifierNetwork(torch.nn.Module):
    """Encoder, mean pooling to a unit vector, scale, dropout, and one linear output a candidate.

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


@dataclass(frozen=True)
class HeldOutTokens:
    """A held-out part that is scored after every epoch: token ids and labels [n, c]."""

    tokens: Sequence[list[int]]
    labels: FloatMatrix


@dataclass(frozen=True)
class FinetuningResult:
    """A network and, where a part was held out, its loss and logits [n, c] after each epoch.

    `int8` are the logits [n, c] of the last epoch again, with the encoder in int8, where that was asked for.
    """

    network: ClassifierNetwork
    losses: list[float]
    logits: list[FloatMatrix]
    int8: FloatMatrix | None = None

    def also_in(self, int8: MakeInt8, held_out: HeldOutTokens) -> FinetuningResult:
        """The same with the held-out part scored through the quantised encoder too."""
        weights, biases = self.network.head_arrays()
        with int8(self.network.encoder) as coarse:
            vectors = coarse.vectors(held_out.tokens)
        return replace(self, int8=apply_heads(vectors * np.float32(self.network.scale), weights, biases))


def new_network(params: FinetuningParams, outputs: int) -> ClassifierNetwork:
    """A network with the encoder's published weights and a fresh head.

    Raises:
        InputError: the encoder cannot be loaded.
    """
    dropout = params.encoder_dropout
    names = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout")
    encoder = SentenceEncoder.load(params.encoder, params.max_tokens)
    for name in names:
        if hasattr(encoder.model.config, name):
            setattr(encoder.model.config, name, dropout)
    for module in encoder.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    return ClassifierNetwork(encoder, outputs, params.dropout, params.scale)


def finetune(
    prompts: Sequence[str],
    labels: FloatMatrix,
    params: FinetuningParams,
    seed: int,
    *,
    held_out: HeldOutTokens | None = None,
    stop_after: int | None = None,
    progress: Progress | None = None,
) -> FinetuningResult:
    """Train on prompts and labels float32 [n, c].

    The loss is binary cross-entropy with positives weighted by max(1, negatives / positives) ** pos_weight_power;
    learning rates fall by `layer_decay` a layer towards the input (Howard and Ruder, 2018), warm up, then
    decay linearly over the planned epochs. Word embeddings stay as they are: a few hundred prompts touch a
    sliver of them. With `held_out`, training stops when its loss has not improved for `patience` epochs;
    `stop_after` ends after that many epochs of the same schedule.
    """
    torch.manual_seed(seed)
    network = new_network(params, labels.shape[1])
    prior = np.clip(labels.mean(axis=0), 1e-3, 1 - 1e-3)
    network.head.bias.data.copy_(torch.from_numpy(np.log(prior / (1 - prior)).astype(np.float32)))
    epochs = planned_epochs(len(prompts), params)
    optimizer, scheduler = _optimizer(network, params, epochs * -(-len(prompts) // params.batch_size))
    tokens = network.encoder.tokenize(prompts)
    weight = _pos_weight(labels, params).to(network.encoder.device)
    generator = torch.Generator().manual_seed(seed)
    result = FinetuningResult(network, [], [])
    for epoch in range(min(epochs, stop_after or epochs)):
        network.train()
        for batch in _batches(tokens, params.batch_size, generator):
            truth = torch.from_numpy(labels[batch]).to(weight.device)
            loss = binary_cross_entropy_with_logits(
                network([tokens[i] for i in batch]), truth, pos_weight=weight, reduction="none"
            )
            optimizer.zero_grad()
            torch.autograd.backward(loss.sum(dim=1).mean())
            optimizer.step()
            scheduler.step()
            if progress:
                progress(f"epoch {epoch + 1}/{epochs}")
        if held_out and _no_longer_improves(result, held_out, params.patience):
            break
    network.eval()
    return result


def _no_longer_improves(result: FinetuningResult, held_out: HeldOutTokens, patience: int) -> bool:
    logits = infer(result.network, held_out.tokens)
    result.logits.append(logits)
    loss = np.logaddexp(0.0, logits) - held_out.labels * logits
    result.losses.append(float(loss.mean()))
    return len(result.losses) - 1 - int(np.argmin(result.losses)) >= patience


@torch.no_grad()
def infer(network: ClassifierNetwork, tokens: Sequence[list[int]], batch_size: int = 32) -> FloatMatrix:
    """Logits float32 [n, c] in the order given, with dropout off."""
    network.eval()
    logits = np.zeros((len(tokens), network.head.out_features), dtype=np.float32)
    for batch in by_length(tokens, batch_size):
        logits[batch] = network([tokens[i] for i in batch]).cpu().numpy()
    return logits


def _pos_weight(labels: FloatMatrix, params: FinetuningParams) -> torch.Tensor:
    positives = np.maximum(labels.sum(axis=0), 1.0)
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


def _batches(tokens: Sequence[list[int]], size: int, generator: torch.Generator) -> Iterator[list[int]]:
    """Shuffled batches of like length: shuffle, sort within windows of eight batches, shuffle the batches."""
    order = torch.randperm(len(tokens), generator=generator).tolist()
    batches: list[list[int]] = []
    for start in range(0, len(order), size * 8):
        window = sorted(order[start : start + size * 8], key=lambda row: len(tokens[row]))
        batches += [window[i : i + size] for i in range(0, len(window), size)]
    for number in torch.randperm(len(batches), generator=generator).tolist():
        yield batches[number]
