"""Kills at a fixed selection of system calls and times, each followed by --resume."""

import json

import pytest

from torture import kills, runs


def test_resumed_results_are_those_of_an_undisturbed_run():
    try:
        counts = kills.run(full=False)
    except runs.Unavailable as error:
        pytest.skip(str(error))
    assert counts["at_calls"]["kills"] >= 0.8 * kills.N_QUICK_POINTS
    assert counts["at_times"]["kills"] >= 1
    assert counts["at_calls"]["violations"] == counts["at_times"]["violations"] == 0
    json.dumps(counts)
