"""A generated company: as many documents as wanted, the same on every machine, and questions they really answer.

Document `number` depends on nothing but its number and EDITION, so a larger corpus contains the smaller ones. One
section is one chunk: the chunker never crosses a heading, and a section is far below its target.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.subjects import CITIES, DAYS, FIRST_WORDS, KINDS, MONTHS, SECOND_WORDS, TEAMS, Kind, Topic

EDITION = "e1"
"""Part of every doc_id: raised with every change of what is generated."""

SECTIONS = len(KINDS[0].topics)
"""Sections, and so chunks, of a whole document."""

_PAIRS = len(FIRST_WORDS) * len(SECOND_WORDS)
_STRIDE = 2731
"""Coprime to the number of pairs: neighbouring documents share no word of their names."""


@dataclass(frozen=True, slots=True)
class GeneratedDocument:
    """A document as it is posted; `body` is Markdown."""

    doc_id: str
    title: str
    body: str
    sections: int


@dataclass(frozen=True, slots=True)
class Question:
    """A question, the document that answers it, and what a right answer contains."""

    text: str
    doc_id: str
    fact: str


def documents_for(chunks: int) -> int:
    """How many documents have `chunks` sections together."""
    return -(-chunks // SECTIONS)


def documents(chunks: int) -> Iterator[GeneratedDocument]:
    """Documents with exactly `chunks` sections together; the last may be shorter."""
    for number in range(documents_for(chunks)):
        yield document(number, min(SECTIONS, chunks - number * SECTIONS))


def document(number: int, sections: int = SECTIONS) -> GeneratedDocument:
    """The document of that number, with its first `sections` sections."""
    kind, name = _kind(number), subject(number)
    title = f"{name}: {kind.word} sheet"
    parts = [f"# {title}"]
    for place, topic in enumerate(kind.topics[:sections]):
        parts.append(f"## {topic.heading}\n\n{topic.text.format_map(_values(number, place))}")
    return GeneratedDocument(_doc_id(number), title, "\n\n".join(parts) + "\n", sections)


def questions(chunks: int, count: int, seed: int) -> tuple[Question, ...]:
    """`count` questions to a corpus of `chunks` sections, none twice while there are sections left."""
    chance = random.Random(seed)
    asked: list[Question] = []
    while len(asked) < count:
        asked += [question(section) for section in chance.sample(range(chunks), min(chunks, count - len(asked)))]
    return tuple(asked)


def question(section: int) -> Question:
    """The question that section `section % SECTIONS` of document `section // SECTIONS` answers."""
    number, place = divmod(section, SECTIONS)
    topic, values = _topic(number, place), _values(number, place)
    return Question(topic.question.format_map(values), _doc_id(number), topic.fact.format_map(values))


def subject(number: int) -> str:
    """The name a document is about; no two documents share one."""
    lap, place = divmod(number, _PAIRS)
    first, second = divmod(place * _STRIDE % _PAIRS, len(SECOND_WORDS))
    return f"{FIRST_WORDS[first]} {SECOND_WORDS[second]}" + (f" {lap + 1}" if lap else "")


def _topic(number: int, place: int) -> Topic:
    return _kind(number).topics[place]


def _kind(number: int) -> Kind:
    return KINDS[number % len(KINDS)]


def _doc_id(number: int) -> str:
    return f"{EDITION}/{_kind(number).word}/{number:06d}"


def _values(number: int, place: int) -> Mapping[str, str]:
    """What fills the braces of one section."""
    chance = random.Random(f"{EDITION}/{number}/{place}")
    city, other_city = chance.sample(CITIES, 2)
    return {
        "name": subject(number),
        "team": chance.choice(TEAMS),
        "day": chance.choice(DAYS),
        "month": chance.choice(MONTHS),
        "year": str(chance.randrange(2027, 2036)),
        "time": f"{chance.randrange(5, 22):02d}:{chance.choice((0, 15, 30, 45)):02d}",
        "city": city,
        "city2": other_city,
        "n": str(chance.randrange(11, 99)),
        "m": str(chance.randrange(2, 10)),
        "k": str(chance.randrange(100, 999) * 5),
    }
