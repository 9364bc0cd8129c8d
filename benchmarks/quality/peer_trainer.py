"""Plain fine-tuning with transformers.Trainer, in the peers' own environment."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from scipy.special import expit, softmax
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

from benchmarks.quality.held_out import (
    HALF,
    Matrix,
    Score,
    best_threshold,
    held_out_scores,
    is_exclusive,
    reached,
    truth_of,
)
from benchmarks.quality.job import Answer, Job, numbers, timed


def answer(job: Job) -> Answer:
    """`transformers.Trainer` on `AutoModelForSequenceClassification`: epochs and rates are named, all else its own.

    The threshold is .5, or with `held_out` the best common one of held-out folds.
    """
    truth = truth_of(job)
    with timed() as took:
        score, threshold = _finetuned(job, truth, np.arange(len(job.prompts))), HALF
        if job.settings["held_out"]:
            held_out = held_out_scores(job, lambda rows: _finetuned(job, truth, rows))
            threshold, _ = best_threshold(held_out, truth)
    return Answer(numbers(reached(score(job.asked), threshold, truth)), took.wall, took.cpu)


def _finetuned(job: Job, truth: Matrix, rows: Matrix) -> Score:
    set_seed(job.seed)
    tokenizer = AutoTokenizer.from_pretrained(job.encoder)
    exclusive = is_exclusive(truth)
    problem = "single_label_classification" if exclusive else "multi_label_classification"
    model = AutoModelForSequenceClassification.from_pretrained(
        job.encoder, num_labels=len(job.agents), problem_type=problem
    )

    def tokenized(prompts: Sequence[str]) -> list[dict[str, Any]]:
        ids = tokenizer(list(prompts), truncation=True, max_length=job.max_tokens)
        return [
            {"input_ids": ids["input_ids"][i], "attention_mask": ids["attention_mask"][i]} for i in range(len(prompts))
        ]

    learnt = tokenized([job.prompts[row] for row in rows])
    labels = truth[rows].argmax(axis=1) if exclusive else truth[rows].astype(np.float32)
    learnt = [{**row, "labels": each} for row, each in zip(learnt, labels, strict=True)]
    with TemporaryDirectory() as place:
        settings = TrainingArguments(
            output_dir=place, num_train_epochs=job.settings["epochs"], learning_rate=job.settings["learning_rate"],
            per_device_train_batch_size=16, per_device_eval_batch_size=32, seed=job.seed, report_to=[],
            save_strategy="no", logging_strategy="no", disable_tqdm=True,
        )  # fmt: skip
        trainer = Trainer(
            model=model, args=settings, train_dataset=learnt, data_collator=DataCollatorWithPadding(tokenizer),
            optimizers=(_optimizer(model, job), None),
        )  # fmt: skip
        trainer.train()
    squash = partial(softmax, axis=1) if exclusive else expit
    return lambda prompts: squash(trainer.predict(tokenized(prompts)).predictions)


def _optimizer(model: Any, job: Job) -> torch.optim.Optimizer:
    """Rates that fall by `layer_decay` a block towards the input, and the head's own."""
    rate, decay = job.settings["learning_rate"], job.settings["layer_decay"]
    blocks = model.base_model.encoder.layer
    groups = [{"params": list(model.classifier.parameters()), "lr": job.settings["head_learning_rate"]}]
    groups += [{"params": list(block.parameters()), "lr": rate * decay**i} for i, block in enumerate(reversed(blocks))]
    placed = {id(part) for group in groups for part in group["params"]}
    rest = {True: [], False: []}
    for name, part in model.named_parameters():
        if id(part) not in placed:
            rest["embeddings" in name].append(part)
    groups += [{"params": rest[False], "lr": rate}, {"params": rest[True], "lr": rate * decay ** len(blocks)}]
    return torch.optim.AdamW(groups, weight_decay=0.0)
