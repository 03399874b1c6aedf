"""How texts are grouped into runs of the model."""

from hypothesis import given
from hypothesis import strategies as st

from index.embedding.fastembed_model import BATCH_CHARACTERS, BATCH_TEXTS, batches


@given(st.lists(st.integers(0, 5000), max_size=200))
def test_every_text_is_in_exactly_one_batch_within_the_limits(lengths: list[int]) -> None:
    groups = batches(lengths, max_tokens=256)
    assert sorted(place for group in groups for place in group) == list(range(len(lengths)))
    for group in groups:
        longest = min(max(lengths[place] for place in group), 5 * 256)
        assert len(group) <= BATCH_TEXTS
        assert len(group) == 1 or longest * len(group) <= BATCH_CHARACTERS
