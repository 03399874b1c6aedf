"""Looking for personal data in real parser processes: the same findings as in this process, warmed for it or not."""

import pytest

from schemas.errors import UnreadableError
from schemas.redaction import Kind
from streams.core.redaction import Search
from streams.parse.document import read_document
from streams.parse.pool import ParserPool
from streams.redact.find import sighted

BODY = (
    b"# Notes\n\nDear Dr. Okafor,\n\nana.lima@mail.example and Priya Raman paid with DE89 3704 0044 0532 0130 00.\n\n"
    b"Kingfisher 7781 called from +49 30 901820.\n"
)
SEARCH = Search(tuple(kind for kind in Kind if kind is not Kind.PRIVATE), ("Kingfisher 7781",), ("ana.lima", "Okafor"))


@pytest.mark.parametrize("warm", [(), SEARCH.kinds], ids=["cold", "warm"])
async def test_a_parser_process_finds_what_this_one_finds(warm: tuple[Kind, ...]) -> None:
    async with ParserPool(kinds=warm) as pool:
        found = await pool.read(BODY, "text/markdown", "notes.md", SEARCH)
    assert found == sighted(read_document(BODY, "text/markdown", "notes.md"), SEARCH)
    assert {finding.kind for finding in found.text} >= {Kind.EMAIL, Kind.IBAN, Kind.PERSON, Kind.PHONE, Kind.PRIVATE}


async def test_a_document_that_cannot_be_read_is_refused_as_without_looking() -> None:
    async with ParserPool() as pool:
        with pytest.raises(UnreadableError):
            await pool.read(b"%PDF-1.7 nonsense", "application/pdf", "a.pdf", SEARCH)
