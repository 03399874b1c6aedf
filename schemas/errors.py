"""The one error tree.

MillstreamError
├── PermanentError        this input can never succeed: dead-letter it, or answer 4xx
│   ├── DecodeError       bytes that no schema decodes
│   ├── InvalidNameError  a tenant, source, doc_id or group that fails the check at the door
│   ├── TooLargeError     over a stated limit of bytes, chunks or records
│   ├── UnreadableError   a document that cannot be parsed
│   └── UnknownTenantError    no source was ever applied for this tenant
├── TransientError        may succeed later: retry, then stop the process
│   └── AmbiguousWriteError   nobody knows whether the store has it: take over again
├── BrokenIndexError      the index breaks its own rules: stop and alert
└── ConfigError           start-up refuses: one line, exit 1

Messages say what to do and never carry document text, personal data or secrets.
"""


class MillstreamError(Exception):
    """Root of everything Millstream raises on purpose."""


class PermanentError(MillstreamError):
    """The input is at fault: trying again cannot help.

    `reason` is a stable word for metrics, dead letters and problem types.
    """

    reason = "invalid"

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        if reason is not None:
            self.reason = reason


class DecodeError(PermanentError):
    """Bytes that no known schema decodes."""

    reason = "undecodable"


class InvalidNameError(PermanentError):
    """A tenant, source, doc_id, group or principal that is not allowed."""

    reason = "invalid_name"


class TooLargeError(PermanentError):
    """Over a stated limit; the message names the limit and the size."""

    reason = "too_large"


class UnreadableError(PermanentError):
    """A document that cannot be parsed; `reason` says why in one word."""

    reason = "unreadable"


class UnknownTenantError(PermanentError):
    """The index has no shard for this tenant: `millstream source apply` creates it."""

    reason = "no_source"


class TransientError(MillstreamError):
    """A part did not answer, or refused for now. Nothing was lost; try again."""


class AmbiguousWriteError(TransientError):
    """A write failed or was cut off: whether the store has it is unknown.

    The only safe answer is a take-over: a new epoch, new row ids.
    """


class BrokenIndexError(MillstreamError):
    """The index breaks its own rules (a shard without a head, two rows for one seq): stop and alert, never guess."""


class ConfigError(MillstreamError):
    """Settings, files or parts do not fit together; the message is one line and says what to do."""
