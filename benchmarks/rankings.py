"""What other vectors cost in retrieval: how high a model ranks the chunks that answer the golden questions.

Cosine alone, over the example corpus, no lexical leg: the finished answer hides much of what a worse model does.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from evaluation.golden import FIRST_LIGHT, GoldenQuestion, load_golden
from index.embedding.port import Embedder
from streams.core.chunk import Chunk, chunk
from streams.core.treatment import named_after
from streams.parse.document import read_document

_EXAMPLES = Path(__file__).parent.parent / "examples"
_READ = frozenset({".md", ".txt", ".html"})


def ranking_shares(models: Mapping[str, Embedder]) -> dict[str, float]:
    """hit_at_1, hit_at_5 and mrr of each golden set and model: `first_light.mrr.int8`."""
    tokens = next(iter(models.values()))
    pieces = [piece for file in sorted(_EXAMPLES.rglob("*")) if file.suffix in _READ for piece in _cut(file, tokens)]
    shares: dict[str, float] = {}
    for golden in sorted(FIRST_LIGHT.parent.glob("*.yaml")):
        questions = [asked for asked in load_golden(golden).questions if asked.expect == "answer"]
        for name, model in models.items():
            ranks = _ranks(questions, pieces, model)
            shares |= {f"{golden.stem}.{figure}.{name}": value for figure, value in _summary(ranks).items()}
    return shares


def _cut(file: Path, tokens: Embedder) -> list[Chunk]:
    document = read_document(file.read_bytes(), None, file.name)
    return chunk(document, document.title or named_after(file.name), tokens.token_spans, tokens.max_tokens)


def _ranks(questions: Sequence[GoldenQuestion], pieces: Sequence[Chunk], model: Embedder) -> list[int]:
    """Place, from 1, of the first chunk that holds what a right answer contains; questions that none answers aside."""
    vectors = model.embed([piece.embedded for piece in pieces])
    said = [" ".join(piece.text.split()) for piece in pieces]
    ranks = []
    for asked in questions:
        order = np.argsort(-(vectors @ model.embed_query(asked.question)), kind="stable")
        right = (place for place, piece in enumerate(order, 1) if all(text in said[piece] for text in asked.contains))
        rank = next(right, None)
        if rank is not None:
            ranks.append(rank)
    return ranks


def _summary(ranks: Sequence[int]) -> dict[str, float]:
    return {
        "hit_at_1": round(sum(rank == 1 for rank in ranks) / len(ranks), 3),
        "hit_at_5": round(sum(rank <= 5 for rank in ranks) / len(ranks), 3),
        "mrr": round(sum(1 / rank for rank in ranks) / len(ranks), 3),
    }
