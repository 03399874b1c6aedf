"""Decides, purely, what a mutation or a hide does to a document: which registers move, which chunk rows to add, keep
and supersede.

Desired state against previous state gives actions as values; `index.writer` carries them out. A hide touches the hide
registers alone and chunk rows never, so a plan made before it holds after it.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from index.manifest import ChunkId, Entry
from index.model import ContentState, DocumentRow, label_list
from schemas.headers import Again
from schemas.records import Chunk, Content, Hide, Mutation
from schemas.topics import HIDES
from schemas.versions import Op, Version, is_newer


@dataclass(frozen=True, slots=True)
class Keep:
    """The chunk row stays; only its place may differ."""

    chunk_id: ChunkId


@dataclass(frozen=True, slots=True)
class Add:
    """A new chunk row, from the mutation's chunk."""

    chunk: Chunk


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A new chunk row that copies an existing one, text and vector, under the wider hint."""

    chunk_id: ChunkId


Action = Keep | Add | Rewrite


@dataclass(frozen=True, slots=True)
class Hides:
    """The hide registers: set by what runs ahead of the queue, and in force while newer than what they hide."""

    deleted: Version | None = None
    acl: tuple[str, ...] = ()
    acl_version: Version | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What one mutation or hide makes of one document. `entries[i]` is the place of `actions[i]`; its chunk_id is set
    later. Hide registers are no part of it: `hides_after` says what the row written at last has in them.
    """

    actions: tuple[Action, ...]
    entries: tuple[Entry, ...]
    superseded: tuple[ChunkId, ...]
    content: ContentState
    content_version: Version | None
    content_moved: bool
    acl: tuple[str, ...]
    acl_version: Version | None
    hint: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NothingChanges:
    """Every register it carries already has its version or a higher one."""

    conflict: bool
    """An equal version with different content: the first is kept, the case is counted."""


def plan(previous: DocumentRow | None, record: Mutation | Hide, again: Again | None = None) -> Plan | NothingChanges:
    """Decide. `previous` is the newest valid row of the document, None for an unknown one.

    `again`: why the record's change lies in the log again. A healed one is what its register has to be at its version,
    whatever a build has found in the log before it; where nothing differs, the document lies there from now on.
    """
    if isinstance(record, Hide):
        return _hidden(previous, record)
    wanted = _mutated(previous, record)
    if again is Again.HEALED and isinstance(wanted, NothingChanges) and previous is not None:
        return _healed(previous, record) or wanted
    return wanted


def _healed(previous: DocumentRow, mutation: Mutation) -> Plan | None:
    """None where it has another version, or lies before what the document was made of."""
    register = previous.acl_version if mutation.op is Op.ACL else previous.content_version
    # A hide's row says nothing about where mutations have come from.
    is_later = previous.mutation.topic == HIDES or mutation.change.offset > previous.change.offset
    if mutation.version != register or not is_later:
        return None
    acl_stands = mutation.acl is not None and mutation.version == previous.acl_version
    acl, acl_version = _acl_after(previous, mutation, content_moves=mutation.content is not None, acl_moves=acl_stands)
    gains = bool(set(acl) - set(previous.hint))
    if mutation.content is None:
        return _with_new_acl(previous, acl, acl_version, gains=gains)
    return _with_new_content(previous, mutation, acl, acl_version, gains=gains)


def is_endangered(previous: DocumentRow | None, mutation: Mutation, again: Again | None = None) -> bool:
    """Whether the mutation loses the register that its key stands for (content; acl for an acl alone), so that
    compaction would keep its change instead of the one that counts, were that behind it. One that says the same in the
    same version endangers nothing, and neither does a copy of what counts.
    """
    if previous is None:
        return False
    register = previous.acl_version if mutation.op is Op.ACL else previous.content_version
    if register is None or mutation.version > register:
        return False
    return mutation.version < register or (again is None and not _says_the_same(previous, mutation))


def _says_the_same(previous: DocumentRow, mutation: Mutation) -> bool:
    """Of a mutation in the version of the register that it is about."""
    if mutation.acl is not None:
        if (mutation.version, set(mutation.acl)) != (previous.acl_version, set(previous.acl)):
            return False
    elif previous.acl_version is None and set(mutation.default_acl) != set(previous.acl):
        return False
    return mutation.content is None or _is_content_of(previous, mutation, mutation.content)


def _is_content_of(previous: DocumentRow, mutation: Mutation, content: Content) -> bool:
    if content.deleted:
        return previous.content is ContentState.DELETED
    said = (content.content_hash, content.title, content.url, content.kind, content.language, content.pipeline)
    known = (previous.content_hash, previous.title, previous.url, previous.kind, previous.language, previous.pipeline)
    return (
        previous.content is ContentState.PRESENT
        and said == known
        and content.parts == previous.parts
        and label_list(content.labels) == previous.labels
        and mutation.event_time == previous.event_time
    )


def repaired(previous: DocumentRow | None, mutation: Mutation, open_chunks: Sequence[ChunkId]) -> Plan | NothingChanges:
    """Decide for a change that lies in the log again because the index was found to differ from it: at the version its
    register already has, too, all chunk rows are written anew. `open_chunks`, all that the document has, listed or not,
    are superseded.
    """
    register = previous.content_version if previous else None
    if mutation.content is None or (register is not None and mutation.version < register):
        return _mutated(previous, mutation)
    acl_moves = mutation.acl is not None and is_newer(mutation.version, previous.acl_version if previous else None)
    acl, acl_version = _acl_after(previous, mutation, content_moves=True, acl_moves=acl_moves)
    wanted = _with_new_content(previous, mutation, acl, acl_version, gains=True)
    return replace(wanted, superseded=tuple(dict.fromkeys((*wanted.superseded, *open_chunks))))


def hides_after(
    previous: DocumentRow | None, hide: Hide | None, content_version: Version | None, acl_version: Version | None
) -> Hides:
    """The hide registers of a row with these versions, written upon `previous` because of `hide` or of a mutation.

    Newer only. One whose register has caught up (at its version or beyond) hides nothing any more and is dropped: what
    comes late finds the register instead, so the order in which hides and mutations arrive leaves no trace.
    """
    deleted = previous.hide_deleted if previous else None
    acl = previous.hide_acl if previous else ()
    version = previous.hide_acl_version if previous else None
    if hide is not None and hide.deleted and is_newer(hide.version, deleted):
        deleted = hide.version
    if hide is not None and hide.acl is not None and is_newer(hide.version, version):
        acl, version = hide.acl, hide.version
    hidden = version is not None and is_newer(version, acl_version)
    return Hides(
        deleted=deleted if deleted is not None and is_newer(deleted, content_version) else None,
        acl=acl if hidden else (),
        acl_version=version if hidden else None,
    )


def _hidden(previous: DocumentRow | None, hide: Hide) -> Plan | NothingChanges:
    """An unknown document gets a row without content: the mutations that the hide has overtaken will find it."""
    content_version = previous.content_version if previous else None
    acl_version = previous.acl_version if previous else None
    before = hides_after(previous, None, content_version, acl_version)
    if hides_after(previous, hide, content_version, acl_version) == before:
        return NothingChanges(conflict=False)
    manifest = previous.manifest if previous else ()
    return Plan(
        actions=tuple(Keep(entry.chunk_id) for entry in manifest),
        entries=manifest,
        superseded=(),
        content=previous.content if previous else ContentState.ABSENT,
        content_version=content_version,
        content_moved=False,
        acl=previous.acl if previous else (),
        acl_version=acl_version,
        hint=previous.hint if previous else (),
    )


def _mutated(previous: DocumentRow | None, mutation: Mutation) -> Plan | NothingChanges:
    content_moves = mutation.content is not None and is_newer(
        mutation.version, previous.content_version if previous else None
    )
    acl_moves = mutation.acl is not None and is_newer(mutation.version, previous.acl_version if previous else None)
    if not content_moves and not acl_moves:
        return NothingChanges(conflict=_conflicts(previous, mutation))
    acl, acl_version = _acl_after(previous, mutation, content_moves=content_moves, acl_moves=acl_moves)
    gains = bool(set(acl) - set(previous.hint)) if previous else False
    if content_moves:
        return _with_new_content(previous, mutation, acl, acl_version, gains=gains)
    return _with_new_acl(previous, acl, acl_version, gains=gains)


def _acl_after(
    previous: DocumentRow | None, mutation: Mutation, *, content_moves: bool, acl_moves: bool
) -> tuple[tuple[str, ...], Version | None]:
    """An absent acl keeps the register; the source's default applies only where there is none."""
    if acl_moves:
        assert mutation.acl is not None
        return mutation.acl, mutation.version
    if previous is not None and (previous.acl_version is not None or not content_moves):
        return previous.acl, previous.acl_version
    return mutation.default_acl, None


def _with_new_content(
    previous: DocumentRow | None,
    mutation: Mutation,
    acl: tuple[str, ...],
    acl_version: Version | None,
    *,
    gains: bool,
) -> Plan:
    assert mutation.content is not None
    reusable = () if previous is None or gains else previous.manifest
    actions, entries, left_over = _match(reusable, mutation.content.chunks)
    superseded = tuple(entry.chunk_id for entry in previous.manifest) if previous and gains else left_over
    only_kept = previous is not None and bool(actions) and all(isinstance(action, Keep) for action in actions)
    return Plan(
        actions=actions,
        entries=entries,
        superseded=superseded,
        content=ContentState.DELETED if mutation.content.deleted else ContentState.PRESENT,
        content_version=mutation.version,
        content_moved=True,
        acl=acl,
        acl_version=acl_version,
        hint=previous.hint if previous and only_kept else acl,
    )


def _with_new_acl(
    previous: DocumentRow | None, acl: tuple[str, ...], acl_version: Version | None, *, gains: bool
) -> Plan:
    """A revocation is one document row, whatever the document's size; a gained group supersedes all rows."""
    manifest = previous.manifest if previous else ()
    ids = tuple(entry.chunk_id for entry in manifest)
    rewrite = gains and bool(ids)
    return Plan(
        actions=tuple(Rewrite(chunk_id) if rewrite else Keep(chunk_id) for chunk_id in ids),
        entries=manifest,
        superseded=ids if rewrite else (),
        content=previous.content if previous else ContentState.ABSENT,
        content_version=previous.content_version if previous else None,
        content_moved=False,
        acl=acl,
        acl_version=acl_version,
        hint=previous.hint if previous and ids and not rewrite else acl,
    )


def _match(
    manifest: Sequence[Entry], desired: Sequence[Chunk]
) -> tuple[tuple[Action, ...], tuple[Entry, ...], tuple[ChunkId, ...]]:
    """Desired chunks against the manifest, as multisets of hashes: actions, their places, and what is left over."""
    free: dict[str, deque[ChunkId]] = defaultdict(deque)
    for entry in manifest:
        free[entry.hash].append(entry.chunk_id)
    actions: list[Action] = []
    for chunk in desired:
        ids = free.get(chunk.hash)
        actions.append(Keep(ids.popleft()) if ids else Add(chunk))
    entries = tuple(
        Entry(
            action.chunk_id if isinstance(action, Keep) else ChunkId(""),
            chunk.hash,
            chunk.page,
            chunk.start,
            chunk.end,
            chunk.part,
            tuple((each.at, each.page) for each in chunk.page_breaks),
        )
        for action, chunk in zip(actions, desired, strict=True)
    )
    kept = {action.chunk_id for action in actions if isinstance(action, Keep)}
    return tuple(actions), entries, tuple(entry.chunk_id for entry in manifest if entry.chunk_id not in kept)


def _conflicts(previous: DocumentRow | None, mutation: Mutation) -> bool:
    if previous is None:
        return False
    content, version = mutation.content, mutation.version
    content_differs = (
        content is not None
        and version == previous.content_version
        and (
            content.deleted != (previous.content is ContentState.DELETED)
            or (not content.deleted and content.content_hash != previous.content_hash)
        )
    )
    acl_differs = (
        mutation.acl is not None and version == previous.acl_version and set(mutation.acl) != set(previous.acl)
    )
    return content_differs or acl_differs
