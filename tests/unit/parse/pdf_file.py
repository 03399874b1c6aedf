"""PDF files with a text layer in any script, by hand: a composite font that is not embedded, and a map to Unicode."""

import re
from collections.abc import Sequence

_HEIGHT = 800
_FROM_RIGHT = re.compile("[\u0590-\u06ff]")
_NUMBER = re.compile(r"[0-9]+|.")


def pdf_file(pages: Sequence[Sequence[tuple[int, str]]], header: str = "", footer: str = "") -> bytes:
    """Pages of (size, line), each with a header and a footer in which `{page}` is its number."""
    letters = sorted({letter for page in pages for _, line in page for letter in line}
                     | set(header + footer.replace("{page}", "0123456789")))  # fmt: skip
    codes = {letter: number for number, letter in enumerate(letters, 1)}
    objects = {1: b"<</Type/Catalog/Pages 2 0 R>>", 3: _FONT, 4: _DESCENDANT, 5: _stream(_map(codes)), 6: _DESCRIPTOR}
    kids = []
    for number, page in enumerate(pages, 1):
        marked = [(8, _HEIGHT - 30, header), (8, 30, footer.format(page=number))]
        height = _HEIGHT - 80
        for size, line in page:
            marked.append((size, height, line))
            height -= size * 3
        place = len(objects) + 2
        objects[place] = _stream(_content(marked, codes))
        objects[place + 1] = (
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F 3 0 R>>>>/Contents %d 0 R>>" % place
        )
        kids.append(b"%d 0 R" % (place + 1))
    objects[2] = b"<</Type/Pages/Kids[%s]/Count %d>>" % (b" ".join(kids), len(kids))
    return _file(objects)


_FONT = b"<</Type/Font/Subtype/Type0/BaseFont/Any/Encoding/Identity-H/DescendantFonts[4 0 R]/ToUnicode 5 0 R>>"
_DESCENDANT = (
    b"<</Type/Font/Subtype/CIDFontType2/BaseFont/Any/CIDSystemInfo<</Registry(Adobe)/Ordering(Identity)/Supplement 0>>"
    b"/DW 500/FontDescriptor 6 0 R>>"
)
_DESCRIPTOR = (
    b"<</Type/FontDescriptor/FontName/Any/Flags 4/FontBBox[0 -200 1000 800]/ItalicAngle 0/Ascent 800/Descent -200"
    b"/CapHeight 700/StemV 80>>"
)


def _content(lines: Sequence[tuple[int, int, str]], codes: dict[str, int]) -> bytes:
    drawn = []
    for size, height, line in lines:
        shown = "".join(f"{codes[letter]:04X}" for letter in _as_drawn(line))
        drawn.append(f"BT /F {size} Tf 50 {height} Td <{shown}> Tj ET")
    return "\n".join(drawn).encode()


def _as_drawn(line: str) -> str:
    """Letters from left to right: what is written from the right is drawn from its end, numbers as they are."""
    if not _FROM_RIGHT.search(line):
        return line
    return "".join(reversed(_NUMBER.findall(line)))


def _map(codes: dict[str, int]) -> bytes:
    lines = "\n".join(f"<{code:04X}> <{letter.encode('utf-16-be').hex().upper()}>" for letter, code in codes.items())
    return (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /Any def /CMapType 2 def\n"
        f"1 begincodespacerange <0000> <FFFF> endcodespacerange\n{len(codes)} beginbfchar\n{lines}\nendbfchar\n"
        "endcmap CMapName currentdict /CMap defineresource pop end end"
    ).encode()


def _stream(content: bytes) -> bytes:
    return b"<</Length %d>>stream\n%s\nendstream" % (len(content), content)


def _file(objects: dict[int, bytes]) -> bytes:
    file = bytearray(b"%PDF-1.7\n")
    places = {}
    for number, content in sorted(objects.items()):
        places[number] = len(file)
        file += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    start = len(file)
    size = max(objects) + 1
    file += b"xref\n0 %d\n0000000000 65535 f \n" % size
    file += b"".join(b"%010d 00000 n \n" % places.get(number, 0) for number in range(1, size))
    file += b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (size, start)
    return bytes(file)
