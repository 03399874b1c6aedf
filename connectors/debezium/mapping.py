"""From a change of a row to changes for the log: what the row says, through the door that every connector takes."""

from dataclasses import dataclass

from connectors.changes import Receipt, change_from
from connectors.debezium.envelope import RowChange
from connectors.debezium.order import Place
from connectors.debezium.rows import Told, told_by, without_content
from schemas.errors import PermanentError
from schemas.records import DocumentChange
from schemas.sources import SourceConfig
from schemas.versions import Op


@dataclass(frozen=True, slots=True)
class Mapped:
    """Changes to append, in their order, and why there are not more.

    `withdrawal`: what was refused may take something away that is shown until somebody looks.
    """

    changes: tuple[DocumentChange, ...] = ()
    refused: PermanentError | None = None
    withdrawal: bool = False


def changes_of(change: RowChange, source: SourceConfig, place: Place, receipt: Receipt, max_bytes: int) -> Mapped:
    """Map one change of the source's table. Raises PermanentError for a row of another table."""
    assert source.postgres is not None, "only sources of kind postgres are captured"
    if change.table != source.postgres.table:
        raise PermanentError("a row of another table than the source's", reason="another_table")
    told = told_by(change, source, place)
    return _through_the_door(told, source, receipt, max_bytes)


def _through_the_door(told: Told, source: SourceConfig, receipt: Receipt, max_bytes: int) -> Mapped:
    changes: list[DocumentChange] = []
    refused, withdrawal = told.refused, told.withdrawal
    for event in told.events:
        try:
            changes.append(change_from(event, source, receipt, max_bytes))
        except PermanentError as error:
            refused = refused or error
            rest = without_content(event)
            if rest is None:
                withdrawal = withdrawal or event.op is not Op.UPSERT
                continue
            try:
                changes.append(change_from(rest, source, receipt, max_bytes))
            except PermanentError:
                withdrawal = True
    return Mapped(tuple(changes), refused, withdrawal)
