"""SetFit (Tunstall et al., 2022), in the peers' own environment."""

from __future__ import annotations

from tempfile import TemporaryDirectory

import numpy as np
from datasets import Dataset  # type: ignore[import-not-found]
from setfit import SetFitModel, Trainer, TrainingArguments  # type: ignore[import-not-found]
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from transformers import AutoConfig

from benchmarks.quality.held_out import HALF, is_exclusive, reached, truth_of
from benchmarks.quality.job import Answer, Job, numbers, timed
from benchmarks.serving.peers import sentence_transformer


def answer(job: Job) -> Answer:
    """A body trained on pairs for so many steps, then its default head: a logistic regression an agent, or one over all
    agents where each prompt has exactly one.
    """
    truth = truth_of(job)
    exclusive = is_exclusive(truth)
    width = AutoConfig.from_pretrained(job.encoder).hidden_size
    with timed() as took, TemporaryDirectory() as place:
        model = SetFitModel(
            model_body=sentence_transformer(job.encoder, width, job.max_tokens),
            model_head=LogisticRegression() if exclusive else OneVsRestClassifier(LogisticRegression()),
            multi_target_strategy=None if exclusive else "one-vs-rest",
        )
        settings = TrainingArguments(
            output_dir=place, max_steps=job.settings["steps"], batch_size=16, seed=job.seed, report_to="none",
            save_strategy="no", show_progress_bar=False,
        )  # fmt: skip
        labels = truth.argmax(axis=1) if exclusive else truth.astype(int)
        rows = Dataset.from_dict({"text": job.prompts, "label": labels.tolist()})
        Trainer(model=model, args=settings, train_dataset=rows).train()
    scores = np.zeros((len(job.asked), len(job.agents)))
    known = model.model_head.classes_ if exclusive else np.arange(len(job.agents))
    scores[:, known] = model.predict_proba(job.asked, show_progress_bar=False, as_numpy=True)
    return Answer(numbers(reached(scores, HALF, truth)), took.wall, took.cpu)
