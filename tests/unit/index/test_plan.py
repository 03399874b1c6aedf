"""The plan of a mutation: what it makes of a document, in whatever order and however often mutations come."""

import uuid
from collections import Counter
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from index.manifest import ChunkId
from index.model import ContentState, DocumentRow
from index.plan import Add, Keep, NothingChanges, Plan, Rewrite, plan
from schemas.identity import Document, Tenant
from schemas.records import Chunk, Content, Coordinates, Mutation, Origin, Part
from schemas.versions import RANKS, Op, Version
from tests.contract.index_rows import NOW, document, document_row

DOCUMENT: Document = document(Tenant("acme"))
PARTS = (Part(title="a.txt", kind="text"),)
AT = Coordinates(topic="documents.changes", partition=0, offset=1)


@dataclass
class Index:
    """The serial reference: carries out plans of one document on plain dictionaries."""

    row: DocumentRow | None = None
    chunks: dict[ChunkId, tuple[str, frozenset[str]]] = field(default_factory=dict)
    """Chunk row -> (hash, principals it was written for)."""

    def apply(self, mutation: Mutation) -> Plan | NothingChanges:
        """Plan and carry out."""
        made = plan(self.row, mutation)
        if isinstance(made, Plan):
            self._carry_out(made, mutation)
        return made

    def _carry_out(self, made: Plan, mutation: Mutation) -> None:
        entries = []
        for action, entry in zip(made.actions, made.entries, strict=True):
            chunk_id = action.chunk_id if isinstance(action, Keep) else ChunkId(str(uuid.uuid4()))
            if not isinstance(action, Keep):
                copied = self.chunks[action.chunk_id][0] if isinstance(action, Rewrite) else action.chunk.hash
                self.chunks[chunk_id] = (copied, frozenset(made.acl))
            entries.append(replace(entry, chunk_id=chunk_id))
        moved = mutation.content if made.content_moved else None
        kept_hash = self.row.content_hash if self.row else ""
        self.row = document_row(
            DOCUMENT,
            self.row.from_seq + 1 if self.row else 1,
            manifest=tuple(entries),
            superseded=made.superseded,
            content=made.content,
            content_version=made.content_version,
            content_hash=moved.content_hash if moved else kept_hash,
            acl=made.acl,
            acl_version=made.acl_version,
            hint=made.hint,
            hide_deleted=None,
            hide_acl=(),
            hide_acl_version=None,
        )

    def state(self) -> tuple[object, ...] | None:
        """What a reader can tell: registers, and the chunks in order with their places."""
        if self.row is None:
            return None
        places = tuple((entry.hash, entry.page, entry.start, entry.end, entry.part) for entry in self.row.manifest)
        row = self.row
        return row.content, row.content_version, frozenset(row.acl), row.acl_version, places


def upsert(sequence: int, hashes: str, acl: tuple[str, ...] | None = None, default: tuple[str, ...] = ()) -> Mutation:
    """Content of one chunk a letter, every other one of its attachment."""
    chunks = tuple(_chunk(ordinal, letter) for ordinal, letter in enumerate(hashes))
    content = Content(chunks=chunks, content_hash=hashes, title="T", kind="eml", pipeline="p", parts=PARTS)
    return _mutation(Op.UPSERT, sequence, content=content, acl=acl, default_acl=default)


def delete(sequence: int) -> Mutation:
    """A delete."""
    return _mutation(Op.DELETE, sequence, content=Content(deleted=True))


def acl(sequence: int, *principals: str) -> Mutation:
    """A change of the acl alone."""
    return _mutation(Op.ACL, sequence, acl=principals)


def _chunk(ordinal: int, letter: str) -> Chunk:
    return Chunk(
        ordinal=ordinal,
        text=letter,
        heading_path=(),
        hash=letter.encode().hex() * 16,
        embedded_hash=letter,
        page=ordinal + 1,
        start=ordinal * 10,
        end=ordinal * 10 + 9,
        vector=b"",
        part=ordinal % 2,
    )


def _mutation(op: Op, sequence: int, **fields: object) -> Mutation:
    return Mutation.model_validate(
        {
            "tenant": DOCUMENT.tenant,
            "source": DOCUMENT.source,
            "doc_id": DOCUMENT.doc_id,
            "op": op,
            "version": Version(0, sequence, RANKS[op]),
            "change": AT,
            "origin": Origin(connector="test", reference="r"),
            "event_id": "e",
            "received_at": NOW,
            "prepared_at": NOW,
            **fields,
        }
    )


def after(*mutations: Mutation) -> Index:
    """The index after these mutations, in this order."""
    index = Index()
    for mutation in mutations:
        index.apply(mutation)
    return index


def kinds(made: Plan | NothingChanges) -> str:
    """One letter an action."""
    assert isinstance(made, Plan)
    return "".join({Keep: "k", Add: "a", Rewrite: "r"}[type(action)] for action in made.actions)


@pytest.mark.parametrize(
    ("before", "desired", "actions", "superseded"),
    [
        ("", "abc", "aaa", 0),
        ("abc", "abc", "kkk", 0),
        ("abc", "xabc", "akkk", 0),
        ("abc", "cba", "kkk", 0),
        ("abc", "ab", "kk", 1),
        ("abc", "axc", "kak", 1),
        ("aab", "aaa", "kka", 1),
        ("aaa", "a", "k", 2),
        ("abc", "", "", 3),
    ],
)
def test_chunks_are_matched_as_multisets_of_hashes(before: str, desired: str, actions: str, superseded: int) -> None:
    index = after(upsert(1, before))
    made = index.apply(upsert(2, desired))
    assert kinds(made) == actions
    assert isinstance(made, Plan)
    assert len(made.superseded) == superseded


def test_what_is_kept_keeps_its_row_and_takes_its_new_place() -> None:
    index = after(upsert(1, "abc"))
    assert index.row is not None
    rows = {entry.hash: entry.chunk_id for entry in index.row.manifest}
    index.apply(upsert(2, "xcb"))
    assert index.row.manifest[1].chunk_id == rows[index.row.manifest[1].hash]
    places = [(entry.page, entry.start, entry.part) for entry in index.row.manifest]
    assert places == [(1, 0, 0), (2, 10, 1), (3, 20, 0)]


def test_a_delete_supersedes_everything_and_keeps_the_acl() -> None:
    index = after(upsert(1, "abc", acl=("staff",)), delete(2))
    assert index.row is not None
    assert (index.row.content, index.row.manifest, index.row.acl) == (ContentState.DELETED, (), ("staff",))
    assert len(index.row.superseded) == 3


def test_a_late_upsert_loses_to_a_delete() -> None:
    index = after(upsert(1, "abc"), delete(3))
    assert index.apply(upsert(2, "xyz")) == NothingChanges(conflict=False)


def test_at_one_sequence_a_delete_outranks_an_upsert() -> None:
    assert after(delete(5), upsert(5, "abc")).state() == after(upsert(5, "abc"), delete(5)).state()


def test_a_revocation_touches_no_chunk_row() -> None:
    index = after(upsert(1, "abc", acl=("staff", "guests")))
    made = index.apply(acl(2, "staff"))
    assert kinds(made) == "kkk"
    assert isinstance(made, Plan)
    assert (made.superseded, made.acl, made.hint) == ((), ("staff",), ("staff", "guests"))


def test_a_group_that_was_revoked_and_comes_back_is_no_gain() -> None:
    index = after(upsert(1, "abc", acl=("staff", "guests")), acl(2, "staff"))
    assert kinds(index.apply(acl(3, "guests", "staff"))) == "kkk"


def test_a_gained_group_rewrites_every_row_under_the_wider_hint() -> None:
    index = after(upsert(1, "abc", acl=("staff",)))
    made = index.apply(acl(2, "staff", "guests"))
    assert kinds(made) == "rrr"
    assert isinstance(made, Plan)
    assert (len(made.superseded), made.hint) == (3, ("staff", "guests"))


def test_new_content_that_gains_a_group_adds_every_row() -> None:
    index = after(upsert(1, "abc", acl=("staff",)))
    made = index.apply(upsert(2, "abcd", acl=("staff", "guests")))
    assert kinds(made) == "aaaa"
    assert isinstance(made, Plan)
    assert len(made.superseded) == 3


def test_an_absent_acl_keeps_the_register() -> None:
    index = after(upsert(1, "a", acl=("staff",), default=("public",)), upsert(2, "b", default=("public",)))
    assert index.row is not None
    assert (index.row.acl, index.row.acl_version) == (("staff",), Version(0, 1, 0))


def test_the_default_acl_applies_only_where_there_is_none() -> None:
    index = after(upsert(1, "a", default=("public",)), upsert(2, "a", default=("intern",)))
    assert index.row is not None
    assert (index.row.acl, index.row.acl_version) == (("intern",), None)
    index.apply(acl(3, "staff"))
    index.apply(upsert(4, "b", default=("public",)))
    assert index.row.acl == ("staff",)


def test_an_acl_of_an_unknown_document_is_kept_for_its_content() -> None:
    index = after(acl(5, "staff"))
    assert index.row is not None
    assert (index.row.content, index.row.acl) == (ContentState.ABSENT, ("staff",))
    index.apply(upsert(1, "ab", default=("public",)))
    assert (index.row.content, index.row.acl, len(index.row.manifest)) == (ContentState.PRESENT, ("staff",), 2)


def test_an_old_acl_beside_new_content_does_not_move_the_acl() -> None:
    index = after(acl(9, "staff"), upsert(5, "ab", acl=("guests",)))
    assert index.row is not None
    assert (index.row.acl, index.row.acl_version) == (("staff",), Version(0, 9, 1))


@pytest.mark.parametrize(
    ("first", "second", "conflict"),
    [
        (upsert(1, "a"), upsert(1, "a"), False),
        (upsert(1, "a"), upsert(1, "b"), True),
        (upsert(2, "a"), upsert(1, "b"), False),
        (delete(1), delete(1), False),
        (acl(1, "a", "b"), acl(1, "b", "a"), False),
        (acl(1, "a"), acl(1, "b"), True),
        (upsert(1, "a", acl=("x",)), upsert(1, "a"), False),
    ],
)
def test_an_equal_version_is_a_duplicate_unless_it_differs(first: Mutation, second: Mutation, conflict: bool) -> None:
    assert after(first).apply(second) == NothingChanges(conflict=conflict)


principals = st.lists(st.sampled_from(["staff", "guests", "public", "user:ann"]), unique=True, max_size=3).map(tuple)
hashes = st.text("abcd", max_size=5)
sequences = st.integers(1, 6)
mutations = st.one_of(
    st.builds(upsert, sequences, hashes, st.none() | principals),
    st.builds(delete, sequences),
    st.builds(lambda sequence, of: acl(sequence, *of), sequences, principals),
)


def _once_a_version(made: list[Mutation]) -> list[Mutation]:
    """One document's log: what has the same version is the same change."""
    return list({mutation.version: mutation for mutation in made}.values())


logs = st.lists(mutations, max_size=8).map(_once_a_version)


@given(logs)
def test_a_plan_carried_out_is_what_was_desired(log: list[Mutation]) -> None:
    index = Index()
    for mutation in log:
        made = index.apply(mutation)
        if isinstance(made, Plan) and made.content_moved:
            assert index.row is not None
            assert mutation.content is not None
            desired = tuple((one.hash, one.page, one.start, one.end, one.part) for one in mutation.content.chunks)
            assert (index.state() or ())[-1] == desired
            assert index.row.content_version == mutation.version


@given(logs)
def test_every_entry_is_a_chunk_row_of_its_hash_used_once(log: list[Mutation]) -> None:
    index = after(*log)
    for entry in index.row.manifest if index.row else ():
        assert index.chunks[entry.chunk_id][0] == entry.hash
    ids = [entry.chunk_id for entry in index.row.manifest] if index.row else []
    assert max(Counter(ids).values(), default=1) == 1


@given(logs)
def test_a_row_is_kept_or_superseded_never_both_nor_forgotten(log: list[Mutation]) -> None:
    index = Index()
    for mutation in log:
        before = {entry.chunk_id for entry in index.row.manifest} if index.row else set()
        if isinstance(index.apply(mutation), Plan):
            assert index.row is not None
            now = {entry.chunk_id for entry in index.row.manifest}
            assert set(index.row.superseded) == before - now


@given(logs)
def test_every_chunk_row_carries_the_hint_and_the_hint_covers_the_acl(log: list[Mutation]) -> None:
    index = Index()
    for mutation in log:
        index.apply(mutation)
        if index.row is not None and index.row.manifest:
            assert set(index.row.acl) <= set(index.row.hint)
            for entry in index.row.manifest:
                assert set(index.row.hint) <= index.chunks[entry.chunk_id][1]


@given(logs)
def test_a_second_run_changes_nothing(log: list[Mutation]) -> None:
    index = after(*log)
    before = index.state()
    for mutation in log:
        assert index.apply(mutation) == NothingChanges(conflict=False)
    assert index.state() == before


@given(logs, st.data())
def test_order_and_duplicates_do_not_matter(log: list[Mutation], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(log + log[: len(log) // 2]))
    assert after(*shuffled).state() == after(*log).state()
