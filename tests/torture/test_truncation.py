"""The quick tier of `torture.truncation`."""

import shutil
import sys

import pytest

from torture import runs, truncation


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("truncation")
    for name, n_snps in (("sizes", truncation.N_SNPS), ("flips", 40)):
        (folder / name).mkdir()
        truncation.make_inputs(folder / name, n_snps)
    return folder


@pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
def test_bed_of_any_other_size_is_an_error_before_the_first_pass(folder):
    counts = truncation.check_sizes(folder / "sizes", 40, 700)
    n_bytes = 3 + 4 * truncation.N_SNPS
    assert counts.pop("through the command line") == 2
    assert sum(counts.values()) == n_bytes + truncation.MOST_ADDED


def test_flipped_bits_end_in_an_error_of_lfmm2_or_another_value(folder):
    counts = truncation.check_flips(folder / "flips", None, 29)
    assert set(counts) == set(truncation.INPUTS)
    assert all(len(found) > 1 for name, found in counts.items() if name != "d.bed")


@pytest.mark.skipif(sys.platform != "linux", reason="forks workers")
def test_bed_that_changes_during_a_run_is_a_read_error(tmp_path):
    counts = truncation.check_changes(tmp_path, 6)
    assert counts["runs"] == 6


@pytest.mark.skipif(sys.platform != "linux", reason="forks workers")
def test_a_change_that_is_not_noticed_is_a_violation(tmp_path, monkeypatch):
    monkeypatch.setattr(truncation, "CHANGES", (shutil.os.stat,))
    with pytest.raises(AssertionError, match="exit code 0"):
        truncation.check_changes(tmp_path, 2)


def test_an_error_of_another_kind_is_noticed(folder, monkeypatch):
    monkeypatch.setattr(truncation, "BED_ERRORS", (runs.Unavailable,))
    with pytest.raises(truncation.lfmm2.MalformedInputError):
        truncation.check_sizes(folder / "sizes", 40, 700)
