"""Genotypes of any kind are opened by one function."""

import numpy as np
import pytest

import lfmm2
from lfmm2.genotypes import source_kinds
from lfmm2.genotypes.array_source import ArraySource
from lfmm2.genotypes.plink_writer import write_plink
from lfmm2.genotypes.source_kinds import open_source


@pytest.mark.parametrize("end", ["", ".bed"])
@pytest.mark.parametrize("kind", [str, lambda path: path])
def test_paths_and_prefixes_are_opened(tmp_path, end, kind):
    path = write_plink(tmp_path / "x.chr1", np.ones((3, 5)))
    with open_source(kind(path.with_name(f"x.chr1{end}"))) as opened:
        assert isinstance(opened, lfmm2.BedFile)
        assert opened.path == path
        assert open_source(opened) is opened


def test_all_else_is_an_array():
    for values in ([[0, 1], [2, 1]], np.ones((2, 2)), np.ones((2, 2), np.int8)):
        opened = open_source(values)
        assert isinstance(opened, ArraySource)
        assert (opened.n_samples, opened.n_snps) == (2, 2)
    with pytest.raises(lfmm2.InconsistentInputError, match="shape"):
        open_source([0, 1, 2])


def test_files_are_opened_by_the_end_of_their_name(monkeypatch):
    monkeypatch.setitem(source_kinds.KINDS_OF_FILE, ".npz", lambda path: ("opened", path))
    assert open_source("x.bed.npz") == ("opened", "x.bed.npz")
