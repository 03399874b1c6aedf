"""What a stage is given while it seeks at the end of a rebalance is worked on, and nothing is acknowledged over it."""

import json
import subprocess
import sys

from tests.integration.seeking import MANY


def test_no_record_is_passed_over_while_a_stage_seeks() -> None:
    runs = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.integration.seeking", how], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        for how in ("idle", "again")
    ]
    said = [run.communicate(timeout=200)[0] for run in runs]
    assert [json.loads(text) for text in said] == [{"missing": [], "acknowledged": MANY}] * 2
