"""Packing and writing of filesets: .bed bytes, defaults, refusals."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from plain_bed import read_dosages

from lfmm2.errors import OutputExistsError, UsageError
from lfmm2.genotypes.plink_writer import encode_bed, write_plink

CODES = {0: 0b00, 1: 0b10, 2: 0b11, -1: 0b01}


# encode_bed


@pytest.mark.parametrize("n_samples", range(1, 10))
def test_encode_bed_packs_four_samples_per_byte(n_samples: int) -> None:
    calls = np.random.default_rng(n_samples).integers(-1, 3, (20, n_samples)).astype(np.int8)
    expected = np.zeros((20, (n_samples + 3) // 4), dtype=np.uint8)
    for snp in range(20):
        for sample in range(n_samples):
            expected[snp, sample // 4] |= CODES[int(calls[snp, sample])] << 2 * (sample % 4)
    packed = encode_bed(calls)
    assert packed.dtype == np.uint8
    assert packed.flags.c_contiguous
    np.testing.assert_array_equal(packed, expected)


def test_encode_bed_takes_255_as_missing() -> None:
    calls = np.array([[0, 1, 2, -1, -1]], dtype=np.int8)
    np.testing.assert_array_equal(encode_bed(calls.view(np.uint8)), encode_bed(calls))


def test_encode_bed_takes_strided_and_read_only_arrays() -> None:
    calls = np.random.default_rng(0).integers(-1, 3, (14, 12)).astype(np.int8)
    calls.flags.writeable = False
    np.testing.assert_array_equal(encode_bed(calls.T[::2]), encode_bed(calls.T[::2].copy()))


@pytest.mark.parametrize(("shape", "packed"), [((0, 5), (0, 2)), ((3, 0), (3, 0)), ((0, 0), (0, 0))])
def test_encode_bed_takes_empty_arrays(shape: tuple[int, int], packed: tuple[int, int]) -> None:
    assert encode_bed(np.zeros(shape, dtype=np.int8)).shape == packed


def test_encode_bed_names_the_place_of_a_wrong_dosage() -> None:
    calls = np.zeros((3, 6), dtype=np.int8)
    calls[2, 5] = 3
    with pytest.raises(UsageError, match="dosage 3 at SNP 2, sample 5"):
        encode_bed(calls)


@pytest.mark.parametrize("calls", [np.zeros(4, dtype=np.int8), np.zeros((2, 2)), np.zeros((2, 2), dtype=int)])
def test_encode_bed_refuses_other_shapes_and_types(calls: NDArray[Any]) -> None:
    with pytest.raises(UsageError, match="pass an int8 or uint8 array"):
        encode_bed(calls)


# write_plink


@pytest.mark.parametrize("n_samples", range(1, 10))
def test_write_plink_reads_back(tmp_path: Path, n_samples: int) -> None:
    calls = np.random.default_rng(n_samples).choice([0.0, 1.0, 2.0, np.nan], (7, n_samples))
    bed = write_plink(tmp_path / "data.chr1", calls)
    assert bed == tmp_path / "data.chr1.bed"
    np.testing.assert_array_equal(read_dosages(bed, n_samples), calls)


def test_write_plink_writes_the_given_names(tmp_path: Path) -> None:
    write_plink(
        tmp_path / "x",
        np.zeros((2, 3), dtype=np.uint8),
        iid=["a", "b", "c"],
        fid=["f", "f", "g"],
        snp_ids=["rs1", "rs2"],
        chromosomes=["X", 2],
        positions=[5, 9],
        alleles=[("A", "C"), ("AT", "*")],
    )
    assert (tmp_path / "x.bim").read_text() == "X\trs1\t0\t5\tA\tC\n2\trs2\t0\t9\tAT\t*\n"
    assert (tmp_path / "x.fam").read_text() == "f\ta\t0\t0\t0\t-9\nf\tb\t0\t0\t0\t-9\ng\tc\t0\t0\t0\t-9\n"


def test_write_plink_has_defaults_for_all_names(tmp_path: Path) -> None:
    write_plink(tmp_path / "x", [[1], [2]])
    assert (tmp_path / "x.bim").read_text() == "1\tsnp0000001\t0\t1000\tA\tG\n1\tsnp0000002\t0\t2000\tA\tG\n"
    assert (tmp_path / "x.fam").read_text() == "0\ts0001\t0\t0\t0\t-9\n"


def test_write_plink_takes_minus_one_and_255_of_any_integer_type(tmp_path: Path) -> None:
    bed = write_plink(tmp_path / "x", np.array([[0, 255, 2], [-1, 1, 0]], dtype=np.int64))
    np.testing.assert_array_equal(read_dosages(bed, 3), [[0, np.nan, 2], [np.nan, 1, 0]])


@pytest.mark.parametrize("value", [0.5, 3, -9, np.inf, 257])
def test_write_plink_refuses_other_dosages(tmp_path: Path, value: float) -> None:
    with pytest.raises(UsageError, match="at SNP 1, sample 0"):
        write_plink(tmp_path / "x", [[0.0, 1.0], [value, 2.0]])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("names", [{"iid": ["a"]}, {"alleles": [("A", "C")]}, {"positions": [1, 2, 3]}])
def test_write_plink_refuses_names_of_another_length(tmp_path: Path, names: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="but dosages have 2"):
        write_plink(tmp_path / "x", np.zeros((2, 2)), **names)


def test_write_plink_takes_masked_dosages_as_missing(tmp_path: Path) -> None:
    masked = np.ma.array([[0, 1, 2], [2, 9, 0]], mask=[[False, True, False], [False, True, False]])
    bed = write_plink(tmp_path / "masked", masked)
    assert np.array_equal(read_dosages(bed, 3), [[0, np.nan, 2], [2, np.nan, 0]], equal_nan=True)


def test_write_plink_refuses_what_is_no_array(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"of type list are no array .*; pass numbers in an array"):
        write_plink(tmp_path / "ragged", [[0, 1], [0]])


def test_write_plink_refuses_existing_files(tmp_path: Path) -> None:
    write_plink(tmp_path / "x", [[0, 1]])
    with pytest.raises(OutputExistsError, match=r"x\.bim, .*x\.fam, .*x\.bed\b"):
        write_plink(tmp_path / "x", [[2, 2]])
    bed = write_plink(tmp_path / "x", [[2, 2]], overwrite=True)
    np.testing.assert_array_equal(read_dosages(bed, 2), [[2, 2]])


def test_plink_writer_examples_run() -> None:
    result = doctest.testmod(sys.modules["lfmm2.genotypes.plink_writer"])
    assert result.attempted == 4
    assert result.failed == 0
