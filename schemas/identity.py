"""Who a document is, everywhere: keys, row ids, API paths, tokens (design: words).

A document is (tenant, source, doc_id). Names are normalised and checked here, at the door, because the store's
exact-match filters trim white space: two names that differ in a trailing space would be one document to it.
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import NewType

from schemas.errors import InvalidNameError

Tenant = NewType("Tenant", str)
Source = NewType("Source", str)
DocId = NewType("DocId", str)
Principal = NewType("Principal", str)
"""A group name, `user:<sub>`, or `public`."""

PUBLIC = Principal("public")
USER_PREFIX = "user:"
ACL_SUFFIX = "#acl"

_TENANT = re.compile(r"[a-z0-9][a-z0-9_-]{1,61}")
_SOURCE = re.compile(r"[a-z0-9][a-z0-9_-]{0,61}")
_MAX_DOC_ID_BYTES = 1024
_MAX_PRINCIPAL_BYTES = 256
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Cs", "Co", "Cn", "Zl", "Zp"})


def tenant_name(value: str) -> Tenant:
    """Check a tenant's name. Raises InvalidNameError."""
    if not _TENANT.fullmatch(value):
        raise InvalidNameError("a tenant is 2 to 62 of a-z 0-9 _ -, starting with a letter or digit")
    return Tenant(value)


def source_name(value: str) -> Source:
    """Check a source's name. Raises InvalidNameError."""
    if not _SOURCE.fullmatch(value):
        raise InvalidNameError("a source is 1 to 62 of a-z 0-9 _ -, starting with a letter or digit")
    return Source(value)


def doc_id(value: str) -> DocId:
    """Normalise (NFC) and check a document id. Raises InvalidNameError."""
    return DocId(_clean(value, "a doc_id", _MAX_DOC_ID_BYTES))


def principal(value: str) -> Principal:
    """Normalise (NFC) and check one entry of an acl. Raises InvalidNameError."""
    cleaned = _clean(value, "an acl entry", _MAX_PRINCIPAL_BYTES)
    if cleaned == USER_PREFIX:
        raise InvalidNameError("an acl entry user:<sub> needs a subject")
    return Principal(cleaned)


def _clean(value: str, what: str, max_bytes: int) -> str:
    cleaned = unicodedata.normalize("NFC", value)
    if not cleaned or cleaned != cleaned.strip():
        raise InvalidNameError(f"{what} must not be empty nor begin or end with white space")
    if any(unicodedata.category(char) in _FORBIDDEN_CATEGORIES for char in cleaned):
        raise InvalidNameError(f"{what} must not contain control, unassigned or line-separating characters")
    if len(cleaned.encode()) > max_bytes:
        raise InvalidNameError(f"{what} has at most {max_bytes} bytes of UTF-8")
    return cleaned


@dataclass(frozen=True, slots=True, order=True)
class Document:
    """The identity of one document."""

    tenant: Tenant
    source: Source
    doc_id: DocId

    @classmethod
    def checked(cls, tenant: str, source: str, document_id: str) -> "Document":
        """Build from untrusted text. Raises InvalidNameError."""
        return cls(tenant_name(tenant), source_name(source), doc_id(document_id))

    @classmethod
    def from_key(cls, key: str) -> "Document":
        """Read back `key` or `acl_key`. Raises InvalidNameError, also for a key that no document has."""
        stem = key.removesuffix(ACL_SUFFIX)
        parts = stem.split("/", 2)
        if len(parts) != 3:
            raise InvalidNameError("a record's key is tenant/source/doc_id")
        document = cls.checked(parts[0], parts[1], parts[2].replace("%23", "#").replace("%25", "%"))
        if document.key != stem:
            raise InvalidNameError("a record's key has % and # of the doc_id escaped, and is normalised")
        return document

    @property
    def key(self) -> str:
        """`tenant/source/doc_id` with % and # of the doc_id escaped, so that `#acl` can only be ours."""
        return f"{self.tenant}/{self.source}/{self.doc_id.replace('%', '%25').replace('#', '%23')}"

    @property
    def acl_key(self) -> str:
        """Key of the acl register's own record, so that compaction keeps content and acl apart."""
        return self.key + ACL_SUFFIX
