"""The sections of a document: what stands under which headings. Pure."""

from collections.abc import Sequence

from streams.core.blocks import Block, BlockKind

Section = tuple[tuple[Block, ...], list[Block]]
"""Headings, outermost first, and the blocks under them."""


def sections(blocks: Sequence[Block]) -> list[Section]:
    """Runs of blocks under one heading, with the headings above them.

    A heading with nothing under it is text itself: of the section before, or of one of its own where there is none.
    """
    found: list[Section] = []
    path: list[Block] = []
    fresh = True
    bare: Block | None = None

    def place_bare(heading: Block) -> None:
        path.remove(heading)
        if found:
            found[-1][1].append(heading)
        else:
            found.append((tuple(path), [heading]))

    for block in blocks:
        if block.kind is not BlockKind.HEADING:
            if fresh:
                found.append((tuple(path), []))
            found[-1][1].append(block)
            fresh, bare = False, None
            continue
        if bare is not None and bare.level >= block.level:
            place_bare(bare)
        while path and path[-1].level >= block.level:
            path.pop()
        path.append(block)
        fresh, bare = True, block
    if bare is not None:
        place_bare(bare)
    return found


def as_lines(headings: Sequence[Block]) -> tuple[str, ...]:
    """The words of headings, each on one line."""
    return tuple(" ".join(heading.text.split()) for heading in headings)
