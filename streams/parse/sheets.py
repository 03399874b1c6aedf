"""Spreadsheets and delimited text as tables. The one module that knows python-calamine."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from schemas.errors import UnreadableError
from streams.core.blocks import BlockKind, Piece
from streams.parse.archive import opened
from streams.parse.limits import Limits
from streams.parse.reading import Reading
from streams.parse.tables import names_columns, table_piece

_DELIMITERS = ",;\t|"
_LOOKED_AT = 20
_LONGEST_CELL = 1_000_000
_EXACT = 2**53
_WRITTEN_OUT = 1e-9, 1e18

Cell = str | float | int | bool | date | datetime | time | timedelta


def read_delimited(text: str, delimiter: str | None = None) -> Reading:
    """Comma- or otherwise separated values; which, the first lines tell where `delimiter` does not.

    Raises UnreadableError, reason malformed.
    """
    csv.field_size_limit(_LONGEST_CELL)
    found = delimiter or _delimiter(text.split("\n", _LOOKED_AT)[:_LOOKED_AT])
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=found))
    except csv.Error:
        raise UnreadableError(
            f"a cell is over {_LONGEST_CELL} characters long, or a quote is never closed", reason="malformed"
        ) from None
    return Reading(list(_tables(rows)))


def read_workbook(body: bytes, limits: Limits) -> Reading:
    """The sheets of a workbook that are not hidden: a heading and a table each, numbered like pages.

    Raises UnreadableError; reason malformed, encrypted, archive_bomb or too_many_pages.
    """
    from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum

    opened(body, limits)
    pieces: list[Piece] = []
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(body))
        shown = [sheet.name for sheet in workbook.sheets_metadata if sheet.visible is SheetVisibleEnum.Visible]
        limits.hold_pages(len(shown), "the workbook has {} sheets")
        for page, name in enumerate(shown, 1):
            rows = workbook.get_sheet_by_name(name).iter_rows()
            tables = list(_tables(([_shown(cell) for cell in row] for row in rows), page))
            if any(table.text for table in tables):
                pieces += [Piece(BlockKind.HEADING, name, 1, page), *tables]
    except (CalamineError, ValueError, OSError):
        raise UnreadableError("the workbook is damaged: save it again and resend it", reason="malformed") from None
    return Reading(pieces)


def _delimiter(lines: Sequence[str]) -> str:
    """The one that most lines have alike, the most often."""

    def score(delimiter: str) -> tuple[int, int]:
        counts = [line.count(delimiter) for line in lines if line.strip()]
        usual = max(set(counts), key=counts.count) if counts else 0
        return (counts.count(usual) if usual else 0, usual)

    return max(_DELIMITERS, key=score)


def _tables(rows: Iterable[Sequence[str]], page: int | None = None) -> Iterator[Piece]:
    """Runs of rows between empty ones; lines of a single cell above a table are its paragraphs."""
    run: list[Sequence[str]] = []
    for row in [*rows, ()]:
        if any(cell.strip() for cell in row):
            run.append(row)
        elif run:
            yield from _run(run, page)
            run = []


def _run(run: Sequence[Sequence[str]], page: int | None) -> Iterator[Piece]:
    first = 0
    while first < len(run) and sum(bool(cell.strip()) for cell in run[first]) == 1:
        first += 1
    if 0 < first < len(run):
        for row in run[:first]:
            yield Piece(BlockKind.PARAGRAPH, " ".join(" ".join(row).split()), page=page)
        run = run[first:]
    named = names_columns([cell for cell in run[0] if cell.strip()]) and len(run) > 1
    yield table_piece(((row, named and number == 0) for number, row in enumerate(run)), page)


def _shown(cell: Cell) -> str:
    """A cell as a reader sees it: whole numbers without a point, days without a midnight."""
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < _EXACT else _written_out(cell)
    if isinstance(cell, datetime) and cell.time() == time():
        return cell.date().isoformat()
    return cell if isinstance(cell, str) else str(cell)


def _written_out(number: float) -> str:
    """The fifteen digits a spreadsheet keeps, without an exponent unless the number is tiny or immense."""
    least, most = _WRITTEN_OUT
    shown = f"{number:.15g}"
    return format(Decimal(shown), "f") if least <= abs(number) < most else shown
