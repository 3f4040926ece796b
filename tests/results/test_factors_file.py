"""Factors on disk: the same again, and a clear error for anything else."""

from dataclasses import fields, replace

import numpy as np
import pytest

import lfmm2
from lfmm2.model.factors import LatentFactors
from lfmm2.model.spectrum import Spectrum
from lfmm2.results.factors_file import factors_table, read_factors, write_factors

RNG = np.random.default_rng(0)
FACTORS = LatentFactors(
    RNG.standard_normal((5, 2)), np.array([3.0, 2.0]), np.array([1e-9, 1e-5]), np.inf, "krylov", "as asked", 7, True,
    RNG.standard_normal((5, 2)), 1e-5, 300, ("a", "b", "ü", "d e", ""),
)  # fmt: skip


def stored(tmp_path, factors):
    with (tmp_path / "f.npz").open("wb") as file:
        write_factors(file, factors)
    return read_factors(tmp_path / "f.npz")


@pytest.mark.parametrize("factors", [FACTORS, replace(FACTORS, sample_ids=()), FACTORS.leading(0)])
def test_factors_come_back_as_they_were(tmp_path, factors):
    again = stored(tmp_path, factors)
    for field in fields(LatentFactors):
        before, after = getattr(factors, field.name), getattr(again, field.name)
        assert type(before) is type(after), field.name
        np.testing.assert_array_equal(before, after, field.name)


def test_factors_table_has_both_ids_and_a_column_for_each_factor():
    table = factors_table(FACTORS, ["f"] * 5, FACTORS.sample_ids)
    assert table.column_names == ["FID", "IID", "factor1", "factor2"]
    assert table["IID"].to_pylist() == list(FACTORS.sample_ids)
    assert set(table["FID"].to_pylist()) == {"f"}
    assert np.array_equal(np.column_stack([table["factor1"], table["factor2"]]), FACTORS.U)


SPECTRUM = Spectrum(
    np.array([9.0, 4.0, 1.0]), 15.0, 99.5, 3, RNG.random(5), RNG.random(5), FACTORS.n_snps, FACTORS.loadings_map,
    total_cubes=794.0,
)  # fmt: skip


def test_spectrum_comes_back_as_it_was(tmp_path):
    again = stored(tmp_path, replace(FACTORS, spectrum=SPECTRUM)).spectrum
    for field in fields(Spectrum):
        before, after = getattr(SPECTRUM, field.name), getattr(again, field.name)
        assert type(before) is type(after), field.name
        np.testing.assert_array_equal(before, after, field.name)


def test_spectrum_of_leading_factors_comes_back_with_their_vectors(tmp_path):
    again = stored(tmp_path, replace(FACTORS, spectrum=SPECTRUM).leading(1)).spectrum
    assert np.array_equal(again.eigenvalues, SPECTRUM.eigenvalues)
    assert np.array_equal(again.vectors, FACTORS.loadings_map[:, :1])


def test_files_without_a_spectrum_are_read(tmp_path):
    stored(tmp_path, FACTORS)
    with np.load(tmp_path / "f.npz") as arrays:
        assert not any(name.startswith("spectrum") for name in arrays.files)
    assert read_factors(tmp_path / "f.npz").spectrum is None


@pytest.mark.parametrize("lost", ["spectrum_total", "spectrum_sample_weights"])
def test_half_a_spectrum_is_malformed(tmp_path, lost):
    stored(tmp_path, replace(FACTORS, spectrum=SPECTRUM))
    with np.load(tmp_path / "f.npz") as arrays:
        kept = {name: arrays[name] for name in arrays.files if name != lost}
    np.savez(tmp_path / "f.npz", **kept)
    with pytest.raises(lfmm2.MalformedInputError, match="is not a factors file"):
        read_factors(tmp_path / "f.npz")


def test_file_holds_no_pickle(tmp_path):
    stored(tmp_path, FACTORS)
    with np.load(tmp_path / "f.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype.kind != "O" for name in arrays.files)


def test_absent_file_is_a_read_error(tmp_path):
    with pytest.raises(lfmm2.ReadError, match=r"f.npz: cannot be read \(No such file"):
        read_factors(tmp_path / "f.npz")


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04 no zip", b"\x93NUMPY"])
def test_other_files_are_malformed(tmp_path, content):
    (tmp_path / "f.npz").write_bytes(content)
    with pytest.raises(lfmm2.MalformedInputError, match="is not a factors file"):
        read_factors(tmp_path / "f.npz")


def test_truncated_file_is_malformed(tmp_path):
    stored(tmp_path, FACTORS)
    (tmp_path / "f.npz").write_bytes((tmp_path / "f.npz").read_bytes()[:-40])
    with pytest.raises(lfmm2.MalformedInputError, match="is not a factors file"):
        read_factors(tmp_path / "f.npz")


def test_other_arrays_are_malformed(tmp_path):
    np.savez(tmp_path / "f.npz", U=np.zeros((3, 1)))
    with pytest.raises(lfmm2.MalformedInputError, match="is not a factors file"):
        read_factors(tmp_path / "f.npz")
    np.save(tmp_path / "f.npy", np.zeros(3))
    with pytest.raises(lfmm2.MalformedInputError, match="is not a factors file"):
        read_factors(tmp_path / "f.npy")
