"""What one document may cost while it is parsed, besides time and memory, which the pool holds. Pure."""

from dataclasses import astuple, dataclass

from schemas.errors import UnreadableError

_MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Over any of these a document is refused, with a reason that names the setting."""

    pages: int = 3000
    elements: int = 200_000
    """Headings, paragraphs, list items and rows of tables."""
    unpacked_mb: int = 256
    """What the members of an archive (docx, xlsx, epub, ...) say they unpack to, together, in MiB."""
    nesting: int = 5
    """Messages and attachments within each other."""

    @property
    def unpacked_bytes(self) -> int:
        return self.unpacked_mb * _MEBIBYTE

    def hold_pages(self, pages: int, what: str) -> None:
        """Raises UnreadableError, reason too_many_pages; `what` says what has them, `{}` in it how many."""
        if pages > self.pages:
            raise UnreadableError(
                f"{what.format(pages)}, over the limit of {self.pages} (MILLSTREAM_PARSE_PAGES): split it",
                reason="too_many_pages",
            )

    def argument(self) -> str:
        """For a worker's command line; `from_argument` reads it back."""
        return ",".join(str(number) for number in astuple(self))

    @classmethod
    def from_argument(cls, argument: str) -> "Limits":
        """The limits that `argument` wrote."""
        return cls(*map(int, argument.split(",")))
