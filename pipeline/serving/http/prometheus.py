"""What the service counts, for Prometheus. Labels are bounded: routes, codes, candidates, versions that served."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.serving.engine.decision import SMALL_MARGIN, Decision, is_close
from pipeline.serving.engine.decision_journal import Journal
from pipeline.serving.engine.hot_swap import NotReady, VersionSwitch

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counters of one service, in a registry of their own."""

    def __init__(self, switch: VersionSwitch, journal: Journal) -> None:
        # Not the library's global registry: a second service in the process would register the same names again.
        self.registry = CollectorRegistry()
        name = "switchtender_"
        self.requests = Counter(f"{name}requests", "Requests answered", ["route", "status"], registry=self.registry)
        self.seconds = Histogram(
            f"{name}request_seconds", "Time to the last byte", ["route"], buckets=_SECONDS, registry=self.registry
        )
        self.refusals = Counter(f"{name}rejected", "Requests refused, by error code", ["code"], registry=self.registry)
        self.in_flight = Gauge(f"{name}requests_in_flight", "Requests under way", registry=self.registry)
        self.prompts = Counter(f"{name}prompts", "Prompts routed", registry=self.registry)
        self.cache_hits = Counter(f"{name}cache_hits", "Prompts whose scores were known", registry=self.registry)
        self.new_prompts = Counter(
            f"{name}new_prompts", "Prompts that match no task of a version that can tell", ["version"],
            registry=self.registry,
        )  # fmt: skip
        self.unsupported = Counter(
            f"{name}unsupported_language", "Prompts in a language that the encoder was not made for", ["version"],
            registry=self.registry,
        )  # fmt: skip
        self.decisions = Counter(f"{name}decisions", "Times chosen", ["candidate", "version"], registry=self.registry)
        self.decided_prompts = Counter(
            f"{name}decided_prompts", "Prompts decided on", ["version"], registry=self.registry
        )
        self.below_threshold = Counter(
            f"{name}below_threshold", "Prompts of which none chosen reaches its threshold", ["version"],
            registry=self.registry,
        )  # fmt: skip
        self.small_margin = Counter(
            f"{name}small_margin", f"Prompts with a margin below {SMALL_MARGIN}", ["version"], registry=self.registry
        )
        self.decision_seconds = Histogram(
            f"{name}decision_seconds", "From a request's coming to its decision", ["version"], buckets=_SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.feedback = Counter(f"{name}feedback", "Judgements received", registry=self.registry)
        self.registry.register(_State(switch, journal))

    def decided(self, version: str, decisions: Sequence[Decision], seconds: float) -> None:
        """Count the decisions on one request, which took so long."""
        self.decided_prompts.labels(version).inc(len(decisions))
        self.below_threshold.labels(version).inc(sum(one.below_threshold for one in decisions))
        self.small_margin.labels(version).inc(sum(is_close(one.margin) for one in decisions))
        self.decision_seconds.labels(version).observe(seconds)
        for name in (name for one in decisions for name in one.chosen):
            self.decisions.labels(name, version).inc()

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)


class _State(Collector):
    """What serves, read at the moment of asking."""

    def __init__(self, switch: VersionSwitch, journal: Journal) -> None:
        self.switch, self.journal = switch, journal

    def collect(self) -> Iterator[Metric]:
        """Gauges of 0 and 1, and the version that answers as labels."""
        try:
            served = self.switch.served
        except NotReady:
            served = None
        labels = ["version", "run_key", "provenance_sha256", "precision"]
        version = GaugeMetricFamily("switchtender_version_info", "The version that answers", labels=labels)
        if served is not None:
            facts = [served.version, served.run_key, served.provenance_sha256, served.engine.precision]
            version.add_metric(facts, 1)
        yield version
        refusal = self.switch.refused
        refused = GaugeMetricFamily("switchtender_version_refused", "A version that may not serve", labels=["version"])
        if refusal is not None:
            refused.add_metric([refusal.version], 1)
        yield refused
        yield _gauge(
            "switchtender_ready", "Whether prompts are routed", served is not None and not self.journal.trouble
        )
        yield _gauge(
            "switchtender_source_failing", "Whether it is unknown what should serve", bool(self.switch.trouble)
        )
        pool = self.switch.pool
        yield _gauge("switchtender_pool_failing", "Whether pool.yaml cannot be used", bool(pool and pool.trouble))
        yield _gauge("switchtender_journal_failing", "Whether decisions cannot be written", bool(self.journal.trouble))


def _gauge(name: str, text: str, value: bool) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value=float(value))
