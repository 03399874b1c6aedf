"""Each source's policy for personal data, as sources.yaml states it now.

The file is looked at for every document, so an applied edit holds for what is prepared after it. A source that is not
declared (any more) is treated strictly: what waits in the log was sent under a policy that nobody can read now. Names
are then looked for only where some source asks for them: most installations never pay for that.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

from runtime.metrics import Metrics
from runtime.watched_files import WatchedFiles
from schemas.errors import ConfigError
from schemas.identity import Document
from schemas.redaction import Action, Kind, Policy, Redaction, policy_of
from schemas.sources import Sources
from streams.core.redaction import pseudonyms
from streams.core.treatment import Treatment
from streams.redact.rules import NAMES_PACKAGES


class SourcePolicies:
    """Holds the policies in force. Construction reads the file and raises ConfigError when it cannot be followed."""

    def __init__(self, file: Path, load: Callable[[], Sources], key: bytes, metrics: Metrics) -> None:
        self._key = key
        self._policies = WatchedFiles((file,), lambda: self._read(load()), metrics)

    def treatment_of(self, document: Document) -> Treatment:
        """How a document is treated now."""
        self._policies.reload()
        policy = self._policies.current.get(document.source) or self._undeclared
        fingerprint = policy.fingerprint
        if policy.pseudonymises:
            fingerprint += hmac.new(self._key, b"fingerprint", hashlib.sha256).hexdigest()[:4]
        return Treatment(policy, pseudonyms(self._key, document.tenant), fingerprint)

    @property
    def sought(self) -> tuple[Kind, ...]:
        """Every kind that some source looks for, sorted."""
        return tuple(sorted({kind for policy in self._policies.current.values() for kind in policy.sought}))

    @property
    def _undeclared(self) -> Policy:
        names = {} if Kind.PERSON in self.sought else {Kind.PERSON: Action.IGNORE}
        return policy_of(Redaction(profile="strict", kinds=names))

    def _read(self, sources: Sources) -> Mapping[str, Policy]:
        policies = {source.name: policy_of(source.redaction) for source in sources.sources}
        for name, policy in policies.items():
            self._check(name, policy)
        return policies

    def _check(self, name: str, policy: Policy) -> None:
        if policy.pseudonymises and not self._key:
            raise ConfigError(f"source {name} pseudonymises: set MILLSTREAM_REDACTION_KEY, or choose mask")
        if Kind.PERSON in policy.sought and not _finds_names():
            raise ConfigError(
                f"source {name} looks for names of people (PERSON), and what finds them is not installed: "
                "install millstream with the extra `ner`, or set PERSON to ignore"
            )


def _finds_names() -> bool:
    return all(find_spec(package) is not None for package in NAMES_PACKAGES)
