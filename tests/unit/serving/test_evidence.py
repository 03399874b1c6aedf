"""What a citation says of where its quote comes from."""

from index.manifest import ChunkId, Entry
from serving.evidence import Evidence, citation, origin
from tests.contract.index_rows import chunk_row, document_row
from tests.unit.serving.passages import passage

TEXT = "Pumps are old.\n\nThe intake is cleaned\nin March.\n\nValves are new."


def evidence() -> Evidence:
    said = passage(TEXT)
    entry = Entry(ChunkId("x"), "00" * 16, 2, 100, 180, page_breaks=((16, 3), (49, 5)))
    row = document_row(said.document, 7)
    return Evidence(said, chunk_row(said.document), row, entry)


def test_a_citation_is_of_the_page_on_which_its_first_quote_begins() -> None:
    found = evidence()
    assert citation(1, found, ["Pumps are old."]).origin.page == 2
    assert citation(1, found, ["The intake is cleaned in March.", "Pumps are old."]).origin.page == 3
    assert citation(1, found, ["Valves are new."]).origin.page == 5


def test_a_passage_or_a_quote_that_does_not_stand_there_is_of_the_page_where_the_chunk_begins() -> None:
    assert origin(evidence()).page == 2
    assert citation(1, evidence(), ["Said by nobody."]).origin.page == 2
