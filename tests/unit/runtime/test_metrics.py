"""Metrics: declared once, with labels of few values."""

import re

import pytest

from runtime.metrics import INGEST_EVENTS, METRICS, RECORD_SECONDS, TAKE_OVERS, Metric, Metrics


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_every_metric_is_named_explained_and_has_low_cardinality_labels(metric: Metric) -> None:
    assert re.fullmatch(r"millstream_[a-z_]+", metric.name)
    assert (metric.kind == "counter") == metric.name.endswith("_total")
    assert len(metric.help) > 20
    assert not metric.help.endswith(".")
    assert not {"tenant", "doc_id", "document", "principal", "group"} & set(metric.labels)


def test_names_are_unique() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)


def test_what_was_recorded_is_rendered_and_read_back() -> None:
    metrics = Metrics()
    metrics.count(INGEST_EVENTS, 2, source="wiki", op="upsert")
    metrics.observe(RECORD_SECONDS, 0.02, stage="prepare")
    metrics.count(TAKE_OVERS)
    assert metrics.value(INGEST_EVENTS, source="wiki", op="upsert") == 2
    assert metrics.value(RECORD_SECONDS, stage="prepare") == 1
    assert metrics.value(INGEST_EVENTS, source="other", op="upsert") == 0
    rendered = metrics.render().decode()
    assert 'millstream_ingest_events_total{op="upsert",source="wiki"} 2.0' in rendered
    assert "millstream_take_overs_total 1.0" in rendered


def test_other_labels_than_declared_are_refused() -> None:
    with pytest.raises(ValueError):
        Metrics().count(INGEST_EVENTS, tenant="acme")
    with pytest.raises(ValueError):
        Metrics().count(TAKE_OVERS, stage="apply")


def test_two_recorders_do_not_share_anything() -> None:
    one, other = Metrics(), Metrics()
    one.count(TAKE_OVERS)
    assert other.value(TAKE_OVERS) == 0
