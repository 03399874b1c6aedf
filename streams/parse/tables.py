"""Rows of cells as one piece of text. Pure."""

from collections.abc import Iterable, Sequence

from streams.core.blocks import BlockKind, Piece


def table_piece(rows: Iterable[tuple[Sequence[str], bool]], page: int | None = None) -> Piece:
    """A table from rows and whether each is a header's: one line a row, cells parted by ` | `, empty rows left out.

    Columns that are empty throughout are left out as well; a table of one column is a paragraph of lines.
    """
    lines = [([" ".join(cell.split()) for cell in cells], header) for cells, header in rows]
    lines = [(cells, header) for cells, header in lines if any(cells)]
    used = sorted({column for cells, _ in lines for column, cell in enumerate(cells) if cell})
    text = "\n".join(" | ".join(cells[c] if c < len(cells) else "" for c in used).rstrip(" |") for cells, _ in lines)
    if len(used) < 2:
        return Piece(BlockKind.PARAGRAPH, text, page=page)
    return Piece(BlockKind.TABLE, text, page=page, header_lines=_header(lines))


def _header(lines: Sequence[tuple[Sequence[str], bool]]) -> int:
    """How many first lines name the columns, the last row never being one."""
    count = 0
    while count < len(lines) - 1 and lines[count][1]:
        count += 1
    return count


def names_columns(cells: Sequence[str]) -> bool:
    """Whether a first row reads like column names: several, all filled but for the odd corner, none a number."""
    filled = [cell for cell in cells if cell.strip()]
    return (
        len(filled) >= max(2, len(cells) - 1)
        and len(set(filled)) == len(filled)
        and not any(cell.strip().lstrip("-+").replace(".", "").replace(",", "").isdecimal() for cell in filled)
    )
