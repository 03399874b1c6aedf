"""JSON and JSON lines as text a person would search: one "path: value" line a value, one paragraph a record, a heading
for each named part. Pure.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from schemas.errors import UnreadableError
from streams.core.blocks import BlockKind, Piece
from streams.parse.reading import Reading

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | bool | None"
_TITLES = ("title", "name", "subject", "headline")
_DEEPEST = 100
_HEADINGS = 4


class _Number(str):
    """A number as it is written: to read it as one would cost digits."""

    __slots__ = ()


def read(text: str) -> Reading:
    """Raises UnreadableError; reason malformed or too_deep."""
    value = _parsed(text)
    title = None
    if isinstance(value, Mapping):
        titles = (found for name in _TITLES if isinstance(found := value.get(name), str))
        title = next((found for found in titles if found.strip() and not isinstance(found, _Number)), None)
    return Reading(list(_pieces(value, 1)), title)


def _parsed(text: str) -> Json:
    try:
        return _loaded(text)
    except RecursionError:
        raise UnreadableError("the JSON is nested too deeply", reason="too_deep") from None
    except ValueError as error:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) < 2:
            raise _malformed(error) from None
    try:
        return [_loaded(line) for line in lines]
    except RecursionError:
        raise UnreadableError("the JSON is nested too deeply", reason="too_deep") from None
    except ValueError as error:
        raise _malformed(error) from None


def _loaded(text: str) -> Json:
    value: Json = json.loads(
        text, parse_float=_Number, parse_int=_Number, parse_constant=_Number, object_pairs_hook=_object
    )
    return value


def _object(pairs: list[tuple[str, Json]]) -> Json:
    """An object's members; the values of a name that stands there more than once are a list."""
    members: dict[str, Json] = dict(pairs)
    if len(members) == len(pairs):
        return members
    every: dict[str, list[Json]] = {}
    for name, value in pairs:
        every.setdefault(name, []).append(value)
    return {name: values if len(values) > 1 else values[0] for name, values in every.items()}


def _malformed(error: ValueError) -> UnreadableError:
    where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
    return UnreadableError(f"the JSON is malformed{where}", reason="malformed")


def _pieces(value: Json, level: int) -> Iterator[Piece]:
    """A record's plain values together, then its larger parts each under a heading; a list record by record."""
    match value:
        case Mapping():
            plain = {name: part for name, part in value.items() if level > _HEADINGS or not _is_large(part)}
            if lines := "\n".join(line for name, part in plain.items() for line in _lines(name, part, 1)):
                yield Piece(BlockKind.PARAGRAPH, lines)
            for name, part in value.items():
                if name not in plain:
                    yield Piece(BlockKind.HEADING, _squeezed(name), level)
                    yield from _pieces(part, level + 1)
        case None:
            return
        case str() | bool():
            yield Piece(BlockKind.PARAGRAPH, _shown(value))
        case _:
            for part in value:
                yield from _pieces(part, level)


def _is_large(value: Json) -> bool:
    """Whether a part is worth a heading: records, or text of several paragraphs."""
    if isinstance(value, str):
        return "\n\n" in value
    if isinstance(value, Mapping):
        return any(isinstance(part, (Mapping, list)) for part in value.values()) or len(value) > 8
    return isinstance(value, list) and any(isinstance(part, (Mapping, list)) for part in value)


def _lines(path: str, value: Json, depth: int) -> Iterator[str]:
    if depth > _DEEPEST:
        raise UnreadableError(f"the JSON nests over {_DEEPEST} levels", reason="too_deep")
    match value:
        case Mapping() if value:
            for name, part in value.items():
                yield from _lines(f"{path}.{name}", part, depth + 1)
        case str() | None | bool():
            yield f"{_squeezed(path)}: {_shown(value)}".rstrip()
        case _ if any(isinstance(part, (Mapping, list)) for part in value):
            for part in value:
                yield from _lines(path, part, depth + 1)
        case _:
            yield f"{_squeezed(path)}: {', '.join(map(_shown_plain, value))}".rstrip()


def _shown_plain(value: Json) -> str:
    return _shown(value) if isinstance(value, (str, bool)) else ""


def _shown(value: str | bool | None) -> str:
    return value.strip() if isinstance(value, str) else json.dumps(value)


def _squeezed(text: str) -> str:
    return " ".join(text.split())
