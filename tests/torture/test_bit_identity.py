"""The quick tier of `torture.bit_identity`."""

import pytest

from torture import bit_identity


def test_bits_are_the_same_for_any_threads_and_memory():
    found = bit_identity.run(full=False)
    assert [counts["runs"] for counts in found["data sets"].values()] == [2 * (1 + 2)] * 4


def test_other_bits_are_noticed(monkeypatch):
    real, calls = bit_identity.digest, []

    def other(result):
        calls.append(0)
        return real(result) if len(calls) < 4 else "0" * 64

    monkeypatch.setattr(bit_identity, "digest", other)
    with pytest.raises(AssertionError, match="other bits"):
        bit_identity.run(full=False)
