"""A slice of `python -m tests.soak kills`: processes die, or sleep past their session, at chosen steps of take-over and
commit and of every other stage; three write the index beside each other; the store, the database and Connect die too.
"""

from pathlib import Path

from tests.acceptance.installation import eventually
from tests.acceptance.ledger import AtWork
from tests.soak import outcome
from tests.soak.crashes import watching
from tests.soak.kills import Killer, slice_of
from tests.soak.scene import scene
from tests.soak.watch import Seen
from tests.soak.writers import writers_of

SEED = 1
PARTS = ("connect", "postgres", "weaviate")


def test_whatever_step_a_process_dies_or_sleeps_at_nothing_is_lost_doubled_or_seen_half(tmp_path: Path) -> None:
    seen = Seen()
    with scene(tmp_path) as made:
        writers = writers_of(made, SEED, pause=1.5)
        killer = Killer(made, SEED, slice_of(made, SEED), parts=PARTS, part_seconds=9.0, parts_once=True)
        with watching(made, writers, seen, SEED):
            with AtWork(writers) as at_work, killer:
                eventually("every chosen step was reached", lambda: at_work.goes_on() and killer.is_done, 400.0)
            outcome.settle(made, 240.0)
        checked = outcome.compared(made, writers, killer.store_kills)
        judged = outcome.judged_reads(made, writers, seen, killer.store_kills)
        assert checked.faults == []
        assert outcome.lost_events(made, writers) == []
        assert judged.first == []
        assert outcome.letter_faults(made) == []
        assert made.failed() == []
        assert killer.troubles == []
