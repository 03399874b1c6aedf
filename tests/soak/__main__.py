"""`python -m tests.soak kills|reads`: the runs that take as long as they are given, and end with one JSON object.

kills: a whole installation under load from all connectors, whose processes die at every numbered step and at any
moment; then the whole index is compared with the log. Exit code 1 where anything differs.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

from tests.soak import crashes, reads


def main() -> int:
    """Parse, run, print. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    of_kills = verbs.add_parser("kills", help="kill and stop processes of a whole installation, then compare")
    of_kills.add_argument("--seconds", type=float, default=1500.0, help="how long to write and kill")
    of_kills.add_argument("--seed", type=int, default=1, help="decides who dies when, and what is written")
    of_kills.add_argument("--pause", type=float, default=1.0, help="mean seconds between two batches of a writer")
    of_kills.add_argument("--part-seconds", type=float, default=55.0, help="between kills at any moment")
    of_kills.add_argument("--points", default="", help="only steps whose names begin so, such as `sweep`")
    of_kills.add_argument("--gap", type=float, default=0.0, help="seconds of peace for writers after each death")
    of_kills.add_argument(
        "--least", type=int, default=0, help="go on, twice as long at most, until each point killed so often"
    )
    of_kills.add_argument("--keep", action="store_true", help="leave the folder with logs and data")
    of_reads = verbs.add_parser("reads", help="read during writes on a Weaviate of its own, each read checked")
    of_reads.add_argument("--reads", type=int, default=100_000, help="how many in all")
    of_reads.add_argument("--seconds", type=float, default=7200.0, help="end after so long with fewer")
    of_reads.add_argument("--readers", type=int, default=2, help="processes that read")
    of_reads.add_argument("--seed", type=int, default=1, help="decides what is written and asked")
    for one in (of_kills, of_reads):
        one.add_argument("--json", action="store_true", help="nothing but the JSON object on standard output")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)  # what was started is stopped by any end but SIGKILL
    folder = Path(tempfile.mkdtemp(prefix="millstream-soak-"))
    clock = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - clock:7.1f} s  {text}", file=sys.stderr, flush=True)

    if options.verb == "kills":
        how_often = options.pause, options.part_seconds, options.points, options.gap, options.least
        plan = crashes.Plan(options.seconds, options.seed, *how_often)
        outcome, clean = crashes.run(folder, plan, say)
    else:
        outcome, clean = reads.run(folder, options.reads, options.seconds, options.readers, options.seed, say)
    _print(outcome)
    if options.verb == "kills" and (options.keep or not clean):
        say(f"logs and data: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if clean else 1


def _print(outcome: Mapping[str, object]) -> None:
    print(json.dumps(outcome, indent=2), flush=True)


def _end(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # `timeout` sends it twice
    raise SystemExit(143)


if __name__ == "__main__":
    sys.exit(main())
