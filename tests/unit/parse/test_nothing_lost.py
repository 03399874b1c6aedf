"""What looks like a reader's own marks and is not, and what is over a limit: read, or refused, never dropped."""

import io
import zipfile

import pytest

from schemas.errors import UnreadableError
from streams.parse.document import read_document
from streams.parse.limits import Limits
from tests.unit.parse.corpus import ENGLISH, epub, pptx, xlsx, zipped


def text(body: str, content_type: str) -> str:
    return read_document(body.encode(), content_type, "a").text


@pytest.mark.parametrize(
    "body",
    [
        "* Intro\nHello.\n:smile:\nThe rest.\n* More\nThe end.\n",
        "Intro.\n:note:\nThe rest.\n* More\n:PROPERTIES:\n:ID: 5\n:END:\nThe end.\n",
        "Intro.\n:note:\nThe rest.\n:PROPERTIES:\n:ID: 5\n:END:\nThe end.\n",
        "Intro.\n#+begin_comment\nThe rest.\nThe end.\n",
        "Intro.\n#+begin_src sh\nThe rest.\n* More\n#+end_src\nThe end.\n",
    ],
)
def test_what_opens_in_org_and_never_closes_swallows_nothing(body: str) -> None:
    read = text(body, "text/org")
    assert "The rest." in read
    assert "The end." in read
    assert "5" not in read


def test_drawers_and_comments_of_org_are_left_out_where_they_close() -> None:
    body = "Intro.\n:LOGBOOK:\nno\n:END:\n#+begin_comment\nno\n#+end_comment\nThe rest.\n"
    assert text(body, "text/org") == "Intro.\n\nThe rest."


@pytest.mark.parametrize(
    "body",
    [
        "---\n\n# Intro\n\nkept words\n\n---\n\nMore text\n",
        "---\nNote: this page is important.\nAlways read it for its kept words.\n---\n\nMore text\n",
        "---\nkept words\n...\nMore text\n",
    ],
)
def test_text_between_two_rules_is_no_front_matter(body: str) -> None:
    read = text(body, "text/markdown")
    assert "kept words" in read
    assert "More text" in read


def test_front_matter_of_many_kinds_of_fields_is_taken_off() -> None:
    fields = (
        "# made by hand\ntitle: The page\ntags:\n- one\n- two\n\nlist: [\n  a,\n]\nabout: >\n  Long words\n  of it.\n"
    )
    read = read_document(f"---\n{fields}---\nMore text\n".encode(), "text/markdown", "a")
    assert (read.title, read.text) == ("The page", "More text")


NOTE = "<p>Text words<a href='#n'>1</a></p><aside {} id='n'><p>1. The fee is 5 percent.</p></aside>"


@pytest.mark.parametrize("marked", ["role='doc-footnote'", "epub:type='footnote'", "class='footnote-list brackets'"])
def test_notes_that_stand_aside_are_read(marked: str) -> None:
    assert text(NOTE.format(marked), "text/html").endswith("The fee is 5 percent.")
    assert "The fee" not in text(NOTE.format("class='ad'"), "text/html")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        ("Text [#a]_ words.\n\n.. [#a] The fee is 5 percent.\n", "text/x-rst"),
        ("Text words.\n\n.. topic:: A topic\n\n   The fee is 5 percent.\n", "text/x-rst"),
        ("Text words.\n\n.. sidebar:: Beside\n\n   The fee is 5 percent.\n", "text/x-rst"),
        (
            r"{\rtf1\ansi Text words{\super 1}{\footnote {\super 1} The fee is 5 percent.} go on.\par}",
            "application/rtf",
        ),
        (r"{\rtf1\ansi Text words{\*\footnote\pard The fee is 5 percent.} go on.\par}", "application/rtf"),
    ],
)
def test_notes_topics_and_sidebars_are_read(body: str, content_type: str) -> None:
    read = text(body, content_type)
    assert "Text" in read
    assert "The fee is 5 percent." in read
    assert ("go on." in read) is ("go on." in body)


def test_notes_of_a_book_are_read() -> None:
    book = epub(ENGLISH)
    with zipfile.ZipFile(io.BytesIO(book)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    chapter = next(name for name in members if name.endswith("one.xhtml"))
    members[chapter] = members[chapter].replace(b"</body>", NOTE.format("epub:type='footnote'").encode() + b"</body>")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    assert "The fee is 5 percent." in read_document(file.getvalue(), None, "a.epub").text


@pytest.mark.parametrize("page", [r"\mac", r"\mac\ansicpg10000", r"\ansi\ansicpg10000"])
def test_letters_of_the_mac_s_own_code_page_are_read(page: str) -> None:
    said = text(rf"{{\rtf1{page}\deff0 The caf\'8e is open all day.\par}}", "application/rtf")
    assert said == "The café is open all day."


@pytest.mark.parametrize("body", [xlsx(ENGLISH), pptx(ENGLISH), epub(ENGLISH)], ids=["xlsx", "pptx", "epub"])
def test_more_sheets_slides_or_chapters_than_the_limit_are_refused(body: bytes) -> None:
    with pytest.raises(UnreadableError, match="MILLSTREAM_PARSE_PAGES") as caught:
        read_document(body, None, "a", Limits(pages=0))
    assert caught.value.reason == "too_many_pages"


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (12345678901.25, "12345678901.25"),
        (1234567.891234, "1234567.891234"),
        (4111111111111111.0, "4111111111111111"),
        (0.1 + 0.2, "0.3"),
        (0.000012, "0.000012"),
        (-7.5, "-7.5"),
        (1e300, "1e+300"),
    ],
)
def test_numbers_of_a_workbook_keep_their_digits(number: float, shown: str) -> None:
    from xlsxwriter import Workbook

    file = io.BytesIO()
    with Workbook(file, {"in_memory": True}) as workbook:
        sheet = workbook.add_worksheet("Sums")
        sheet.write_row(0, 0, ["what", "sum"])
        sheet.write_row(1, 0, ["fee", number])
    assert read_document(file.getvalue(), None, "a.xlsx").text.endswith(f"fee | {shown}")


SECRET = "4111111111111111"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (f"<meta charset={SECRET}><p>words</p>".encode(), "text/html"),
        (f"<meta charset='{SECRET}'><p>Grüße</p>".encode("latin-1"), "text/html"),
        (
            zipped(
                {
                    "mimetype": "application/epub+zip",
                    "META-INF/container.xml": f"<container><rootfile full-path='{SECRET}'/></container>",
                }
            ),
            None,
        ),
    ],
)
def test_a_refusal_quotes_nothing_of_the_document(body: bytes, content_type: str | None) -> None:
    with pytest.raises(UnreadableError) as caught:
        read_document(body, content_type, "a")
    assert SECRET not in str(caught.value)
