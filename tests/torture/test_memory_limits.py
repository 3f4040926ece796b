"""The quick tier of `torture.memory_limits`."""

import sys

import pytest

from torture import memory_limits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")


def test_runs_keep_their_budget():
    found = memory_limits.run(full=False)
    assert [case["hard limit"] for case in found["found"]] == ["complete"] * 2


def test_a_run_that_takes_more_is_noticed(monkeypatch):
    # a process that says it has a tenth of the budget that it has
    real = memory_limits.Bench.arguments
    monkeypatch.setattr(memory_limits.Bench, "arguments", lambda self, memory: real(self, 10 * memory))
    with pytest.raises(AssertionError):
        memory_limits.run(full=False)
