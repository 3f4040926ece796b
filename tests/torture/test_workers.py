"""Workers that are killed or stopped, and runs that are killed: the quick tier of tests/torture/workers.py."""

from __future__ import annotations

import pytest

from torture import workers
from torture.runs import Unavailable


def test_disturbed_runs_with_workers_give_the_bytes_of_one_process() -> None:
    try:
        counts = workers.run(full=False)
    except Unavailable as reason:
        pytest.skip(str(reason))
    assert counts["violations"] == 0
    assert counts["runs"] == sum(workers.QUICK.values())
