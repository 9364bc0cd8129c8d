"""`tags`: the scorer behind the routers' protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import scipy.sparse as sparse
from safetensors.numpy import load_file, save_file

from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.quantised import MakeInt8
from pipeline.learning.cross_fitting import cross_fit
from pipeline.learning.linear_heads import level_scores
from pipeline.metrics.candidate_means import best_single
from pipeline.routers.base.joining import joining_quality
from pipeline.routers.base.protocol import CrossFitScores, Scorer, TrainingMaterial
from pipeline.routers.base.settings import TagsParams
from pipeline.routers.tags.explanation import CandidateContribution, TagsExplanation, TagSummary
from pipeline.routers.tags.generator import NO_GENERATOR, TagGenerator
from pipeline.routers.tags.scores import ScoreVariant
from pipeline.routers.tags.tag_evidence import TagEvidence
from pipeline.routers.tags.tag_sources import Membership
from pipeline.routers.tags.tagging import Tagged, Tagging, fit_tagging
from pipeline.routers.tags.training_memory import TrainingMemory
from pipeline.runtime.arrays import FloatMatrix, Indices
from pipeline.runtime.errors import InputError
from pipeline.runtime.progress import Progress
from pipeline.runtime.tables import write_json

TENSORS = "tags.safetensors"
FACTS = "tags.json"


class TagsScorer(Scorer):
    """TagRouter: sums over a prompt's tags of what each tag knows of a candidate, as an expected quality.

    The reference is the best single candidate of the training outcomes; it changes only by a new fit. `progress` is
    told each part that is tagged, and each batch of prompts that a language model writes tags for.
    """

    name: ClassVar[str] = "tags"
    training_material: ClassVar[tuple[TrainingMaterial, ...]] = (
        TrainingMaterial(TENSORS, "a digest and the tags of each prompt, and centres of its clusters"),
        TrainingMaterial(FACTS, "phrases of the prompts, which are tags"),
    )

    def __init__(
        self,
        embedding: FrozenEmbedding,
        seed: int,
        params: TagsParams | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.embedding = self.frozen = embedding
        self.seed = seed
        self.params = params or TagsParams()
        self.progress = progress
        self.setting = self.params.ties[0]
        self.candidates: tuple[str, ...] = ()
        self.generator = TagGenerator.asked_for(self.params)
        self._is_labels = True
        self._tagging: Tagging | None = None
        self._evidence: TagEvidence | None = None
        self._memory: TrainingMemory | None = None

    def cross_fit(self, outcomes: Outcomes, folds: Indices, int8: MakeInt8 | None = None) -> CrossFitScores:
        self._is_labels = outcomes.is_labels
        vectors = self.frozen.embed(outcomes.prompts)
        tagged: dict[bytes, Tagged] = {}

        def fit_and_score(tie: float, train: np.ndarray, held_out: np.ndarray) -> FloatMatrix:
            part = outcomes.rows(train)
            key = train.tobytes()
            if key not in tagged:
                tagged[key] = self._tagged(part, vectors[train])
            tagging, member = tagged[key]
            texts = [outcomes.prompts[i] for i in held_out]
            evidence = self._weighed(part, tagging, member, tie)
            return self._of(evidence.quality(tagging.member(texts, asked[held_out])))

        asked = vectors
        self.setting, scores = cross_fit(outcomes, folds, self.params.ties, fit_and_score)
        if int8 is None:
            return CrossFitScores(scores)
        with int8(self.frozen.loaded()) as coarse:
            asked = coarse.embed(outcomes.prompts)
        again = cross_fit(outcomes, folds, (self.setting,), fit_and_score)[1]
        return CrossFitScores(scores, again)

    def fit(self, outcomes: Outcomes) -> None:
        self._is_labels, self.candidates = outcomes.is_labels, outcomes.candidates
        self._tagging, member = self._tagged(outcomes, self.frozen.embed(outcomes.prompts))
        self._evidence = self._weighed(outcomes, self._tagging, member, self.setting)
        reference_quality = outcomes.quality[:, self._evidence.reference.column].astype(np.float64)
        self._memory = TrainingMemory.of(outcomes.prompts, member, reference_quality)

    def scores(self, prompts: Sequence[str], vectors: FloatMatrix) -> FloatMatrix:
        tagging, evidence, _ = self._fitted()
        return self._of(evidence.quality(tagging.member(prompts, vectors)))

    def join(self, outcomes: Outcomes) -> None:
        """Add candidates from their outcomes alone; nothing that is stored of another candidate changes.

        `outcomes.candidates` are the known ones in their order, then the new ones; its rows are the prompts on which
        those were tried. A prompt that was not in training is embedded; where the reference was tried neither here nor
        there, what is expected of it stands in.

        Raises:
            InputError: the known candidates do not stand first, none is new, or a new one was never tried.
        """
        tagging, evidence, memory = self._fitted()
        new = joining_quality(outcomes, self.candidates)
        member, reference_quality = self._recalled(outcomes, tagging, memory)
        here = outcomes.quality[:, evidence.reference.column].astype(np.float64)
        self._evidence = evidence.joined(new, np.where(np.isnan(here), reference_quality, here), member)
        self.candidates = outcomes.candidates

    def explain(self, prompt: str, vector: FloatMatrix) -> TagsExplanation:
        """The prompt's tags and what each says of each candidate; `vector` float32 [width] is the prompt's."""
        tagging, evidence, _ = self._fitted()
        member = tagging.member([prompt], vector[None, :])
        votes = evidence.kinds.votes(member, evidence.variant)
        sums, quality = evidence.sums(member)[0], evidence.quality(member)[0]
        tags = tuple(
            self._tag_evidence(tagging.names[tag], int(tag), float(vote))
            for tag, vote in zip(votes.indices, votes.data, strict=True)
        )
        expected = float(evidence.reference.expected(member, evidence.kinds)[0])
        return TagsExplanation(
            self.candidates[evidence.reference.column],
            expected,
            tags,
            self._named(sums),
            self._named(evidence.maps(sums)),
            self._named(quality),
        )

    def save(self, folder: Path) -> None:
        tagging, evidence, memory = self._fitted()
        save_file({**tagging.tensors(), **evidence.tensors(), **memory.tensors()}, folder / TENSORS)
        facts = {
            "candidates": list(self.candidates),
            "is_labels": self._is_labels,
            **(self.generator.facts() if self.generator else NO_GENERATOR),
            "tagging": tagging.facts(),
            "evidence": evidence.facts(),
        }
        write_json(facts, folder / FACTS)
        self.frozen.save(folder)

    def load(self, folder: Path) -> None:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        tensors = load_file(folder / TENSORS)
        self.embedding = self.frozen = FrozenEmbedding.load(folder)
        self.candidates, self._is_labels = tuple(facts["candidates"]), bool(facts["is_labels"])
        self.generator = TagGenerator.load(facts)
        tagging = Tagging.load(facts["tagging"], tensors, self._write, self._embed)
        self._tagging = tagging
        self._evidence = TagEvidence.load(facts["evidence"], tensors, tagging.kinds)
        self._memory = TrainingMemory.load(tensors, len(tagging.names))
        self.setting = self._evidence.variant.tie

    def _tagged(self, outcomes: Outcomes, vectors: FloatMatrix) -> Tagged:
        """Sources fitted on prompts, and those prompts' tags; outcomes are not looked at."""
        write = self._write if self.generator else None
        tagged = fit_tagging(outcomes.prompts, vectors, self.params, self.seed, write, self._phrase_vectors)
        if self.progress:
            self.progress(f"{len(tagged[0].names)} tags from {len(outcomes)} prompts")
        return tagged

    def _weighed(self, outcomes: Outcomes, tagging: Tagging, member: Membership, tie: float) -> TagEvidence:
        variant = ScoreVariant(tie, self.params.evidence, self.params.total, self.params.votes)
        return TagEvidence.fit(best_single(outcomes), outcomes.quality, member, tagging.kinds, variant)

    def _recalled(self, outcomes: Outcomes, tagging: Tagging, memory: TrainingMemory) -> tuple[Membership, np.ndarray]:
        """Tags [n, tags] and the reference's quality [n]: as stored; of new prompts made now, and NaN."""
        rows = memory.rows(outcomes.prompts)
        unknown = np.flatnonzero(rows < 0)
        texts = [outcomes.prompts[i] for i in unknown]
        if texts:
            fresh = tagging.member(texts, self._embed(texts))
            member = sparse.vstack([memory.member, fresh], format="csr")
        else:
            member = memory.member
        reference_quality = np.append(memory.reference_quality, np.full(len(unknown), np.nan))
        rows[unknown] = len(memory.reference_quality) + np.arange(len(unknown))
        return member[rows], reference_quality[rows]

    def _tag_evidence(self, name: str, tag: int, vote: float) -> TagSummary:
        _, evidence, _ = self._fitted()
        tallies = evidence.tallies
        cells = zip(
            self.candidates,
            tallies.tried[tag],
            tallies.wins[tag],
            tallies.ties[tag],
            tallies.losses[tag],
            vote * evidence.scores[tag],
            strict=True,
        )
        return TagSummary(name, tuple(CandidateContribution(who, *map(float, figures)) for who, *figures in cells))

    def _named(self, values: np.ndarray) -> dict[str, float]:
        return dict(zip(self.candidates, map(float, values), strict=True))

    def _of(self, quality: FloatMatrix) -> FloatMatrix:
        return level_scores(quality) if self._is_labels else quality

    def _write(self, prompts: Sequence[str]) -> Sequence[tuple[str, ...]]:
        assert self.generator is not None
        return self.generator.tags(prompts, self.progress)

    def _phrase_vectors(self, phrases: Sequence[str]) -> FloatMatrix:
        """Vectors of phrases, NaN for those with a token unknown to the encoder, which cannot tell them apart."""
        encoder = self.frozen.loaded()
        vectors = self.frozen.embed(phrases)
        unreadable = [encoder.tokenizer.unk_token_id in ids for ids in encoder.ids(phrases)]
        vectors[np.array(unreadable, dtype=np.bool_)] = np.nan
        return vectors

    def _embed(self, texts: Sequence[str]) -> FloatMatrix:
        assert self.embedding is not None
        return self.embedding.embed(texts)

    def _fitted(self) -> tuple[Tagging, TagEvidence, TrainingMemory]:
        if self._tagging is None or self._evidence is None or self._memory is None:
            raise InputError("this tags router was not fitted; fit it or load a saved one")
        return self._tagging, self._evidence, self._memory
