"""Edit locality: how many chunks are embedded again for each chunk whose text an edit really changed.

`python -m benchmarks.locality FOLDER...` reads the documents under the folders (or files), takes them through seeded
histories of edits, and takes as they are: pairs of revisions that lie there side by side (rev6 and rev7), and every
version that git has of them. Prints JSON; `ratio` is the figure.
"""

import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from benchmarks.machine import load_average, machine, revision
from schemas.errors import UnreadableError
from streams.core.blocks import Block, BlockKind, ParsedDocument, Piece, assemble
from streams.core.chunk import Chunk, TokenSpans, chunk

SEED = 20261121
VERSIONS = 20
_REVISION = re.compile(r"(?:rev)?(\d+)(?:[.-]\d+)*$")
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|\n+")
_LONG_PIECES = 400

Version = tuple[Piece, ...]
Edit = Callable[[list[Piece], random.Random, Sequence[str]], None]


@dataclass(slots=True)
class Tally:
    """Over the edits of a kind of document."""

    edits: int = 0
    chunks: int = 0
    changed: int = 0
    embedded: int = 0

    def take(self, before: Sequence[Chunk], after: Sequence[Chunk]) -> None:
        self.edits += 1
        self.chunks += len(after)
        self.changed += changed_chunks(before, after)
        known = Counter(piece.embedded for piece in before)
        self.embedded += sum((Counter(piece.embedded for piece in after) - known).values())

    def published(self) -> dict[str, float | int]:
        return {
            "edits": self.edits,
            "chunks": self.chunks,
            "changed": self.changed,
            "embedded": self.embedded,
            "ratio": round(self.embedded / max(self.changed, 1), 3),
        }


def changed_chunks(before: Sequence[Chunk], after: Sequence[Chunk]) -> int:
    """Chunks whose text an edit really changed, the least that any way of cutting has to embed again.

    Those that hold a sentence the document did not have under these headings; or, where an edit took more than it
    gave, those left of the chunks that lost one.
    """
    old, new = (Counter(unit for one in chunks for unit in _units(one)) for chunks in (before, after))
    gained, lost = set(new - old), set(old - new)
    kept = {one.embedded for one in before} & {one.embedded for one in after}
    gaining = sum(any(unit in gained for unit in _units(one)) for one in after if one.embedded not in kept)
    losing = sum(
        any(unit in lost for unit in units) and not all(unit in lost for unit in units)
        for units in (_units(one) for one in before if one.embedded not in kept)
    )
    return max(gaining, losing)


def _units(piece: Chunk) -> list[tuple[str, ...]]:
    return [(piece.title, *piece.heading_path, part.strip()) for part in _SENTENCE.split(piece.text) if part.strip()]


def histories(documents: Sequence[ParsedDocument], versions: int) -> Iterator[list[ParsedDocument]]:
    """A seeded history of each document: one to three edits a version."""
    dice = random.Random(SEED)
    words = [part for document in documents for part in _SENTENCE.split(document.text) if 20 < len(part) < 300]
    for document in documents:
        pieces = [_piece(block) for block in document.blocks]
        history = [document]
        for _ in range(versions):
            for _ in range(dice.randint(1, 3)):
                dice.choice(EDITS)(pieces, dice, words)
            history.append(assemble(pieces, title=document.title, language=document.language, kind=document.kind))
        yield history


def _piece(block: Block) -> Piece:
    return Piece(block.kind, block.text, block.level, block.page, block.header_lines)


def _insert_sentence(pieces: list[Piece], dice: random.Random, words: Sequence[str]) -> None:
    place = _prose(pieces, dice)
    sentences = _SENTENCE.split(pieces[place].text)
    sentences.insert(dice.randint(0, len(sentences)), dice.choice(words))
    pieces[place] = replace(pieces[place], text=" ".join(sentences))


def _remove_sentence(pieces: list[Piece], dice: random.Random, _words: Sequence[str]) -> None:
    place = _prose(pieces, dice)
    sentences = _SENTENCE.split(pieces[place].text)
    if len(sentences) > 1:
        del sentences[dice.randrange(len(sentences))]
        pieces[place] = replace(pieces[place], text=" ".join(sentences))
    elif len(pieces) > 3:
        del pieces[place]


def _change_word(pieces: list[Piece], dice: random.Random, words: Sequence[str]) -> None:
    place = _prose(pieces, dice)
    parts = pieces[place].text.split(" ")
    parts[dice.randrange(len(parts))] = dice.choice(dice.choice(words).split())
    pieces[place] = replace(pieces[place], text=" ".join(parts))


def _insert_paragraph(pieces: list[Piece], dice: random.Random, words: Sequence[str]) -> None:
    text = " ".join(dice.choice(words) for _ in range(dice.randint(1, 4)))
    pieces.insert(_prose(pieces, dice) + 1, Piece(BlockKind.PARAGRAPH, text))


def _change_row(pieces: list[Piece], dice: random.Random, words: Sequence[str]) -> None:
    tables = [place for place, piece in enumerate(pieces) if piece.kind is BlockKind.TABLE]
    if not tables:
        return _change_word(pieces, dice, words)
    place = dice.choice(tables)
    rows = pieces[place].text.split("\n")
    row = dice.randrange(min(pieces[place].header_lines, len(rows) - 1), len(rows))
    rows.insert(row, " | ".join(dice.choice(words)[:12] for _ in rows[row].split(" | ")))
    pieces[place] = replace(pieces[place], text="\n".join(rows))
    return None


def _prose(pieces: Sequence[Piece], dice: random.Random) -> int:
    kinds = (BlockKind.PARAGRAPH, BlockKind.LIST_ITEM)
    return dice.choice([place for place, piece in enumerate(pieces) if piece.kind in kinds] or range(len(pieces)))


EDITS: Sequence[Edit] = (_insert_sentence, _remove_sentence, _change_word, _insert_paragraph, _change_row)


def without_headings(documents: Sequence[ParsedDocument]) -> ParsedDocument:
    """All text as one long document of one section: the hardest case, for no heading holds an edit back."""
    blocks = (block for document in documents for block in document.blocks if block.kind is not BlockKind.HEADING)
    pieces = [_piece(block) for block, _ in zip(blocks, range(_LONG_PIECES), strict=False)]
    return assemble(pieces, title="Everything", language=None, kind="text")


def revisions(paths: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
    """Neighbouring files that are revisions of one document by their names."""
    known: dict[tuple[Path, str], list[Path]] = {}
    for path in sorted(paths):
        if found := _REVISION.search(path.stem):
            known.setdefault((path.parent, path.stem[: found.start()]), []).append(path)
    for group in known.values():
        yield from pairwise(group)


def committed(path: Path) -> list[ParsedDocument]:
    """Every version of a file that git knows, the oldest first; none outside a repository."""
    hashes = _git(path, "log", "--reverse", "--format=%H", "--", path.name).decode().split()
    versions = (_parsed(_git(path, "show", f"{one}:./{path.name}"), path.name) for one in hashes)
    return [version for version in versions if version is not None]


def _git(path: Path, *arguments: str) -> bytes:
    done = subprocess.run(  # noqa: S603
        ["git", "-C", str(path.parent), *arguments],  # noqa: S607
        capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    return done.stdout if done.returncode == 0 else b""


def measure(paths: Sequence[Path], token_spans: TokenSpans, versions: int = VERSIONS) -> dict[str, Tally]:
    """Tallies of seeded histories, of one long section, and of revisions as people wrote them."""
    read = {path: document for path in paths if (document := _read(path)) is not None}
    documents = list(read.values())
    tallies = {"documents": Tally(), "one_long_section": Tally(), "revisions": Tally(), "committed": Tally()}

    def cut(document: ParsedDocument) -> list[Chunk]:
        return chunk(document, document.title or "", token_spans)

    for name, history in [
        *(("documents", history) for history in histories(documents, versions)),
        *(("one_long_section", history) for history in histories([without_headings(documents)], versions * 10)),
        *(("revisions", [read[old], read[new]]) for old, new in revisions(list(read))),
        *(("committed", history) for path in read if len(history := committed(path)) > 1),
    ]:
        before = cut(history[0])
        for version in history[1:]:
            after = cut(version)
            tallies[name].take(before, after)
            before = after
    return tallies


def _read(path: Path) -> ParsedDocument | None:
    return _parsed(path.read_bytes(), path.name)


def _parsed(body: bytes, name: str) -> ParsedDocument | None:
    from streams.parse.document import read_document

    try:
        return read_document(body, None, name)
    except UnreadableError:
        return None


def main() -> None:
    """Measure the folders named on the command line, with the model's own word pieces."""
    from index.embedding.fastembed_model import load_embedder

    named = [Path(name) for name in sys.argv[1:]]
    paths = [path for name in named for path in [name, *sorted(name.rglob("*"))] if path.is_file()]
    if not paths:
        sys.exit("usage: python -m benchmarks.locality FOLDER...   (documents, such as `docs README.md examples`)")
    load = load_average()
    tallies = measure(paths, load_embedder().token_spans)
    whole = Tally()
    for tally in tallies.values():
        for name in ("edits", "chunks", "changed", "embedded"):
            setattr(whole, name, getattr(whole, name) + getattr(tally, name))
    figures = {name: tally.published() for name, tally in tallies.items()}
    print(
        json.dumps(
            {
                "name": "edit locality", **whole.published(), "parts": figures, "seed": SEED, "documents": len(paths),
                "machine": machine().model_dump(), "commit": revision(), "load_before": load,
            },
            indent=2,
        )
    )  # fmt: skip


if __name__ == "__main__":
    main()
