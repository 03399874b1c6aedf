"""The fingerprint of an embedder."""

from dataclasses import replace

import pytest

from index.embedding.port import Recipe

RECIPE = Recipe("org/Model-A", "rev1", 384, 256, pooling="mean")


def test_a_fingerprint_does_not_change_between_releases() -> None:
    assert RECIPE.fingerprint == "model-a-384-3bd3d0acd4ca"


@pytest.mark.parametrize(
    "changed",
    [
        replace(RECIPE, model="other/Model-A"),
        replace(RECIPE, revision="rev2"),
        replace(RECIPE, dimension=383),
        replace(RECIPE, max_tokens=512),
        replace(RECIPE, pooling="cls"),
        replace(RECIPE, normalised=False),
        replace(RECIPE, precision="int8"),
        replace(RECIPE, query_prefix="query: "),
        replace(RECIPE, passage_prefix="passage: "),
    ],
)
def test_whatever_changes_vectors_changes_the_fingerprint(changed: Recipe) -> None:
    assert changed.fingerprint != RECIPE.fingerprint
