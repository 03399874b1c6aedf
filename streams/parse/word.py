"""Word documents with all they say as plain paragraphs: content controls, tracked insertions, fields, text boxes,
notes, formulas and words with their sounds above, which readers pass over. Tables of contents are left out.
"""

import io
import re
import zipfile
from collections.abc import Mapping
from copy import deepcopy

from lxml import etree  # type: ignore[import-untyped]

from streams.parse.archive import Archive
from streams.parse.xml import local, parsed

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
_MAIN = re.compile(r"word/document\d*\.xml")
_WRAPPING = ("sdt", "ins", "moveTo", "smartTag", "fldSimple", "customXml", "dir", "bdo")
_SPECIAL = re.compile(rb"<w:(?:sdt|ins|moveTo|smartTag|fldSimple|customXml|dir|bdo|txbxContent|footnoteReference|"
                      rb"endnoteReference|ruby)[\s>]|<m:oMath[\s>]")  # fmt: skip
_NOTES = {"footnoteReference": ("word/footnotes.xml", "footnote"), "endnoteReference": ("word/endnotes.xml", "endnote")}
# What refers to parts of a note's file that the document's has not, or is not text.
_NOT_OF_NOTES = ("drawing", "pict", "object", "footnoteRef", "endnoteRef")


def plain_paragraphs(archive: Archive, body: bytes) -> bytes:
    """The document, if need be rewritten. Raises UnreadableError; reason malformed, xml_entities or too_deep."""
    name = next(filter(_MAIN.fullmatch, sorted(archive.names)), None)
    if name is None:
        return body
    written = archive.read(name)
    if not _SPECIAL.search(written):
        return body
    root = parsed(written)
    _unbox(root)
    _set_notes(root, archive)
    _spell(root)
    _unwrap(root)
    return _with_member(archive, name, etree.tostring(root, encoding="utf-8", xml_declaration=True, standalone=True))


def _unbox(root: etree._Element) -> None:
    """The paragraphs of text boxes behind the one each is anchored in; of a box that is there twice, the newer."""
    for fallback in list(root.iter(f"{_MC}Fallback")):
        _take_out(fallback)
    anchored: dict[etree._Element, etree._Element] = {}
    for box in list(root.iter(f"{_W}txbxContent")):
        _place_behind(next(box.iterancestors(f"{_W}p"), None), list(box), anchored)


def _set_notes(root: etree._Element, archive: Archive) -> None:
    """Each note behind the paragraph that refers to it."""
    anchored: dict[etree._Element, etree._Element] = {}
    notes = {reference: _notes(archive, *where) for reference, where in _NOTES.items()}
    for element in list(root.iter(*(f"{_W}{reference}" for reference in _NOTES))):
        note = notes[local(element)].get(element.get(f"{_W}id") or "")
        if note is not None:
            _place_behind(next(element.iterancestors(f"{_W}p"), None), [deepcopy(part) for part in note], anchored)


def _notes(archive: Archive, name: str, kind: str) -> Mapping[str, etree._Element]:
    if name not in archive.names:
        return {}
    root = parsed(archive.read(name))
    for element in list(root.iter(*(f"{_W}{other}" for other in _NOT_OF_NOTES))):
        _take_out(element)
    for link in list(root.iter(f"{_W}hyperlink")):
        _replace(link, link)
    return {note.get(f"{_W}id") or "": note for note in root.iter(f"{_W}{kind}")}


def _spell(root: etree._Element) -> None:
    """Words without the sounds above them, formulas as a run of their signs."""
    for ruby in list(root.iter(f"{_W}ruby")):
        ruby.addprevious(_said(f"{_W}rubyBase/{_W}r/{_W}t", ruby))
        _take_out(ruby)
    for formula in list(root.iter(f"{_M}oMath")):
        run = etree.Element(f"{_W}r")
        run.append(_said(f".//{_M}t", formula))
        formula.addprevious(run)
        _take_out(formula)
    for wrapping in list(root.iter(f"{_M}oMathPara")):
        _replace(wrapping, wrapping)


def _said(path: str, element: etree._Element) -> etree._Element:
    text = etree.Element(f"{_W}t")
    text.text = "".join(part.text or "" for part in element.iterfind(path))
    return text


def _unwrap(root: etree._Element) -> None:
    for wrapping in list(root.iter(*(f"{_W}{kind}" for kind in _WRAPPING))):
        if local(wrapping) != "sdt":
            _replace(wrapping, wrapping)
        elif _is_contents(wrapping):
            _take_out(wrapping)
        else:
            _replace(wrapping, wrapping.find(f"{_W}sdtContent"))


def _is_contents(control: etree._Element) -> bool:
    gallery = control.find(f"{_W}sdtPr/{_W}docPartObj/{_W}docPartGallery")
    return gallery is not None and gallery.get(f"{_W}val") == "Table of Contents"


def _place_behind(
    paragraph: etree._Element | None, parts: list[etree._Element], anchored: dict[etree._Element, etree._Element]
) -> None:
    """Parts behind a paragraph, and behind those that were placed there before."""
    if paragraph is None:
        return
    last = anchored.get(paragraph, paragraph)
    for part in parts:
        last.addnext(part)
        last = part
    anchored[paragraph] = last


def _replace(element: etree._Element, by: etree._Element | None) -> None:
    """An element by the children of another, or by nothing."""
    for child in list(by) if by is not None else []:
        element.addprevious(child)
    _take_out(element)


def _take_out(element: etree._Element) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def _with_member(archive: Archive, name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as written:
        for member in sorted(archive.names):
            written.writestr(member, content if member == name else archive.read(member))
    return file.getvalue()
