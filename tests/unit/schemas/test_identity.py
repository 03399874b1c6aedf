import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from schemas.errors import InvalidNameError
from schemas.identity import ACL_SUFFIX, DocId, Document, Source, Tenant, doc_id, principal, source_name, tenant_name

_LETTERS = string.ascii_lowercase + string.digits + "_-"
_FORBIDDEN = ["Cc", "Cs", "Co", "Cn", "Zl", "Zp"]

tenants = st.text(_LETTERS, min_size=2, max_size=8).filter(lambda name: name[0] not in "_-")
sources = st.text(_LETTERS, min_size=1, max_size=8).filter(lambda name: name[0] not in "_-")
raw_doc_ids = st.one_of(
    st.text("ab/#%235 acl", min_size=1, max_size=12),
    st.text(st.characters(exclude_categories=_FORBIDDEN), min_size=1, max_size=12),
)


def _allowed(value: str) -> bool:
    try:
        doc_id(value)
    except InvalidNameError:
        return False
    return True


documents = st.builds(
    Document, tenants.map(Tenant), sources.map(Source), raw_doc_ids.filter(_allowed).map(lambda raw: doc_id(raw))
)


@given(documents, documents)
def test_distinct_documents_have_distinct_keys(one: Document, other: Document) -> None:
    assert (one == other) == (one.key == other.key)
    assert (one == other) == (one.acl_key == other.acl_key)


@given(documents, documents)
def test_no_key_is_any_documents_acl_key(one: Document, other: Document) -> None:
    assert one.key != other.acl_key
    assert not one.key.endswith(ACL_SUFFIX)


@given(documents)
def test_a_document_is_read_back_from_either_key(document: Document) -> None:
    assert Document.from_key(document.key) == document
    assert Document.from_key(document.acl_key) == document


@given(st.one_of(st.text(max_size=20), st.text("ab/#%235acl", max_size=20).map(lambda text: f"acme/web/{text}")))
def test_a_key_that_is_read_is_the_key_of_what_was_read(key: str) -> None:
    try:
        document = Document.from_key(key)
    except InvalidNameError:
        return
    assert key in (document.key, document.acl_key)


@pytest.mark.parametrize("key", ["acme/web", "acme", "", "acme/web/a#b", "acme/web/a%41", "acme/web/#acl", "/web/a"])
def test_a_key_no_document_has_is_refused(key: str) -> None:
    with pytest.raises(InvalidNameError):
        Document.from_key(key)


def test_a_doc_id_may_hold_slashes_and_what_keys_escape() -> None:
    document = Document.checked("acme", "web", "a/b%23#acl")
    assert document.key == "acme/web/a/b%2523%23acl"
    assert document.acl_key == "acme/web/a/b%2523%23acl#acl"


@given(raw_doc_ids.filter(_allowed))
def test_normalising_a_doc_id_twice_changes_nothing(raw: str) -> None:
    once = doc_id(raw)
    assert doc_id(once) == once
    assert once == once.strip()


def test_two_spellings_of_one_letter_are_one_document() -> None:
    assert doc_id("cafe\u0301") == doc_id("caf\u00e9") == "caf\u00e9"
    assert principal("e\u0301quipe") == "\u00e9quipe"


@pytest.mark.parametrize(
    "value",
    [
        *["", " ", " a", "a ", "\ta", "a\n", "\u00a0a", "a\u3000", "a\u0085", "\u2028", "\u1680a"],
        *["a\x00b", "a\nb", "a\x7fb", "a\u2028b", "a\u2029b", "a\ud800b", "\udfff", "a\ue000", "a\uffff"],
    ],
)
def test_white_space_at_the_ends_and_control_characters_are_refused(value: str) -> None:
    for check in (doc_id, principal):
        with pytest.raises(InvalidNameError) as caught:
            check(value)
        assert len(str(caught.value)) < 120
        assert len(value.strip()) < 2 or value.strip() not in str(caught.value)


def test_lengths_are_bytes_of_utf8() -> None:
    assert doc_id("é" * 512)
    assert principal("é" * 128)
    with pytest.raises(InvalidNameError, match="1024 bytes"):
        doc_id("é" * 512 + "a")
    with pytest.raises(InvalidNameError, match="256 bytes"):
        principal("é" * 128 + "a")


@pytest.mark.parametrize("value", ["ab", "ibm", "a" * 62, "0-_", "a-b"])
def test_a_tenants_name_makes_a_store_tenants_name(value: str) -> None:
    assert tenant_name(value) == value
    assert 4 <= len(f"t_{value}") <= 64


@pytest.mark.parametrize(
    "value",
    ["", "a", "a" * 63, "Acme", "-ab", "_ab", "ab\n", " ab", "ab ", "a b", "a/b", "é1", "a#b", "a\x00b", "\uff41b"],
)
def test_other_tenant_names_are_refused(value: str) -> None:
    with pytest.raises(InvalidNameError):
        tenant_name(value)


@pytest.mark.parametrize("value", ["", "a" * 63, "Web", "-a", "a\n", "a/b", "a b", "a#"])
def test_other_source_names_are_refused(value: str) -> None:
    with pytest.raises(InvalidNameError):
        source_name(value)


def test_a_user_needs_a_subject() -> None:
    assert principal("user:x") == "user:x"
    with pytest.raises(InvalidNameError, match="subject"):
        principal("user:")


@given(documents, documents)
def test_documents_sort_and_hash_by_what_they_are(one: Document, other: Document) -> None:
    assume(one != other)
    assert len({one, other, Document(one.tenant, one.source, DocId(str(one.doc_id)))}) == 2
    assert (one < other) != (other < one)
