"""The benchmark of a corpus that changes: its versions really change what they say they do."""

import numpy as np
import pytest

from benchmarks.churn import ChurnPlan, Texts, _mutations, _revision
from benchmarks.scratch import Part


def _texts(documents: int, sections: int) -> Texts:
    vector = np.full(8, 8**-0.5, dtype=np.float32)
    return Texts(
        [[Part((f"h{place}",), f"t{place}", vector) for place in range(sections)] for _ in range(documents)], []
    )


def test_every_version_changes_one_section_of_every_document() -> None:
    plan = ChurnPlan(documents=2, versions=9, sections=3)
    before: dict[str, tuple[str, ...]] = {}
    for item in _mutations(plan, _texts(2, 3), range(10)):
        assert item.mutation.content is not None
        texts = tuple(chunk.text for chunk in item.mutation.content.chunks)
        known = before.get(item.mutation.doc_id)
        if known is not None:
            assert sum(now != was for now, was in zip(texts, known, strict=True)) == 1
        before[item.mutation.doc_id] = texts
    assert len(before) == 2


@pytest.mark.parametrize(("version", "revisions"), [(0, [0, 0, 0]), (1, [1, 0, 0]), (3, [1, 2, 3]), (5, [4, 5, 3])])
def test_a_section_keeps_the_revision_that_changed_it_last(version: int, revisions: list[int]) -> None:
    assert [_revision(version, place, 3) for place in range(3)] == revisions


def test_vectors_stay_of_unit_length_and_close_to_the_first() -> None:
    plan = ChurnPlan(documents=1, versions=4, sections=2)
    for item in _mutations(plan, _texts(1, 2), range(1, 5)):
        assert item.mutation.content is not None
        for chunk in item.mutation.content.chunks:
            vector = np.frombuffer(chunk.vector, dtype="<f4")
            assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)
