"""Whole documents read in this process: what is kept, what is left out, what is refused."""

import subprocess
import sys

import pytest

from schemas.errors import UnreadableError
from streams.core.blocks import Block, BlockKind, ParsedDocument
from streams.parse.document import read_document

Seen = list[tuple[str, str]]


def html(body: str, head: str = "") -> ParsedDocument:
    return read_document(f"<html><head>{head}</head><body>{body}</body></html>".encode(), "text/html", "page")


def markdown(text: str) -> ParsedDocument:
    return read_document(text.encode(), "text/markdown", "page")


def text(body: str) -> ParsedDocument:
    return read_document(body.encode(), "text/plain", "page")


def seen(document: ParsedDocument) -> Seen:
    return [(block.kind.value, block.text) for block in document.blocks]


def of_kind(document: ParsedDocument, kind: BlockKind) -> list[Block]:
    return [block for block in document.blocks if block.kind is kind]


PAGE = """
<header><nav>Home | About</nav></header>
<nav>Menu</nav>
<main>
  <h1>Pumps</h1><p>Two engineers <em>service</em> the pump.</p>
  <h2>Steps</h2><ol><li>Close valve B</li><li><p>Wait</p></li></ol>
  <pre><code>pump --stop\n  --force</code></pre>
  <table><caption>Pressure</caption><tr><th>State</th><th>bar</th></tr><tr><td>idle</td><td>2</td></tr></table>
</main>
<aside>Related pages</aside><script>track()</script><style>p{}</style><footer>Imprint</footer>
"""


def test_a_page_keeps_its_structure_and_loses_its_boilerplate() -> None:
    assert seen(html(PAGE)) == [
        ("heading", "Pumps"),
        ("paragraph", "Two engineers service the pump."),
        ("heading", "Steps"),
        ("list_item", "1. Close valve B"),
        ("list_item", "2. Wait"),
        ("code", "pump --stop\n  --force"),
        ("paragraph", "Pressure"),
        ("table", "State | bar\nidle | 2"),
    ]


def test_heading_levels_and_column_names_are_known() -> None:
    page = html(PAGE)
    assert [block.level for block in of_kind(page, BlockKind.HEADING)] == [1, 2]
    assert [block.header_lines for block in of_kind(page, BlockKind.TABLE)] == [1]


@pytest.mark.parametrize(
    ("head", "body", "title"),
    [
        ("<title> The\n Page </title>", "<h1>Other</h1>", "The Page"),
        ("", "<p>x</p><h1>First <b>head</b></h1><h1>Second</h1>", "First head"),
        ("<title></title>", "<h2>Not it</h2>", None),
    ],
)
def test_the_title_is_the_page_s_own_or_its_first_heading(head: str, body: str, title: str | None) -> None:
    assert html(body + "<p>Some text.</p>", head).title == title


def test_the_language_is_the_declared_one() -> None:
    assert read_document(b"<html lang=pt-BR><p>texto", None, "a.html").language == "pt"
    assert html("<p>text</p>").language is None


@pytest.mark.parametrize(
    "body",
    [
        "<figure><p>kept words</p></figure>",
        "<details><summary>More</summary>kept words</details>",
        "<form action=x>kept words<input value=no><button>no</button></form>",
        "<article><header>kept words</header></article>",
        "<aside class='note'>kept words</aside>",
        "<nav>no</nav>kept words",
        "<div class='navheader'>no</div> kept words",
        "<table><tr><td><ul><li>kept words</li></ul></td></tr></table>",
        "<header><nav>no</nav><h1>kept words</h1></header>",
        "<blockquote>kept words</blockquote>",
    ],
)
def test_what_is_part_of_the_document_stays(body: str) -> None:
    assert "kept words" in html(body).text
    assert "no" not in html(body).text.split()


@pytest.mark.parametrize(
    "body",
    [
        "<p hidden>no</p>",
        "<div role=navigation>no</div>",
        "<script>no</script>",
        "<template>no</template>",
        "<div class='toc'>no</div>",
        "<!-- no -->",
    ],
)
def test_what_is_not_part_of_the_document_goes(body: str) -> None:
    assert html(body + "<p>yes it is</p>").text == "yes it is"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("<p>no</p><main><p>The text of it.</p></main><p>no</p>", "The text of it."),
        ("<p>no</p><div role=main><p>The text of it.</p></div>", "The text of it."),
        (
            "<main><p>One part of it.</p></main><p>no</p><main><p>And another.</p></main>",
            "One part of it.\n\nAnd another.",
        ),
        ("<main><p>One part.</p><main><p>Within it.</p></main></main>", "One part.\n\nWithin it."),
        ("<main><p>Search</p></main><p>A long text beside it.</p>", "Search\n\nA long text beside it."),
        ("<header>no</header><main></main><p>A text beside it.</p><footer>no</footer>", "A text beside it."),
    ],
)
def test_of_a_page_all_main_parts_are_kept_and_what_is_more_than_they_are(body: str, said: str) -> None:
    assert html(body).text == said


@pytest.mark.parametrize(
    ("attributes", "last"),
    [("role=presentation", "The end."), ("", "<ul><li>The end.</li></ul>")],
    ids=["presentation", "lists in cells"],
)
def test_cells_of_a_table_that_only_lays_out_are_apart_and_tables_in_them_stay(attributes: str, last: str) -> None:
    data = "<table><tr><td>idle</td><td>2</td></tr><tr><td>busy</td><td>9</td></tr></table>"
    rows = f"<tr><td>SSN</td><td>536-22-8726</td></tr><tr><td>{data}</td><td>{last}</td></tr>"
    page = html(f"<table {attributes}><tbody>{rows}</tbody></table>")
    assert page.text.split("\n\n") == ["SSN", "536-22-8726", "idle | 2\nbusy | 9", "The end."]


def test_items_of_a_list_have_the_numbers_that_they_and_the_list_say() -> None:
    page = html("<ol start=3><li>Open it</li><li value=7>Close it</li><li>Wait</li><li value=x>Go</li></ol>")
    assert [block.text for block in page.blocks] == ["3. Open it", "7. Close it", "8. Wait", "9. Go"]


def test_a_page_nested_hundreds_deep_keeps_its_words() -> None:
    page = html("<div>" * 900 + "deep words" + "</div>" * 900 + "<p>after it</p>")
    assert page.text == "deep words\n\nafter it"


def test_a_page_nested_thousands_deep_is_refused() -> None:
    with pytest.raises(UnreadableError) as caught:
        html("<div>" * 5000 + "deep")
    assert caught.value.reason == "too_deep"


MARKDOWN = """---
title: Pump manual
---
# Pumps

Before you start:
- close valve B
- wait

1. Open
2. Look

```sh
# no heading
pump --stop
```

| State | bar |
|-------|-----|
| idle  | 2   |

## Notes
See [the page](https://example.test/x) and `code`.
"""


def test_markdown_keeps_its_structure_and_loses_its_front_matter() -> None:
    document = markdown(MARKDOWN)
    assert (document.title, document.kind) == ("Pump manual", "markdown")
    assert seen(document) == [
        ("heading", "Pumps"),
        ("paragraph", "Before you start:"),
        ("list_item", "close valve B"),
        ("list_item", "wait"),
        ("list_item", "1. Open"),
        ("list_item", "2. Look"),
        ("code", "# no heading\npump --stop"),
        ("table", "State | bar\nidle | 2"),
        ("heading", "Notes"),
        ("paragraph", "See the page and code."),
    ]


def test_markdown_without_front_matter_is_named_by_its_first_heading() -> None:
    assert markdown("Intro text.\n\n# The *head*\n\n# Other").title == "The head"


def test_a_plain_text_keeps_paragraphs_lists_and_the_lines_that_read_like_headings() -> None:
    document = text(
        "TRAVEL POLICY\n\nAll trips are booked by the office. Two weeks\nbefore departure.\n\nBy rail\n\n"
        "- second class\n- day tickets\n\nThe office opens at nine.\n"
    )
    assert document.title == "TRAVEL POLICY"
    assert seen(document) == [
        ("heading", "TRAVEL POLICY"),
        ("paragraph", "All trips are booked by the office. Two weeks before departure."),
        ("heading", "By rail"),
        ("list_item", "second class"),
        ("list_item", "day tickets"),
        ("paragraph", "The office opens at nine."),
    ]


def test_a_single_line_is_text_and_not_a_heading() -> None:
    assert seen(text("Hello World")) == [("paragraph", "Hello World")]


def test_text_that_is_not_english_is_read_as_well() -> None:
    assert text("泵每季度由两名工程师维修。\n\nНасос обслуживают два инженера.").text.count("\n\n") == 1


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "text/plain"),
        (b" \n\t\xc2\xa0", "text/plain"),
        (b"\x00\x01", "text/plain"),
        (b"---\ntitle: x\n---\n", "text/markdown"),
        (b"<html><head><title>t</title></head><body><script>x</script></body></html>", "text/html"),
        (b"<!-- x -->", "text/html"),
        (b"<", "text/html"),
    ],
)
def test_a_document_without_text_is_refused(body: bytes, content_type: str) -> None:
    with pytest.raises(UnreadableError) as caught:
        read_document(body, content_type, "x")
    assert caught.value.reason == "empty"


OFFLINE = """
import sys
def refuse(event, arguments):
    if event.startswith(("socket.connect", "socket.getaddr", "socket.gethost", "socket.send", "socket.bind", "urllib",
                         "subprocess", "os.system", "os.exec", "os.fork", "os.posix_spawn")):
        raise RuntimeError(event)
from tests.unit.parse.corpus import FORMATS, STORIES
files = [(made.make(story), made.content_type) for made in FORMATS.values() for story in (STORIES[0], STORIES[7])]
sys.addaudithook(refuse)
from streams.parse.document import read_document
for body, content_type in files:
    read_document(body, content_type, "x")
print(read_document(b"silence", None, "a.txt").text)
"""


def test_reading_any_format_opens_no_connection_starts_no_process_and_says_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", OFFLINE], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("silence\n", "", 0)


SECLUDED = """
import socket, subprocess
from streams.parse.seclusion import seclude
seclude()
for attempt in (lambda: socket.create_connection(("127.0.0.1", 9)), lambda: socket.getaddrinfo("localhost", 9),
                lambda: subprocess.run(["true"])):
    try:
        attempt()
    except PermissionError as error:
        print(error)
"""


def test_a_secluded_process_can_neither_connect_nor_start_another() -> None:
    done = subprocess.run([sys.executable, "-c", SECLUDED], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:-1] == [
        "socket.getaddrinfo while parsing",
        "socket.getaddrinfo while parsing",
        "subprocess.Popen while parsing",
    ]


def test_what_is_no_language_is_not_one() -> None:
    assert read_document(b"<html lang='" + b"x" * 100_000 + b"'><p>text", None, "a.html").language is None


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("4111\u200b1111\u2060 exam\u00adple", "41111111 example"),
        ("a\u200dc\u202ab\u202c", "acb"),
        ("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"),
        ("ok \U0001f469\u200d\U0001f680", "ok \U0001f469\u200d\U0001f680"),
    ],
)
def test_characters_nobody_sees_are_not_read_and_joiners_stay_where_letters_need_them(written: str, read: str) -> None:
    assert text(written).text == read
    assert html(f"<p>{written}</p>").text == read
    assert html("<p>" + "".join(f"&#{ord(character)};" for character in written) + "</p>").text == read


def test_control_characters_and_half_pairs_never_leave_the_parser() -> None:
    document = read_document(
        b'{"title": "a\\u0000b", "text": "one \\ud800 two \\u0007 three"}', "application/json", "x"
    )
    assert (document.title, document.text) == ("a b", "title: a b\ntext: one \ufffd two   three")
    document.text.encode()
