"""Good files of every format, made here, in one shape: a title, two headings, a paragraph, a list and a table."""

import io
import json
import struct
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from html import escape

from tests.unit.parse.ole import compound_file
from tests.unit.parse.pdf_file import pdf_file


@dataclass(frozen=True, slots=True)
class Story:
    """What every file says, in one language."""

    language: str
    title: str
    first: str
    text: str
    second: str
    items: tuple[str, str]
    table: tuple[tuple[str, str], tuple[str, str], tuple[str, str]]


STORIES = (
    Story(
        "en",
        "Pump manual",
        "Service",
        "The pump is serviced every quarter by two trained engineers of the plant.",
        "Before you start",
        ("Close the large valve.", "Wait until the pressure has gone."),
        (("State", "Pressure"), ("idle", "2 bar"), ("running", "7 bar")),
    ),
    Story(
        "de",
        "Pumpenhandbuch",
        "Wartung",
        "Die Pumpe wird jedes Quartal von zwei geschulten Technikern gewartet.",
        "Vor dem Beginn",
        ("Das große Ventil schließen.", "Warten, bis der Druck gewichen ist."),
        (("Zustand", "Druck"), ("ruhend", "2 bar"), ("laufend", "7 bar")),
    ),
    Story(
        "fr",
        "Manuel de la pompe",
        "Entretien",
        "La pompe est entretenue chaque trimestre par deux ingénieurs formés.",
        "Avant de commencer",
        ("Fermez la grande vanne.", "Attendez que la pression soit tombée."),
        (("État", "Pression"), ("arrêt", "2 bar"), ("marche", "7 bar")),
    ),
    Story(
        "es",
        "Manual de la bomba",
        "Mantenimiento",
        "La bomba es revisada cada trimestre por dos ingenieros expertos.",
        "Antes de empezar",
        ("Cierre la válvula grande.", "Espere a que baje la presión."),
        (("Estado", "Presión"), ("parada", "2 bar"), ("en marcha", "7 bar")),
    ),
    Story(
        "pl",
        "Instrukcja pompy",
        "Przeglądy",
        "Pompa jest serwisowana co kwartał przez dwóch przeszkolonych inżynierów.",
        "Zanim zaczniesz",
        ("Zamknij duży zawór.", "Poczekaj, aż ciśnienie spadnie."),
        (("Stan", "Ciśnienie"), ("postój", "2 bar"), ("praca", "7 bar")),
    ),
    Story(
        "ru",
        "Руководство по насосу",
        "Обслуживание",
        "Насос обслуживают каждый квартал два обученных инженера завода.",
        "Перед началом",
        ("Закройте большой клапан.", "Подождите, пока давление упадёт."),
        (("Состояние", "Давление"), ("простой", "2 бар"), ("работа", "7 бар")),
    ),
    Story(
        "el",
        "Εγχειρίδιο αντλίας",
        "Συντήρηση",
        "Η αντλία συντηρείται κάθε τρίμηνο από δύο εκπαιδευμένους μηχανικούς.",
        "Πριν ξεκινήσετε",
        ("Κλείστε τη μεγάλη βαλβίδα.", "Περιμένετε να πέσει η πίεση."),
        (("Κατάσταση", "Πίεση"), ("αδράνεια", "2 bar"), ("λειτουργία", "7 bar")),
    ),
    Story(
        "zh",
        "水泵手册",
        "维护",
        "水泵每季度由两名受过培训的工程师进行维修。工厂必须保存记录。",
        "开始之前",
        ("关闭大阀门。", "等待压力消失。"),
        (("状态", "压力"), ("空闲", "2 巴"), ("运行", "7 巴")),
    ),
    Story(
        "ja",
        "ポンプの手引き",
        "点検",
        "ポンプは四半期ごとに訓練を受けた二人の技術者が点検します。",
        "始める前に",
        ("大きな弁を閉めてください。", "圧力が下がるまで待ってください。"),
        (("状態", "圧力"), ("停止", "2 バール"), ("運転", "7 バール")),
    ),
    Story(
        "ko",
        "펌프 설명서",
        "정비",
        "펌프는 분기마다 훈련받은 두 명의 기술자가 점검합니다.",
        "시작하기 전에",
        ("큰 밸브를 닫으십시오.", "압력이 사라질 때까지 기다리십시오."),
        (("상태", "압력"), ("정지", "2 바"), ("운전", "7 바")),
    ),
    Story(
        "ar",
        "دليل المضخة",
        "الصيانة",
        "يقوم مهندسان مدربان بصيانة المضخة كل ثلاثة أشهر في المصنع.",
        "قبل أن تبدأ",
        ("أغلق الصمام الكبير.", "انتظر حتى يزول الضغط."),
        (("الحالة", "الضغط"), ("متوقفة", "2 بار"), ("تعمل", "7 بار")),
    ),
    Story(
        "he",
        "מדריך המשאבה",
        "תחזוקה",
        "המשאבה מתוחזקת בכל רבעון על ידי שני מהנדסים מיומנים של המפעל.",
        "לפני שמתחילים",
        ("סגרו את השסתום הגדול.", "המתינו עד שהלחץ ירד."),
        (("מצב", "לחץ"), ("במנוחה", "2 בר"), ("בפעולה", "7 בר")),
    ),
    Story(
        "hi",
        "पंप पुस्तिका",
        "रखरखाव",
        "पंप की मरम्मत हर तिमाही दो प्रशिक्षित इंजीनियर करते हैं।",
        "शुरू करने से पहले",
        ("बड़ा वाल्व बंद करें।", "दबाव घटने तक प्रतीक्षा करें।"),
        (("स्थिति", "दबाव"), ("बंद", "2 बार"), ("चालू", "7 बार")),
    ),
)
ENGLISH = STORIES[0]


def markdown(story: Story) -> bytes:
    items = "\n".join(f"- {item}" for item in story.items)
    rows = "\n".join(f"| {left} | {right} |" for left, right in story.table[1:])
    head = f"| {story.table[0][0]} | {story.table[0][1]} |\n|---|---|"
    return (
        f"# {story.title}\n\n## {story.first}\n\n{story.text}\n\n## {story.second}\n\n{items}\n\n{head}\n{rows}\n"
    ).encode()


def page(story: Story, inside: str = "") -> str:
    items = "".join(f"<li>{escape(item)}</li>" for item in story.items)
    head, *rows = story.table
    cells = "".join(f"<tr><td>{escape(left)}</td><td>{escape(right)}</td></tr>" for left, right in rows)
    return (
        f"<html xmlns='http://www.w3.org/1999/xhtml'><head><title>{escape(story.title)}</title></head><body>{inside}"
        f"<h1>{escape(story.title)}</h1><h2>{escape(story.first)}</h2><p>{escape(story.text)}</p>"
        f"<h2>{escape(story.second)}</h2><ul>{items}</ul>"
        f"<table><tr><th>{escape(head[0])}</th><th>{escape(head[1])}</th></tr>{cells}</table></body></html>"
    )


def html(story: Story) -> bytes:
    return page(story, "<nav>Home</nav>").encode()


def xml(story: Story) -> bytes:
    rows = "".join(
        f"<row><state>{escape(left)}</state><pressure>{escape(right)}</pressure></row>"
        for left, right in story.table[1:]
    )
    items = "".join(f"<para>{escape(item)}</para>" for item in story.items)
    return (
        f"<?xml version='1.0' encoding='utf-8'?><manual><title>{escape(story.title)}</title>"
        f"<chapter><title>{escape(story.first)}</title><para>{escape(story.text)}</para></chapter>"
        f"<chapter><title>{escape(story.second)}</title>{items}<rows>{rows}</rows></chapter></manual>"
    ).encode()


def rst(story: Story) -> bytes:
    def ruled(text: str, rule: str) -> str:
        return f"{text}\n{rule * 60}\n\n"

    items = "".join(f"- {item}\n" for item in story.items)
    rows = "".join(f"   * - {left}\n     - {right}\n" for left, right in story.table)
    return (
        ruled(story.title, "=") + ruled(story.first, "-") + story.text + "\n\n" + ruled(story.second, "-") + items
        + "\n.. list-table::\n   :header-rows: 1\n\n" + rows
    ).encode()  # fmt: skip


def org(story: Story) -> bytes:
    items = "".join(f"- {item}\n" for item in story.items)
    head, *rows = (f"| {left} | {right} |\n" for left, right in story.table)
    return (
        f"#+TITLE: {story.title}\n* {story.first}\n{story.text}\n* {story.second}\n{items}\n{head}|--+--|\n"
        + "".join(rows)
    ).encode()


def csv(story: Story) -> bytes:
    return "".join(f'"{left}";{right}\r\n' for left, right in story.table).encode("utf-8-sig")


def tsv(story: Story) -> bytes:
    return "".join(f"{left}\t{right}\n" for left, right in story.table).encode()


def json_file(story: Story) -> bytes:
    rows = [dict(zip(story.table[0], row, strict=True)) for row in story.table[1:]]
    return json.dumps(
        {"title": story.title, story.first: story.text, story.second: list(story.items), "rows": rows},
        ensure_ascii=False,
    ).encode()


def docx(story: Story) -> bytes:
    from docx import Document

    document = Document()
    document.sections[0].header.paragraphs[0].text = "Confidential"
    document.add_heading(story.title, 0)
    document.add_heading(story.first, 1)
    document.add_paragraph(story.text)
    document.add_heading(story.second, 1)
    for item in story.items:
        document.add_paragraph(item, style="List Bullet")
    table = document.add_table(rows=0, cols=2)
    for row in story.table:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def pptx(story: Story) -> bytes:
    from pptx import Presentation
    from pptx.util import Inches

    presentation = Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[1])
    slide.shapes.title.text = story.title
    slide.placeholders[1].text = story.text
    slide = presentation.slides.add_slide(presentation.slide_layouts[1])
    slide.shapes.title.text = story.second
    slide.placeholders[1].text = "\n".join(story.items)
    shape = slide.shapes.add_table(3, 2, Inches(1), Inches(4), Inches(6), Inches(1))
    for number, row in enumerate(story.table):
        for column, text in enumerate(row):
            shape.table.cell(number, column).text = text
    slide.notes_slide.notes_text_frame.text = story.first
    file = io.BytesIO()
    presentation.save(file)
    return file.getvalue()


def xlsx(story: Story) -> bytes:
    from xlsxwriter import Workbook

    file = io.BytesIO()
    with Workbook(file, {"in_memory": True}) as workbook:
        sheet = workbook.add_worksheet(story.title[:31])
        sheet.write(0, 0, story.text)
        for number, row in enumerate(story.table):
            sheet.write_row(number + 1, 0, [*row, number or "n"])
        second = workbook.add_worksheet(story.second[:31])
        second.write_column(0, 0, story.items)
        workbook.add_worksheet("secret").hide()
        workbook.get_worksheet_by_name("secret").write(0, 0, "hidden words")
    return file.getvalue()


def zipped(members: Mapping[str, str | bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


_ODF = (
    "xmlns:office='urn:oasis:names:tc:opendocument:xmlns:office:1.0' "
    "xmlns:text='urn:oasis:names:tc:opendocument:xmlns:text:1.0' "
    "xmlns:table='urn:oasis:names:tc:opendocument:xmlns:table:1.0' "
    "xmlns:dc='http://purl.org/dc/elements/1.1/'"
)


def odt(story: Story) -> bytes:
    items = "".join(f"<text:list-item><text:p>{escape(item)}</text:p></text:list-item>" for item in story.items)

    def row(cells: Sequence[str]) -> str:
        inside = "".join(f"<table:table-cell><text:p>{escape(cell)}</text:p></table:table-cell>" for cell in cells)
        return f"<table:table-row>{inside}</table:table-row>"

    content = (
        f"<office:document-content {_ODF}><office:body><office:text>"
        "<text:tracked-changes><text:p>struck out</text:p></text:tracked-changes>"
        f"<text:h text:outline-level='1'>{escape(story.first)}</text:h><text:p>{escape(story.text)}</text:p>"
        f"<text:h text:outline-level='1'>{escape(story.second)}</text:h><text:list>{items}</text:list>"
        f"<table:table><table:table-header-rows>{row(story.table[0])}</table:table-header-rows>"
        f"{''.join(map(row, story.table[1:]))}</table:table></office:text></office:body></office:document-content>"
    )
    meta = f"<office:document-meta {_ODF}><dc:title>{escape(story.title)}</dc:title></office:document-meta>"
    mimetype = "application/vnd.oasis.opendocument.text"
    return zipped({"mimetype": mimetype, "content.xml": content, "meta.xml": meta})


def epub(story: Story) -> bytes:
    container = "<container><rootfiles><rootfile full-path='OEBPS/content.opf'/></rootfiles></container>"
    package = (
        "<package xmlns:dc='http://purl.org/dc/elements/1.1/'><metadata>"
        f"<dc:title>{escape(story.title)}</dc:title></metadata><manifest>"
        "<item id='nav' href='nav.xhtml' properties='nav'/><item id='one' href='text/one.xhtml'/></manifest>"
        "<spine><itemref idref='nav'/><itemref idref='one'/></spine></package>"
    )
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": container,
            "OEBPS/content.opf": package,
            "OEBPS/nav.xhtml": "<html><body><p>Contents</p></body></html>",
            "OEBPS/text/one.xhtml": f"<?xml version='1.0' encoding='utf-8'?>{page(story)}",
        }
    )


def message(story: Story) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = "Ada <ada@example.test>"
    mail["To"] = "ben@example.test"
    mail["Date"] = "Mon, 02 Nov 2026 10:00:00 +0000"
    mail["Subject"] = story.title
    mail.set_content(story.text)
    return mail


def eml(story: Story) -> bytes:
    mail = message(story)
    mail.add_alternative(f"<p>{story.text}", subtype="html")
    mail.add_attachment(markdown(story), maintype="text", subtype="markdown", filename=f"{story.second}.md")
    return bytes(mail)


def msg(story: Story) -> bytes:
    def storage(header: int, values: Mapping[int, str | bytes]) -> dict[str, bytes | dict[str, bytes]]:
        types = {number: 0x001F if isinstance(value, str) else 0x0102 for number, value in values.items()}
        entries = b"".join(struct.pack("<HHIQ", kind, number, 6, 0) for number, kind in types.items())
        streams = {
            f"__substg1.0_{number:04X}{types[number]:04X}": (
                value.encode("utf-16-le") if isinstance(value, str) else value
            )
            for number, value in values.items()
        }
        return {"__properties_version1.0": bytes(header) + entries, **streams}

    attached = storage(8, {0x3707: f"{story.second}.md", 0x3701: markdown(story)})
    whole = storage(32, {0x0037: story.title, 0x1000: story.text})
    return compound_file({**whole, "__nameid_version1.0": {}, "__attach_version1.0_#00000000": attached})


def rtf(story: Story) -> bytes:
    def escaped(text: str) -> str:
        return "".join(letter if letter.isascii() else f"\\u{ord(letter)}?" for letter in text)

    parts = [story.first, story.text, story.second, *story.items]
    rows = "".join(
        f"\\trowd\\cellx1000\\cellx2000 {escaped(left)}\\cell {escaped(right)}\\cell\\row "
        for left, right in story.table
    )
    body = "".join(f"{escaped(part)}\\par\\par " for part in parts)
    return (
        f"{{\\rtf1\\ansi\\ansicpg1252{{\\fonttbl\\f0 Arial;}}{{\\info{{\\title {escaped(story.title)}}}}}{body}{rows}}}"
    ).encode("ascii")


def pdf(story: Story) -> bytes:
    rows = [f"{left} {right}" for left, right in story.table]
    return pdf_file(
        [
            [(20, story.title), (15, story.first), (10, story.text)],
            [(15, story.second), *((10, f"• {item}") for item in story.items), *((10, row) for row in rows)],
        ],
        header="Aurora plant 4711",
        footer="Page {page}",
    )


def text(story: Story) -> bytes:
    items = "\n".join(f"- {item}" for item in story.items)
    rows = "\n".join(f"{left}: {right}" for left, right in story.table)
    return f"{story.title}\n\n{story.text}\n\n{story.second}\n\n{items}\n\n{rows}\n".encode()


@dataclass(frozen=True, slots=True)
class Made:
    """A format: how its files are made, and the type a sender declares."""

    make: Callable[[Story], bytes]
    content_type: str


_OFFICE = "application/vnd.openxmlformats-officedocument."
FORMATS: Mapping[str, Made] = {
    "text": Made(text, "text/plain"),
    "markdown": Made(markdown, "text/markdown"),
    "html": Made(html, "text/html"),
    "xml": Made(xml, "application/xml"),
    "rst": Made(rst, "text/x-rst"),
    "org": Made(org, "text/org"),
    "csv": Made(csv, "text/csv"),
    "tsv": Made(tsv, "text/tab-separated-values"),
    "json": Made(json_file, "application/json"),
    "docx": Made(docx, f"{_OFFICE}wordprocessingml.document"),
    "pptx": Made(pptx, f"{_OFFICE}presentationml.presentation"),
    "xlsx": Made(xlsx, f"{_OFFICE}spreadsheetml.sheet"),
    "odt": Made(odt, "application/vnd.oasis.opendocument.text"),
    "epub": Made(epub, "application/epub+zip"),
    "eml": Made(eml, "message/rfc822"),
    "msg": Made(msg, "application/vnd.ms-outlook"),
    "rtf": Made(rtf, "application/rtf"),
    "pdf": Made(pdf, "application/pdf"),
}
