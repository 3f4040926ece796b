"""Arrays in memory as a source: numbered samples and SNPs, values seen to be finite, options that do not apply."""

import numpy as np
import pytest

import lfmm2
from lfmm2._words import with_spaces
from lfmm2.genotypes import array_source
from lfmm2.genotypes.array_source import ArraySource, digest_of
from lfmm2.genotypes.source import variant_tables


@pytest.mark.parametrize("infinite", [np.inf, -np.inf])
@pytest.mark.parametrize("order", ["C", "F"])
def test_infinite_genotypes_are_found_by_row(engine, monkeypatch, order, infinite):
    monkeypatch.setattr(array_source, "SCANNED_VALUES", 700)
    for place in [(1, 0), (3, 1), (2, 4998), (3, 4999), (1, 2048)]:
        values = np.full((4, 5000), np.nan, np.float32, order=order)
        values[place] = values[3, 4999] = infinite
        shown = f"genotypes, row {place[0] + 1}, column {with_spaces(place[1] + 1)}: is infinite; use NaN"
        with pytest.raises(lfmm2.MalformedInputError, match=shown):
            ArraySource(values).matrix(engine, np.arange(4), None)


def test_samples_and_columns_are_numbered(monkeypatch):
    monkeypatch.setattr(array_source, "DESCRIBED_COLUMNS", 4)
    source = ArraySource([[0, 1, 2, 1, 0, 2]] * 3)
    assert (source.n_samples, source.n_snps, source.has_ids) == (3, 6, False)
    assert source.samples.fid == source.samples.iid == ("1", "2", "3")
    tables = list(source.iter_variants())
    assert [len(table) for table in tables] == [4, 2]
    assert [snp_id for table in tables for snp_id in table["ID"].to_pylist()] == list("123456")
    assert [pos for table in tables for pos in table["POS"].to_pylist()] == [0] * 6
    assert {name for name in ("CHROM", "A1", "A2") if set(tables[0][name].to_pylist()) == {"."}} == {
        "CHROM",
        "A1",
        "A2",
    }


def test_variants_of_an_array_are_numbered():
    (table,) = variant_tables(ArraySource(np.ones((3, 6))), np.array([1, 4]))
    assert table["ID"].to_pylist() == ["2", "5"]


@pytest.mark.parametrize("values", [[0, 1, 2], np.zeros((0, 3)), np.zeros((2, 2, 2)), 5])
def test_arrays_of_another_shape_are_refused(values):
    with pytest.raises(
        lfmm2.InconsistentInputError,
        match=r"genotypes (of shape .*; give an array|are of type int; give a path)",
    ):
        ArraySource(values)


@pytest.mark.parametrize("values", [[["a", "b"]], [[True, False]], [[1j, 2]]])
def test_arrays_of_what_are_no_numbers_are_refused(values):
    with pytest.raises(lfmm2.InconsistentInputError, match="give real numbers"):
        ArraySource(values)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("scale", "scale applies to a .bed; scale the array before it is given"),
        ("count_allele", "count_allele applies to a .bed; an array counts what it counts"),
        ("maf", "maf and geno apply to a .bed; filter the array before it is given"),
        ("geno", "maf and geno apply to a .bed; filter the array before it is given"),
        ("est_thin", "est_thin applies to a .bed; thin the array before it is given"),
        ("extract", "--extract needs SNP IDs, and an array has none; choose columns before the call"),
        ("exclude", "--exclude needs SNP IDs, and an array has none; choose columns before the call"),
        ("est_extract", "--est-extract needs SNP IDs, and an array has none; choose columns before the call"),
        ("impute", ""),
    ],
)
def test_an_array_says_which_options_do_not_apply(option, sentence):
    assert ArraySource(np.ones((2, 3))).refusal(option) == sentence


@pytest.mark.parametrize("options", [{"scale": "hwe"}, {"count_allele": "a1"}])
def test_matrix_of_an_array_refuses_options(engine, options):
    with pytest.raises(lfmm2.UsageError, match=f"{next(iter(options))} applies to a .bed"):
        ArraySource(np.ones((2, 3))).matrix(engine, np.arange(2), None, **options)


def test_identity_of_an_array_follows_values_shape_and_type():
    values = np.arange(6.0).reshape(2, 3)
    identity = ArraySource(values).identity()
    assert list(identity) == ["(array)"]
    assert identity["(array)"].startswith("(2, 3), float64, SHA-256 ")
    assert identity == ArraySource(np.asfortranarray(values)).identity()
    others = [values + (values == 4), values.reshape(3, 2), values.astype(np.float32)]
    assert all(ArraySource(other).identity() != identity for other in others)


def test_digest_tells_where_parts_end():
    assert digest_of(b"a", b"b") != digest_of(b"ab", b"")
    assert digest_of(np.empty(0)) == digest_of(b"")
    assert digest_of(np.arange(3)) == digest_of(np.arange(3).tobytes())
