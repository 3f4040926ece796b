"""Genotypes of a line of a VCF, against a reading of the specification one step after another."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lfmm2.kernels import _vcf

READ = _vcf.READ


def plain_call(call: str) -> int | None:
    """Copies of REF of a GT; None if it is none of a biallelic diploid or haploid."""
    if not re.fullmatch(r"[01.]([/|][01.])?", call):
        return None
    alleles = re.split(r"[/|]", call)
    if "." in alleles:
        return -1
    return alleles.count("0") * (2 if len(alleles) == 1 else 1)


def read(text: str, n_samples: int, field: int = 0) -> tuple[int, int, list[int]]:
    dosages = np.full(n_samples, 77, np.int8)
    answer, sample = _vcf.read_genotypes(text.encode(), field, dosages)
    return answer, sample, dosages.tolist()


CALLS = [a + mark + b for a in "01." for b in "01." for mark in "/|"] + ["0", "1", "."]


@pytest.mark.parametrize("n_samples", range(1, 10))
def test_calls_are_read(n_samples):
    rng = np.random.default_rng(n_samples)
    for _ in range(50):
        calls = [CALLS[k] for k in rng.integers(0, len(CALLS), n_samples)]
        answer, sample, dosages = read("\t".join(calls), n_samples)
        assert (answer, sample) == (READ, n_samples - 1)
        assert dosages == [plain_call(call) for call in calls]


@pytest.mark.parametrize("field", range(4))
def test_field_of_the_calls_is_found(field):
    cells = ["9", "8,8", "x.y"]
    columns = [":".join([*cells[:field], call, "7"]) for call in CALLS]
    assert read("\t".join(columns), len(CALLS), field)[2] == [plain_call(call) for call in CALLS]


def test_fields_that_are_left_out_are_missing():
    assert read("9\t8:7\t5:6:0/1\t.", 4, 2) == (READ, 3, [-1, -1, 1, -1])


@pytest.mark.parametrize(
    "call", ["", "x", "0/", "/0", "0/x", "00", "0//1", "0/1 ", "-1", "1/-1", "0\\1", "./.x", "0/1/"]
)
def test_what_is_no_call_is_told(call):
    answer, sample, _ = read(f"0/0\t{call}\t0/0", 3)
    assert (answer, sample) == (_vcf.BAD_CALL, 1)


@pytest.mark.parametrize("call", ["2", "0/2", "1|3", "10/0", "0/11", "9/9"])
def test_higher_alleles_are_told(call):
    assert read(f"0/0\t0/1\t{call}", 3)[:2] == (_vcf.HIGH_ALLELE, 2)


@pytest.mark.parametrize("call", ["0/0/0", "0|1|.", "./././."])
def test_polyploid_calls_are_told(call):
    assert read(f"{call}\t0/1", 2)[:2] == (_vcf.POLYPLOID, 0)


def test_number_of_columns_is_checked():
    assert read("0/0\t0/1", 3)[:2] == (_vcf.FEW_COLUMNS, 1)
    assert read("0/0\t0/1\t1/1\t0/0", 3)[0] == _vcf.MANY_COLUMNS
    assert read("0/0\t0/1\t", 2)[0] == _vcf.MANY_COLUMNS
    assert read("0/0\t0/1\t", 3)[:2] == (_vcf.BAD_CALL, 2)
    assert read("", 2)[0] == _vcf.FEW_COLUMNS
    assert read("", 0)[0] == READ


def test_random_bytes_are_read_within_their_ends():
    rng = np.random.default_rng(2)
    letters = np.frombuffer(b"01./|:\t2x", np.uint8)
    for _ in range(2000):
        text = letters[rng.integers(0, len(letters), rng.integers(0, 20))].tobytes().decode()
        answer, sample, dosages = read(text, 4, int(rng.integers(0, 3)))
        assert answer in range(6)
        assert 0 <= sample < 4
        assert answer != READ or set(dosages) <= {-1, 0, 1, 2}


def read_numbers(text: str, n_samples: int, gt: int = 0, field: int = 1, gp: bool = False):
    dosages = np.full(n_samples, 77, np.float32)
    answer, sample, n_called = _vcf.read_dosages(text.encode(), gt, field, gp, dosages)
    return answer, sample, n_called, dosages


def test_dosages_are_those_of_plink2():
    # plink2 --vcf x dosage=DS --vcf-half-call m --export A-transpose, turned to copies of ALT
    text = "0/1:.\t./.:1.3\t0/0:0.7\t1/1\t./.:.\t1:0.8\t0/1:0.02\t./1:.\t.:0.5"
    answer, _, n_called, dosages = read_numbers(text, 9)
    wanted = np.array([1, 1.3, 0.7, 2, np.nan, 1.6, 0.02, np.nan, 1], np.float32)
    np.testing.assert_array_equal(dosages, wanted)
    assert (answer, n_called) == (READ, 2)


def test_numbers_are_those_of_python():
    rng = np.random.default_rng(4)
    texts = [
        "0",
        "2",
        "1.",
        ".5",
        "+1.25",
        "1e-3",
        "1.5E+0",
        "0.000000000000000000000000000001",
        "2.0000000000000000000",
    ]
    texts += [f"{x:.{k % 18}f}" for k, x in enumerate(rng.uniform(0, 2, 200))] + [
        repr(x) for x in rng.uniform(0, 2, 99).tolist()
    ]
    answer, *_, dosages = read_numbers("\t".join(texts), len(texts), -1, 0)
    assert answer == READ
    np.testing.assert_array_equal(dosages, np.array([float(text) for text in texts], np.float32))


def test_probabilities_are_added():
    text = "0,1,0\t0.5,0.3,0.2\t.\t.,.,.\t0,0,0\t0.2,0.8\t0.33,0.33,0.33"
    *_, dosages = read_numbers(text, 7, -1, 0, True)
    wanted = np.array([1, 0.3 + 0.4, np.nan, np.nan, np.nan, 1.6, 1], np.float32)
    np.testing.assert_allclose(dosages, wanted, rtol=1e-7)


@pytest.mark.parametrize(
    ("text", "gp", "answer"),
    [("0/0:x", False, _vcf.BAD_NUMBER), ("0/0:1.2.3", False, _vcf.BAD_NUMBER), ("0/0:", False, _vcf.BAD_NUMBER),
     ("0/0:1,0.5", False, _vcf.BAD_NUMBER), ("0/0:nan", False, _vcf.BAD_NUMBER), ("0/0:1e", False, _vcf.BAD_NUMBER),
     ("0/0:2.1", False, _vcf.OUT_OF_RANGE), ("0/0:-0.1", False, _vcf.OUT_OF_RANGE), ("1:1.3", False, _vcf.OUT_OF_RANGE),
     ("0/0:1e9999", False, _vcf.OUT_OF_RANGE), ("0/0:0,23,45", True, _vcf.OUT_OF_RANGE),
     ("0/0:0.5,0.3,0.1", True, _vcf.OUT_OF_RANGE), ("0/0:1", True, _vcf.BAD_NUMBER),
     ("0/0:0.1,0.2,0.3,0.4", True, _vcf.BAD_NUMBER), ("0/2:.", False, _vcf.HIGH_ALLELE),
     ("0/2:1", False, _vcf.HIGH_ALLELE), ("0/1/1:1", False, _vcf.POLYPLOID), ("x:.", False, _vcf.BAD_CALL)],
)  # fmt: skip
def test_what_is_no_dosage_is_told(text, gp, answer):
    assert read_numbers(f"{text}\t0/0:0", 2, gp=gp)[:2] == (answer, 0)


def test_random_numbers_are_read_within_their_ends():
    rng = np.random.default_rng(5)
    letters = np.frombuffer(b"01./:\t2.e-,", np.uint8)
    for _ in range(2000):
        text = letters[rng.integers(0, len(letters), rng.integers(0, 24))].tobytes().decode()
        gt, field = rng.integers(-1, 3, 2).tolist()
        answer, sample, _, dosages = read_numbers(text, 4, gt, field, bool(rng.integers(0, 2)))
        assert 0 <= sample < 4
        assert answer in range(8)
        assert answer != READ or not (dosages > 2.001).any()
