"""Metrics: every name that any process exposes is declared here, once. The one module that imports prometheus_client.

A metric is a value (`Metric`); `Metrics` records into one registry that the process owns and `/metrics` renders. Labels
have few values: stages, outcomes, declared sources; never tenants, documents or text.
"""

from dataclasses import dataclass
from typing import Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

CONTENT_TYPE = CONTENT_TYPE_LATEST

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.15, 0.3, 0.6, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 4096.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its name with unit, what it means, its labels, a histogram's upper bounds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = SECONDS


INGEST_REQUESTS = Metric(
    "millstream_ingest_requests_total",
    "counter",
    "Requests to the webhook receiver; source is 'unknown' unless declared",
    ("source", "status"),
)
INGEST_SECONDS = Metric(
    "millstream_ingest_request_seconds", "histogram", "Time from a request's first byte to its answer", ("source",)
)
INGEST_EVENTS = Metric("millstream_ingest_events_total", "counter", "Events acknowledged by the log", ("source", "op"))
INGEST_REPEATS = Metric(
    "millstream_ingest_repeats_total",
    "counter",
    "Requests answered from memory because of their webhook-id",
    ("source",),
)
INGEST_QUEUED_BYTES = Metric("millstream_ingest_queued_bytes", "gauge", "Bytes of request bodies under way to the log")
SOURCES_RELOADS = Metric(
    "millstream_sources_reloads_total",
    "counter",
    "Readings of an edited sources.yaml, or of edited API keys",
    ("outcome",),
)

RECORDS = Metric(
    "millstream_records_total", "counter", "Records a stage has finished, by what became of them", ("stage", "outcome")
)
RECORD_SECONDS = Metric(
    "millstream_record_seconds", "histogram", "Time a stage spent on one record, waiting excluded", ("stage",)
)
RECORDS_UNDER_WAY = Metric("millstream_records_under_way", "gauge", "Records read and not yet acknowledged", ("stage",))
RETRIES = Metric("millstream_retries_total", "counter", "Attempts repeated after a transient error", ("stage",))
DEAD_LETTERS = Metric(
    "millstream_dead_letters_total", "counter", "Records appended to documents.dlq", ("stage", "reason")
)
LAG = Metric("millstream_lag_records", "gauge", "Records of its input that a stage has not acknowledged", ("stage",))

STEP_SECONDS = Metric(
    "millstream_step_seconds", "histogram", "Time of one step of preparing or applying", ("stage", "step")
)
CHUNKS = Metric("millstream_chunks_total", "counter", "Chunks by how their vector was obtained", ("vector",))
PERSONAL_VALUES = Metric(
    "millstream_personal_values_total",
    "counter",
    "Values of personal data found in documents, by what became of them",
    ("kind", "action"),
)
UNREAD_ATTACHMENTS = Metric(
    "millstream_attachments_unread_total", "counter", "Attachments that were left out of their messages", ("reason",)
)
COMMITS = Metric("millstream_commits_total", "counter", "Mutations made visible", ("op",))
COMMIT_MUTATIONS = Metric("millstream_commit_mutations", "histogram", "Mutations in one group commit", (), SIZES)
TAKE_OVERS = Metric("millstream_take_overs_total", "counter", "Tenants taken over by a writer")
SWEEP_SECONDS = Metric("millstream_sweep_seconds", "histogram", "Time of one run of the sweep between two commits")
SWEPT_ROWS = Metric("millstream_swept_rows_total", "counter", "Rows the sweep closed or removed", ("what",))
SWEEPS_FAILED = Metric("millstream_sweeps_failed_total", "counter", "Runs of the sweep that were cut off", ("reason",))
FRESHNESS_SECONDS = Metric(
    "millstream_freshness_seconds", "histogram", "Time from receiving a change to publishing it", ("op",)
)
HIDE_SECONDS = Metric(
    "millstream_hide_seconds",
    "histogram",
    "Time from receiving a delete or an acl to hiding what it takes away",
    ("op",),
)
HEALINGS = Metric(
    "millstream_healings_total",
    "counter",
    "Changes that lay behind one that counts more, by what became of it: healed, lay_behind or gone",
    ("outcome",),
)
AUDIT_FINDINGS = Metric(
    "millstream_audit_findings_total", "counter", "Differences between log and index that an audit found", ("kind",)
)
AUDIT_REPAIRS = Metric(
    "millstream_audit_repairs_total", "counter", "Documents appended again, commits told again, because of an audit"
)
AUDIT_CYCLE_SECONDS = Metric("millstream_audit_cycle_seconds", "gauge", "How long the last audit of everything took")
ALERTS = Metric(
    "millstream_alerts_total", "counter", "Events an operator must look at, by their stable name", ("alert",)
)

QUERY_REQUESTS = Metric(
    "millstream_query_requests_total", "counter", "Requests to the query API", ("endpoint", "status")
)
QUERY_SECONDS = Metric(
    "millstream_query_request_seconds", "histogram", "Time from a request's first byte to its answer", ("endpoint",)
)
QUERY_STEP_SECONDS = Metric("millstream_query_step_seconds", "histogram", "Time of one step of answering", ("step",))
QUERY_REFUSALS = Metric(
    "millstream_query_refusals_total", "counter", "Structured refusals by their reason", ("reason",)
)
QUERIES_UNDER_WAY = Metric("millstream_queries_under_way", "gauge", "Requests being answered")
QUERY_WIDENINGS = Metric(
    "millstream_query_widenings_total", "counter", "Times a starved leg of retrieval was asked again, wider", ("leg",)
)
CHANGE_STREAMS = Metric("millstream_change_streams", "gauge", "Clients that follow /v1/changes")
CACHE = Metric(
    "millstream_cache_total", "counter", "Questions by what the answer cache did: hit, miss, bypass", ("outcome",)
)
CACHE_BYPASSES = Metric(
    "millstream_cache_bypasses_total", "counter", "Questions answered without the answer cache, by reason", ("reason",)
)
CACHE_STORES = Metric(
    "millstream_cache_stores_total",
    "counter",
    "Answers offered to the answer cache: stored, overtaken, too_large",
    ("outcome",),
)
CACHE_PURGES = Metric(
    "millstream_cache_purges_total", "counter", "Answers dropped from the answer cache, by reason", ("reason",)
)
CACHE_ENTRIES = Metric("millstream_cache_entries", "gauge", "Answers in the answer cache")
CACHE_BYTES = Metric("millstream_cache_bytes", "gauge", "Size of the answers in the answer cache, about")
COMMITS_READ = Metric("millstream_commits_read_total", "counter", "Records of index.commits read by this process")
COMMITS_FOLLOWED = Metric(
    "millstream_commits_followed", "gauge", "1 while this process reads index.commits; 0: fewer answers from the cache"
)
COMMITS_LAG = Metric(
    "millstream_commits_lag_records", "gauge", "Records of index.commits that this process has not read"
)

LOG_FIELDS_REFUSED = Metric(
    "millstream_log_fields_refused_total",
    "counter",
    "Log fields dropped because their name says they may hold text or secrets: each is a bug",
)

METRICS: tuple[Metric, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""Every metric, in the order of declaration."""


_Child = tuple[str, tuple[tuple[str, str], ...]]
"""A metric's name, and its labels with their values."""


class Metrics:
    """Records into a registry of its own; a process builds one.

    Every call names exactly the metric's labels: another set raises ValueError, a metric not in METRICS KeyError.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._counters: dict[Metric, Counter] = {}
        self._gauges: dict[Metric, Gauge] = {}
        self._histograms: dict[Metric, Histogram] = {}
        # One child a set of labels: looking it up in the library takes longer than counting.
        self._counted: dict[_Child, Counter] = {}
        self._observed: dict[_Child, Histogram] = {}
        for metric in METRICS:
            self._declare(metric)

    def _declare(self, metric: Metric) -> None:
        if metric.kind == "counter":
            self._counters[metric] = Counter(metric.name, metric.help, metric.labels, registry=self._registry)
        elif metric.kind == "gauge":
            self._gauges[metric] = Gauge(metric.name, metric.help, metric.labels, registry=self._registry)
        else:
            self._histograms[metric] = Histogram(
                metric.name, metric.help, metric.labels, registry=self._registry, buckets=metric.buckets
            )

    def count(self, metric: Metric, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        key = (metric.name, tuple(labels.items()))
        counter = self._counted.get(key)
        if counter is None:
            family = self._counters[metric]
            counter = self._counted[key] = family.labels(**labels) if metric.labels or labels else family
        counter.inc(amount)

    def observe(self, metric: Metric, value: float, **labels: str) -> None:
        """Put one value into a histogram."""
        key = (metric.name, tuple(labels.items()))
        histogram = self._observed.get(key)
        if histogram is None:
            family = self._histograms[metric]
            histogram = self._observed[key] = family.labels(**labels) if metric.labels or labels else family
        histogram.observe(value)

    def set(self, metric: Metric, value: float, **labels: str) -> None:
        """Set a gauge."""
        gauge = self._gauges[metric]
        (gauge.labels(**labels) if metric.labels or labels else gauge).set(value)

    def add(self, metric: Metric, amount: float, **labels: str) -> None:
        """Move a gauge up or, with a negative amount, down."""
        gauge = self._gauges[metric]
        (gauge.labels(**labels) if metric.labels or labels else gauge).inc(amount)

    def value(self, metric: Metric, **labels: str) -> float:
        """What a counter or gauge holds, or how many values a histogram took; 0 before its first."""
        sample = metric.name + ("_count" if metric.kind == "histogram" else "")
        return self._registry.get_sample_value(sample, labels) or 0.0

    def render(self) -> bytes:
        """The text that `/metrics` answers, of type CONTENT_TYPE."""
        return generate_latest(self._registry)
