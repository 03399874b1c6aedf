"""Freshness tokens for changes that no webhook answered: a row's, by its LSN, or an event's, by its source's number.

A token is sealed from what the caller states and the source's declaration alone. The index is never asked, so it says
nothing about whether the document exists or who may read it; nor does waiting for it, which only a document that is or
was its asker's to read can end (index.reader).
"""

import re
from collections.abc import Callable, Mapping

from runtime.freshness_token import TokenKey, seal
from schemas.errors import InvalidNameError
from schemas.identity import Document
from schemas.sources import SourceConfig, Sources, row_doc_id
from schemas.versions import Rank, Version
from serving.caller import Caller
from serving.models import TokenRequest, TokenResponse
from serving.problems import Problem, ProblemError, bad_request, unavailable

LARGEST = 2**63 - 1

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")


class Tokens:
    """Seals tokens for the documents of declared sources. `sources`: what is declared now; None while nothing is."""

    def __init__(self, key: TokenKey, sources: Callable[[], Sources | None]) -> None:
        self._key = key
        self._sources = sources

    def token(self, caller: Caller, asked: TokenRequest, request_id: str) -> TokenResponse:
        """A token of the caller's tenant. Raises ProblemError (400, 404, 503)."""
        source = self._declared(caller, asked.source)
        document = _document(caller, source, asked)
        # The state asked for or any later one: a change at the position itself has this rank or a higher one.
        rank = Rank.DELETE if asked.op == "delete" else Rank.UPSERT
        version = Version(source.epoch, _sequence(source, asked), rank)
        token = seal(self._key, document, asked.register_, version, stated=True)
        return TokenResponse(token=token, request_id=request_id)

    def _declared(self, caller: Caller, name: str) -> SourceConfig:
        """A source of the caller's tenant; another tenant's and one that is not declared look the same."""
        sources = self._sources()
        if sources is None:
            raise unavailable("No sources are declared to this process: tokens need their epochs.")
        found = sources.get(name)
        if found is None or caller.tenant not in found.tenants:
            raise ProblemError(Problem(404, "no_such_source", "Your tenant has no source of this name.", "source"))
        return found


def _document(caller: Caller, source: SourceConfig, asked: TokenRequest) -> Document:
    if (asked.doc_id is None) == (asked.key is None):
        raise bad_request("Send doc_id, or key with a row's key columns.", "doc_id")
    name = asked.doc_id if asked.key is None else row_doc_id(_key_values(source, asked.key))
    field = "doc_id" if asked.key is None else "key"
    try:
        return Document.checked(caller.tenant, source.name, name or "")
    except InvalidNameError as error:
        raise bad_request(f"{field}: {error}.", field, reason=error.reason) from None


def _key_values(source: SourceConfig, key: Mapping[str, str | int]) -> tuple[str, ...]:
    """Text of the key columns in the order the source declares."""
    if source.postgres is None:
        raise bad_request(f"key: source {source.name} has no rows; send doc_id.", "key")
    columns = source.postgres.columns.key
    if set(key) != set(columns):
        raise bad_request(f"key: the key columns of source {source.name} are {', '.join(columns)}.", "key")
    return tuple(str(key[column]) for column in columns)


def _sequence(source: SourceConfig, asked: TokenRequest) -> int:
    if (asked.version is None) == (asked.lsn is None):
        raise bad_request("Send version, or lsn for a row.", "version")
    if asked.lsn is None:
        return _within(asked.version or 0, "version")
    if source.kind != "postgres":
        raise bad_request(f"lsn: source {source.name} is no Postgres table; send version.", "lsn")
    try:
        return _within(lsn_number(asked.lsn), "lsn")
    except ValueError as error:
        raise bad_request(f"lsn: {error}.", "lsn") from None


def _within(number: int, field: str) -> int:
    if not 0 <= number <= LARGEST:
        raise bad_request(f"{field}: a whole number from 0 to {LARGEST}.", field)
    return number


def lsn_number(lsn: str | int) -> int:
    """A log sequence number as Postgres prints it (16/B374D848), as a number. Raises ValueError for anything else."""
    if isinstance(lsn, int):
        return lsn
    found = _LSN.fullmatch(lsn)
    if found is None:
        raise ValueError("an LSN is what pg_current_wal_insert_lsn() returns, such as 16/B374D848, or a number")
    return (int(found[1], 16) << 32) + int(found[2], 16)
