"""A fixed selection of disks that are too small, each run resumed on a larger one."""

import json

import pytest

from torture import disk_full, runs


def test_full_disks_leave_complete_results_or_none():
    try:
        counts = disk_full.run(full=False)
    except runs.Unavailable as error:
        pytest.skip(str(error))
    assert counts["complete"] >= 1
    assert counts["refused_or_full"] >= 1
    assert counts["violations"] == 0
    json.dumps(counts)
