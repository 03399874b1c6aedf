"""The names that a trained model sees in a text: spaCy's small English pipeline, its layers run here. The one module
that knows spaCy's model and thinc.

Of the pipeline only the recogniser of entities is loaded, which has word vectors of its own. Its layers give the same
numbers as spaCy's; its search, greedy over begin, inside, last, unit and outside, is done over all tokens at once:
outside of an entity a decision depends on the token alone. spaCy's own takes the GIL for every move it considers.
"""

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc
from thinc.api import Model, NumpyOps

from schemas.errors import ConfigError
from streams.redact.rules import NAMES_MODEL, Span

Matrix = NDArray[np.float32]

# tok2vec too: it serves what is left out here.
_UNUSED = ("tok2vec", "parser", "tagger", "attribute_ruler", "lemmatizer")
_WANTED = "PERSON"


@dataclass(frozen=True, slots=True)
class Weights:
    """The recogniser's last layer: a score of each move for a hidden state of `hidden` values."""

    moves: tuple[str, ...]
    """`O`; B, I, L, U with a label: `B-PERSON`; and a `U-` without one, which is never made."""
    features: Matrix
    """Shape (hidden, pieces): added to the features of a state before the greatest of its pieces counts."""
    scores: Matrix
    """Shape (moves, hidden)."""
    biases: Matrix
    """Shape (moves,)."""


def decoded(cached: Matrix, spaces: Sequence[bool], weights: Weights) -> Iterator[tuple[int, int, str]]:
    """Tokens [start, end) and label of each entity, in order.

    `cached`, shape (1 + tokens, 3, hidden, pieces): what a token adds to a state as the next one, as the first of an
    open entity and as the last before the next; row 0 stands for none. `spaces`: tokens of white space, where no entity
    begins.
    """
    outside = _outside(cached, spaces, weights)
    place = 0
    while place < len(outside):
        move, _, label = weights.moves[outside[place]].partition("-")
        start = place
        place += 1
        if move == "B":
            place = _closed(cached, weights, label, start, place)
        if move != "O":
            yield start, place, label


def _outside(cached: Matrix, spaces: Sequence[bool], weights: Weights) -> list[int]:
    """The best move at each token, if no entity is open there."""
    scores = _scored(cached[1:, 0] + cached[0, 1] + cached[0, 2], weights)
    kinds = np.array([move[0] if move != "U-" else "" for move in weights.moves])
    scores[:, ~np.isin(kinds, ("O", "B", "U"))] = -np.inf
    scores[np.ix_(np.asarray(spaces, dtype=bool), kinds != "O")] = -np.inf
    # One that begins needs another token to end at.
    scores[-1:, kinds == "B"] = -np.inf
    best: list[int] = scores.argmax(axis=1).tolist()
    return best


def _closed(cached: Matrix, weights: Weights, label: str, start: int, place: int) -> int:
    """Where an entity that began at `start` ends; `place` is the token behind its first."""
    inside, last = weights.moves.index(f"I-{label}"), weights.moves.index(f"L-{label}")
    while place < len(cached) - 2:
        (scores,) = _scored((cached[1 + place, 0] + cached[1 + start, 1] + cached[place, 2])[None], weights)
        place += 1
        # Of equal ones the move that comes first.
        if (scores[last], inside) > (scores[inside], last):
            return place
    return place + 1


def _scored(states: Matrix, weights: Weights) -> Matrix:
    hidden = (states + weights.features).max(axis=2)
    scores: Matrix = hidden @ weights.scores.T + weights.biases
    return scores


def load() -> Callable[[str], list[Span]]:
    """A function from a text to the spans of names of people. Raises ConfigError where the model is not installed."""
    try:
        package = importlib.import_module(NAMES_MODEL)
    except ModuleNotFoundError:
        raise ConfigError(
            "names of people (PERSON) are looked for, but their model is not installed: "
            "install millstream with the extra `ner`, or set PERSON to ignore in sources.yaml"
        ) from None
    language = package.load(exclude=list(_UNUSED))
    recogniser = language.get_pipe("ner")
    vectors, lower, upper = recogniser.model.layers
    _with_numpy_products(recogniser.model)
    moves = tuple(map(recogniser.moves.get_class_name, range(recogniser.moves.n_moves)))
    weights = Weights(moves, lower.get_param("b"), upper.get_param("W"), upper.get_param("b"))

    def names(text: str) -> list[Span]:
        document = language.make_doc(text)
        if not len(document):
            return []
        cached = lower.predict(vectors.predict([document]))
        spaces = [token.is_space for token in document]
        found = [document[start:end] for start, end, label in decoded(cached, spaces, weights) if label == _WANTED]
        return [(name.start_char, name.end_char) for name in found]

    return names


def _with_numpy_products(model: Model[list[Doc], object]) -> None:
    operations = _NumpyProducts()
    for layer in model.walk():
        layer.ops = operations


class _NumpyProducts(NumpyOps):  # type: ignore[misc]
    """spaCy's arithmetic with numpy's matrix product: half the time of its own (BLIS)."""

    def gemm(
        self, x: Matrix, y: Matrix, out: Matrix | None = None, trans1: bool = False, trans2: bool = False
    ) -> Matrix:
        product: Matrix = np.matmul(x.T if trans1 else x, y.T if trans2 else y, out=out)
        return product
