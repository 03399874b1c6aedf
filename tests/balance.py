"""How the tests are shared out between workers (`make test`).

Files stay whole, and those that share an installation together, so that nothing is started twice for them. One worker
begins with what takes longest, whole processes on real parts; the others with what only computes: so two installations
seldom compete for the machine, and what is left over at the end is short.
"""

from pathlib import PurePosixPath

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

TOGETHER = ("tests/acceptance", "tests/integration/connectors")
"""Folders whose files share an installation of their own."""
APART = ("tests/acceptance/test_crashes.py", "tests/acceptance/test_replay.py")
"""Files there that do not."""
LONGEST = (
    "tests/acceptance",
    "tests/acceptance/test_crashes.py",
    "tests/integration/test_cdc.py",
    "tests/integration/test_outages.py",
    "tests/integration/test_parser_pool.py",
    "tests/integration/test_streams.py",
    "tests/integration/test_audit.py",
    "tests/integration/test_hides.py",
    "tests/integration/connectors",
    "tests/integration/test_api_on_weaviate.py",
    "tests/integration/test_cache_replicas.py",
)
"""Longest first."""


def unit_of(nodeid: str) -> str:
    """What goes to one worker with this test: its file, or a folder."""
    file = nodeid.split("::", 1)[0]
    folder = str(PurePosixPath(file).parent)
    return folder if folder in TOGETHER and file not in APART else file


class BalancedScheduling(LoadFileScheduling):
    """`loadfile`, with these units in this order."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)

    def _assign_work_unit(self, node: WorkerController) -> None:
        longest = [unit for unit in LONGEST if unit in self.workqueue]
        others = [unit for unit in self.workqueue if unit not in LONGEST]
        in_turn = [*longest, *others] if node is self.nodes[0] else [*others, *reversed(longest)]
        self.workqueue.move_to_end(in_turn[0], last=False)
        super()._assign_work_unit(node)
