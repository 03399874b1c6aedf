"""Cut a document into chunks the embedding model reads whole: structure first, then sentences, then word pieces.

A chunk never crosses a heading, so an edit changes the chunks of one section, and of a long one those near it
(boundaries.py). What is embedded is the title, the heading path and the text together, composed by `embedded_text`
alone; with two special tokens they stay within the model's longest input. Every word outside headings is in exactly one
chunk, in order; a heading that fits into no path whole is text as well. Each part is cut as a document of its own, the
document's title its outermost heading.
"""

import hashlib
import re
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, count, groupby, pairwise
from operator import itemgetter

from schemas.errors import TooLargeError
from schemas.records import PageBreak
from streams.core.blocks import Block, BlockKind, ParsedDocument
from streams.core.boundaries import Cut, parts, rank
from streams.core.sections import Section, as_lines, sections

TokenSpans = Callable[[str], Sequence[tuple[int, int]]]
"""Character spans of a text's word pieces, special tokens left out: an embedder's `token_spans`."""

SPECIAL_TOKENS = 2
TARGET_TOKENS = 230
LEAST_TOKENS = 60
LEAST_SECTION_TOKENS = 6
TITLE_TOKENS = 32
PATH_TOKENS = 48
CHARACTERS_PER_TOKEN = 12
MAX_CHUNKS = 4000

# Possessive and led by look-behinds: linear on any text, a hundred thousand dots included.
_SENTENCE = re.compile(r"""(?:(?<=[.!?…؟۔।॥։።])|(?<=[.!?…؟]["'”’»)\]]))\s++|[。！？．｡]++[」』”）】]*+\s*+|\n++""")
_LINE = re.compile(r"\n++")
_PLAIN_WORD = re.compile(r"[A-Za-z0-9]{1,32}+")
_MET_AT_ONCE = 100_000
"""Characters of a document whose words are."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One retrievable piece. `text` is `document.text[start:end]`, after the column names where a table was cut."""

    ordinal: int
    text: str
    heading_path: tuple[str, ...]
    page: int | None
    start: int
    end: int
    title: str
    """The document's or the part's title as embedded: cut where it is too long to leave room for the text."""
    part: int = 0
    page_breaks: tuple[PageBreak, ...] = ()
    """Pages after `page`, and where in `text` each begins."""

    @property
    def embedded(self) -> str:
        """Exactly what the model reads."""
        return embedded_text(self.title, self.heading_path, self.text)


def embedded_text(title: str, heading_path: Sequence[str], text: str) -> str:
    """Compose what is embedded. Nothing else may: the hash that reuses vectors is taken over it."""
    return "\n".join(part for part in (title, " > ".join(heading_path), text) if part)


def embedded_hash(embedded: str, fingerprint: str) -> str:
    """32 hex digits of SHA-256 over the embedder's fingerprint and the embedded text: equal hash, equal vector."""
    return hashlib.sha256(f"{len(fingerprint)}:{fingerprint}{embedded}".encode("utf-8", "replace")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class _Atom:
    """A span [start, end) that is not cut any further, its tokens, and the column names it needs at a chunk's start."""

    start: int
    end: int
    tokens: int
    header: str = ""
    header_tokens: int = 0
    within: bool = False
    """Continues the block of the atom before."""
    glued: bool = False
    """Continues a word of the atom before: their tokens do not add up, so they never share a chunk."""
    leads: bool = False
    """Ends in a colon: belongs to what follows."""


@dataclass(frozen=True, slots=True)
class _Room:
    """What fits beside the title and the heading path: a limit no chunk passes and a target most are packed to."""

    limit: int
    target: int
    characters: int

    def less(self, tokens: int, characters: int) -> "_Room":
        limit = self.limit - tokens
        return _Room(limit, min(self.target, limit), self.characters - characters)


def chunk(
    document: ParsedDocument, title: str, token_spans: TokenSpans, max_tokens: int = 256, max_chunks: int = MAX_CHUNKS
) -> list[Chunk]:
    """Cut a document. Deterministic; no chunk is empty; `embedded` is at most `max_tokens` long, special tokens in.

    Raises TooLargeError over `max_chunks` chunks.
    """
    return list(_limited(_chunks(document, title, token_spans, max_tokens), max_chunks))


def _chunks(document: ParsedDocument, title: str, token_spans: TokenSpans, max_tokens: int) -> Iterator[Chunk]:
    _meet_words(document.text, token_spans)
    ordinals = count()
    for part, blocks in groupby(document.blocks, key=lambda block: block.part):
        titles = (document.parts[part - 1].title, title) if part > 0 else (title,)
        whole = _Whole(part, document.text, tuple(blocks), *titles)
        yield from _Cutter(whole, token_spans, max_tokens).chunks(ordinals)


def _meet_words(text: str, token_spans: TokenSpans) -> None:
    """Have the words counted once, together: an embedder that knows words again then knows those of each piece."""
    if len(text) <= _MET_AT_ONCE:
        token_spans(" ".join(dict.fromkeys(_PLAIN_WORD.findall(text))))


def _limited(chunks: Iterable[Chunk], most: int) -> Iterator[Chunk]:
    for cut in chunks:
        if cut.ordinal >= most:
            raise TooLargeError(f"the document has over {most} chunks: split it into several documents")
        yield cut


@dataclass(frozen=True, slots=True)
class _Whole:
    """A document without its attachments, or one of them; blocks are places in `text`."""

    part: int
    text: str
    blocks: tuple[Block, ...]
    title: str
    above: str = ""
    """The title of the document it is a part of."""


def _page_starts(blocks: Sequence[Block]) -> list[tuple[int, int]]:
    """Where each page begins, of what has pages at all."""
    known = [start for block in blocks for start in block.page_starts]
    return known[:1] + [here for before, here in pairwise(known) if here[1] != before[1]]


class _Cutter:
    """One whole being cut."""

    def __init__(self, whole: _Whole, token_spans: TokenSpans, max_tokens: int) -> None:
        self._part = whole.part
        self._text = whole.text
        self._blocks = whole.blocks
        self._token_spans = token_spans
        self._max_tokens = max_tokens
        self._full_title = " ".join(whole.title.split())
        self._title = self._clipped(self._full_title, min(TITLE_TOKENS, max_tokens // 8))
        above = " ".join(whole.above.split())
        self._above = (above,) if above and not self._is_title(above) else ()
        self._page_starts = _page_starts(whole.blocks)

    def chunks(self, ordinals: Iterator[int]) -> Iterator[Chunk]:
        found = self._sections()
        paths = [self._kept_path(as_lines(path)) for path, _ in found]
        for kept, blocks in zip(paths, self._with_lost_headings(found, paths), strict=True):
            room = self._room(kept)
            for atoms in self._packed(list(self._atoms(blocks, room)), room):
                first = atoms[0]
                text = first.header + self._text[first.start : atoms[-1].end]
                span = first.start, atoms[-1].end
                page, breaks = self._pages(*span, len(first.header))
                yield Chunk(next(ordinals), text, kept, page, *span, self._title, self._part, breaks)

    def _pages(self, start: int, end: int, header: int) -> tuple[int | None, tuple[PageBreak, ...]]:
        """The page of `start`, and those that begin behind it and before `end`."""
        first = bisect_right(self._page_starts, start, key=itemgetter(0))
        last = bisect_left(self._page_starts, end, key=itemgetter(0))
        breaks = (PageBreak(at=header + place - start, page=page) for place, page in self._page_starts[first:last])
        return self._page_starts[first - 1][1] if first else None, tuple(breaks)

    def _sections(self) -> list[Section]:
        """The sections; a word or two before the first heading ("Edit this page") are part of the first."""
        found = sections(self._blocks)
        if len(found) > 1 and not found[0][0] and self._is_tiny(found[0][1]):
            (_, before), (path, blocks), *others = found
            return [(path, [*before, *blocks]), *others]
        return found

    def _with_lost_headings(
        self, found: Sequence[Section], paths: Sequence[tuple[str, ...]]
    ) -> Iterator[Sequence[Block]]:
        """Each section's blocks, with the headings before them that no path holds whole: those are text as well."""
        lost = {block.start: block for block in self._blocks if block.kind is BlockKind.HEADING}
        for _, blocks in found:
            for block in blocks:
                lost.pop(block.start, None)
        for (path, _), kept in zip(found, paths, strict=True):
            whole = sum(one == line for one, line in zip(reversed(kept), reversed(as_lines(path)), strict=False))
            for heading in path[len(path) - whole :]:
                lost.pop(heading.start, None)
            if path and self._is_title(as_lines(path)[0]) and self._title == self._full_title:
                lost.pop(path[0].start, None)
        waiting = deque(lost[start] for start in sorted(lost))
        for _, blocks in found:
            here: list[Block] = []
            while waiting and waiting[0].start < blocks[-1].end:
                here.append(waiting.popleft())
            yield sorted([*here, *blocks], key=lambda block: block.start) if here else blocks

    def _is_title(self, heading: str) -> bool:
        return heading.casefold() == self._full_title.casefold()

    def _is_tiny(self, blocks: Sequence[Block]) -> bool:
        length = blocks[-1].end - blocks[0].start
        if length > CHARACTERS_PER_TOKEN * LEAST_SECTION_TOKENS:
            return False
        return self._count(self._text[blocks[0].start : blocks[-1].end]) < LEAST_SECTION_TOKENS

    def _packed(self, atoms: Sequence[_Atom], room: _Room) -> Iterator[Sequence[_Atom]]:
        """Atoms in the runs that become chunks."""
        tokens = [0, *accumulate(atom.tokens for atom in atoms)]
        between = [0, *accumulate(self._between(before, atom) for before, atom in pairwise(atoms))]

        def fits(begin: int, end: int) -> bool:
            first, last = atoms[begin], atoms[end - 1]
            total = first.header_tokens + tokens[end] - tokens[begin] + between[end - 1] - between[begin]
            return total <= room.target and len(first.header) + last.end - first.start <= room.characters

        # Nearly every section: no cut is needed, and so no ranks are.
        if atoms and fits(0, len(atoms)) and not any(atom.glued for atom in atoms[1:]):
            yield atoms
            return
        ranks = [self._rank(atoms, place, room) for place in range(len(atoms))]
        least = min(LEAST_TOKENS, room.target // 3)
        for begin, end in parts([atom.tokens for atom in atoms], ranks, least, fits):
            yield atoms[begin:end]

    def _between(self, before: _Atom, atom: _Atom) -> int:
        """Tokens between two atoms that share a chunk: of a heading behind a word or two that it took in."""
        text = self._text[before.end : atom.start].strip()
        return self._count(text) if text else 0

    def _rank(self, atoms: Sequence[_Atom], place: int, room: _Room) -> int:
        """The rank of a cut before an atom."""
        atom, before = atoms[place], atoms[place - 1] if place else None
        cut = Cut.WITHIN if atom.within else Cut.BLOCK
        if atom.glued:
            cut = Cut.FORCED
        elif before is not None and before.leads and before.tokens + atom.tokens <= room.target:
            cut = Cut.ANNOUNCED
        return rank(cut, self._text[atom.start : atom.end])

    def _kept_path(self, path: tuple[str, ...]) -> tuple[str, ...]:
        """The innermost headings that fit, and not the title once more."""
        if path and self._is_title(path[0]):
            path = path[1:]
        path = (*self._above, *path)
        left = min(PATH_TOKENS, self._max_tokens * 3 // 16)
        kept: list[str] = []
        for heading in reversed(path):
            cost = self._count(heading) + (1 if kept else 0)
            if cost > left:
                kept = kept or [self._clipped(heading, left)]
                break
            kept.append(heading)
            left -= cost
        return tuple(heading for heading in reversed(kept) if heading)

    def _room(self, path: tuple[str, ...]) -> _Room:
        limit = self._max_tokens - SPECIAL_TOKENS - self._count(embedded_text(self._title, path, ""))
        return _Room(limit, min(TARGET_TOKENS, limit), CHARACTERS_PER_TOKEN * self._max_tokens)

    def _count(self, text: str) -> int:
        return len(self._token_spans(text))

    def _clipped(self, text: str, tokens: int) -> str:
        """The first words of a text, at most so many tokens."""
        text = text[: CHARACTERS_PER_TOKEN * tokens]
        spans = self._token_spans(text)
        while len(spans) > tokens:
            end = spans[tokens][0]
            text = (text[: text.rfind(" ", 0, end + 1)] if " " in text[:end] else text[:end]).strip()
            spans = self._token_spans(text)
        return text.strip()

    def _atoms(self, blocks: Sequence[Block], room: _Room) -> Iterator[_Atom]:
        """Blocks that fit stay whole; a list that fits stays together; the others are cut by their kind."""
        for is_list, group in groupby(blocks, key=lambda block: block.kind is BlockKind.LIST_ITEM):
            members = list(group)
            whole = self._whole(members[0].start, members[-1].end, room, room.target) if is_list else None
            if whole is not None:
                yield whole
            else:
                for number, block in enumerate(members):
                    yield from self._block_atoms(block, room, within=number > 0)

    def _block_atoms(self, block: Block, room: _Room, *, within: bool) -> Iterator[_Atom]:
        keeps = block.kind in (BlockKind.TABLE, BlockKind.CODE)
        whole = self._whole(block.start, block.end, room, room.limit if keeps else room.target, within=within)
        if whole is not None:
            yield whole
        else:
            yield from _continued(self._cut_atoms(block, room), within=within)

    def _cut_atoms(self, block: Block, room: _Room) -> Iterator[_Atom]:
        if block.kind is BlockKind.TABLE:
            return self._rows(block, room)
        separator = _LINE if block.kind is BlockKind.CODE else _SENTENCE
        return self._parts(block.start, block.end, separator, room)

    def _whole(self, start: int, end: int, room: _Room, most: int, *, within: bool = False) -> _Atom | None:
        """The span as one atom, if it has at most so many tokens and is not too long in characters."""
        if end - start > room.characters:
            return None
        tokens = self._count(self._text[start:end])
        leads = self._text[end - 1] in ":："
        return _Atom(start, end, tokens, within=within, leads=leads) if tokens <= most else None

    def _rows(self, block: Block, room: _Room) -> Iterator[_Atom]:
        """One atom a row; all but the first carry the column names, unless those take over a third of the room."""
        lines = block.text.split("\n")
        header = "".join(line + "\n" for line in lines[: block.header_lines])
        tokens = self._count(header) if len(header) * 3 <= room.characters else room.limit
        if tokens * 3 > room.limit:
            header, tokens = "", 0
        body = min(block.start + len(header), block.end)
        yield from self._parts(block.start, body, _LINE, room)
        rows = room.less(tokens, len(header))
        for atom in self._parts(body, block.end, _LINE, rows):
            yield replace(atom, header=header, header_tokens=tokens)

    def _parts(self, start: int, end: int, separator: re.Pattern[str], room: _Room) -> Iterator[_Atom]:
        """Cut a span behind each separator; what is still too large is cut hard."""
        cuts = [match.end() for match in separator.finditer(self._text, start, end)]
        for left, right in pairwise([start, *cuts, end]):
            left, right = self._stripped(left, right)
            if left == right:
                continue
            whole = self._whole(left, right, room, room.limit)
            if whole is not None:
                yield whole
            else:
                yield from self._hard(left, right, room)

    def _hard(self, start: int, end: int, room: _Room) -> Iterator[_Atom]:
        """Cut between words where there are any, else between word pieces, else between characters."""
        glued = False
        while start < end:
            stop = self._furthest(start, min(end, start + room.characters), room.target)
            space = self._text.rfind(" ", start + 1, stop) if stop < end else -1
            if space > start + (stop - start) // 2:
                stop = space
            left, right = self._stripped(start, stop)
            if left < right:
                yield _Atom(left, right, self._count(self._text[left:right]), glued=glued and left == start)
            glued = right == stop
            start = stop

    def _furthest(self, start: int, stop: int, most: int) -> int:
        """How far a piece from `start` may reach with at most so many tokens; one character is always taken."""
        while stop - start > 1:
            spans = self._token_spans(self._text[start:stop])
            if len(spans) <= most:
                break
            # What is cut inside a word is tokenised anew and may have more tokens than before: hence the loop.
            stop = start + max(1, min(spans[most][0], stop - start - 1))
        return stop

    def _stripped(self, start: int, end: int) -> tuple[int, int]:
        part = self._text[start:end]
        kept = part.strip()
        start += len(part) - len(part.lstrip()) if kept else 0
        return start, start + len(kept)


def _continued(atoms: Iterable[_Atom], *, within: bool) -> Iterator[_Atom]:
    """The atoms of one block: all but the first continue it, and the first what is before it if `within`."""
    return (replace(atom, within=True) if within or number > 0 else atom for number, atom in enumerate(atoms))
