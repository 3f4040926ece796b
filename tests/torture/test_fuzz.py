"""The quick tier of `torture.fuzz`: the same mutations of valid files in every run, without atheris."""

import pytest

from torture import fuzz


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_mutated_input_ends_with_an_error_of_lfmm2_or_none(name):
    counts = fuzz.mutate_target(name, fuzz.TARGETS[name].quick)
    assert sum(counts.values()) == fuzz.TARGETS[name].quick
    # neither all nor none of the mutations matter
    assert name == "state" or len(counts) > 1


def test_another_exception_is_noticed(monkeypatch):
    def act(yard, data):
        if b"\xff" in data:
            raise IndexError("beyond the end")

    monkeypatch.setitem(fuzz.TARGETS, "lists", fuzz.Target(fuzz.list_seeds, act))
    with pytest.raises(AssertionError, match=r"lists: IndexError: beyond the end, from 1 bytes b'\\xff'"):
        fuzz.mutate_target("lists", 500)
