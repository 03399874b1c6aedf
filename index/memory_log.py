"""The in-memory twin of a writer's log, index.commits: one partition, shared by all tenants as a real one is."""

from collections.abc import Sequence

from schemas.identity import Tenant
from schemas.records import Commit, TakeOver


class MemoryCommitLog:
    """Records in the order they were appended; a record's place is its offset."""

    def __init__(self) -> None:
        self.records: list[Commit | TakeOver] = []

    async def take_over(self, record: TakeOver) -> int:
        """See `index.port.CommitLog`."""
        self.records.append(record)
        return len(self.records) - 1

    async def emit(self, commits: Sequence[Commit]) -> None:
        """See `index.port.CommitLog`."""
        self.records.extend(commits)

    def commits(self, tenant: Tenant | None = None) -> tuple[Commit, ...]:
        """Every commit (of a tenant), oldest first."""
        return tuple(
            record for record in self.records if isinstance(record, Commit) and tenant in (None, record.tenant)
        )
