"""Word documents as people leave them: controls, tracked changes, fields, boxes and notes are text like any other."""

import io
import zipfile

import pytest
from docx import Document
from docx.oxml import parse_xml

from streams.core.blocks import BlockKind, ParsedDocument
from streams.parse.document import read_document

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
SPACES = (
    f"xmlns:w='{W}' xmlns:v='urn:schemas-microsoft-com:vml' "
    "xmlns:m='http://schemas.openxmlformats.org/officeDocument/2006/math' "
    "xmlns:mc='http://schemas.openxmlformats.org/markup-compatibility/2006' "
    "xmlns:wps='http://schemas.microsoft.com/office/word/2010/wordprocessingShape'"
)


def run(text: str) -> str:
    return f"<w:r><w:t xml:space='preserve'>{text}</w:t></w:r>"


def paragraph(inside: str) -> str:
    return f"<w:p {SPACES}>{inside}</w:p>"


def control(inside: str, properties: str = "") -> str:
    return f"<w:sdt {SPACES}><w:sdtPr>{properties}</w:sdtPr><w:sdtContent>{inside}</w:sdtContent></w:sdt>"


def box(text: str) -> str:
    return f"<w:txbxContent>{paragraph(run(text))}</w:txbxContent>"


def word(*elements: str, members: dict[str, str] | None = None) -> bytes:
    document = Document()
    document.add_paragraph("A first paragraph of it.")
    body = document.element.body
    for element in elements:
        body.insert(len(body) - 1, parse_xml(element))
    document.add_paragraph("A last paragraph of it.")
    file = io.BytesIO()
    document.save(file)
    with zipfile.ZipFile(file, "a") as archive:
        for name, content in (members or {}).items():
            archive.writestr(name, content)
    return file.getvalue()


def read(*elements: str, members: dict[str, str] | None = None) -> ParsedDocument:
    return read_document(word(*elements, members=members), None, "a.docx")


@pytest.mark.parametrize(
    "element",
    [
        control(paragraph(run("kept words"))),
        control(control(paragraph(run("kept words")))),
        paragraph(control(run("kept words"))),
        paragraph(f"<w:ins w:id='1' w:author='a'>{run('kept words')}</w:ins>"),
        paragraph(f"<w:moveTo w:id='1' w:author='a'>{run('kept words')}</w:moveTo>"),
        paragraph(f"<w:fldSimple w:instr='REF x'>{run('kept words')}</w:fldSimple>"),
        paragraph(f"<w:smartTag w:element='x'><w:smartTagPr/>{run('kept words')}</w:smartTag>"),
        paragraph(f"<w:customXml w:element='x'>{run('kept words')}</w:customXml>"),
        paragraph(f"<w:r><w:pict><v:shape><v:textbox>{box('kept words')}</v:textbox></v:shape></w:pict></w:r>"),
        paragraph(
            f"<w:r><mc:AlternateContent><mc:Choice Requires='wps'><wps:txbx>{box('kept words')}</wps:txbx></mc:Choice>"
            f"<mc:Fallback><w:pict><v:textbox>{box('kept words')}</v:textbox></w:pict></mc:Fallback>"
            "</mc:AlternateContent></w:r>"
        ),
    ],
)
def test_text_is_kept_once_whatever_it_is_wrapped_in(element: str) -> None:
    said = [block.text for block in read(element).blocks]
    assert said[0] == "A first paragraph of it."
    assert said[-1] == "A last paragraph of it."
    assert " ".join(said).count("kept words") == 1


def test_words_keep_their_order_around_what_is_inserted() -> None:
    inserted = f"<w:ins w:id='1' w:author='a'>{run('new ')}</w:ins>"
    struck = "<w:del w:id='2' w:author='a'><w:r><w:delText>old </w:delText></w:r></w:del>"
    assert "Before new after." in read(paragraph(f"{run('Before ')}{inserted}{struck}{run('after.')}")).text


def test_words_with_sounds_above_and_formulas_stand_where_they_do() -> None:
    ruby = (
        f"<w:r><w:ruby><w:rt>{run('yama')}</w:rt><w:rubyBase>{run('Yama')}{run('da')}</w:rubyBase></w:ruby>"
        "<w:t xml:space='preserve'> knows </w:t></w:r>"
    )
    formula = "<m:oMath><m:r><m:t>E=</m:t></m:r><m:sSup><m:e><m:r><m:t>mc</m:t></m:r></m:e></m:sSup></m:oMath>"
    alone = "<m:oMathPara><m:oMath><m:r><m:t>a+b</m:t></m:r></m:oMath></m:oMathPara>"
    said = [
        block.text
        for block in read(
            paragraph(f"{run('Mr ')}{ruby}{formula}{run(' well.')}"), paragraph(f"{alone}{run(' is c')}")
        ).blocks
    ]
    assert said[1:-1] == ["Mr Yamada knows E=mc well.", "a+b is c"]


def test_rows_within_a_control_are_rows_of_the_table() -> None:
    def row(*cells: str) -> str:
        return f"<w:tr>{''.join(f'<w:tc><w:tcPr/>{paragraph(run(cell))}</w:tc>' for cell in cells)}</w:tr>"

    table = f"<w:tbl {SPACES}><w:tblPr/><w:tblGrid><w:gridCol/><w:gridCol/></w:tblGrid>{row('State', 'bar')}"
    document = read(f"{table}{control(row('idle', '2'))}</w:tbl>", paragraph(""))
    assert [block.text for block in document.blocks if block.kind is BlockKind.TABLE] == ["State | bar\nidle | 2"]


def test_notes_stand_behind_the_paragraphs_that_refer_to_them() -> None:
    def notes(kind: str, text: str) -> str:
        link = f"<w:hyperlink r:id='rId77' xmlns:r='urn:r'>{run('a link')}</w:hyperlink>"
        return f"<w:{kind}s xmlns:w='{W}'><w:{kind} w:id='2'>{paragraph(run(text) + link)}</w:{kind}></w:{kind}s>"

    referring = paragraph(
        f"{run('Words.')}<w:r><w:footnoteReference w:id='2'/></w:r><w:r><w:endnoteReference w:id='2'/></w:r>"
    )
    members = {
        "word/footnotes.xml": notes("footnote", "The fee is 5 percent: "),
        "word/endnotes.xml": notes("endnote", "Since May: "),
    }
    said = [block.text for block in read(referring, members=members).blocks]
    assert said[1:-1] == ["Words.", "The fee is 5 percent: a link", "Since May: a link"]


def test_a_table_of_contents_in_a_control_is_left_out() -> None:
    gallery = "<w:docPartObj><w:docPartGallery w:val='Table of Contents'/></w:docPartObj>"
    assert "Chapter" not in read(control(paragraph(run("Chapter one 3")), gallery)).text
