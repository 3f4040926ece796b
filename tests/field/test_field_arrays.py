"""Genotypes in memory as people in the field have them: codes of readers, ploidies, frames with IDs, no positions."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from field_data import dense_t, genotypes, same, sample_ids, write_fileset

import lfmm2
from lfmm2.downstream import collect_hits, write_hits
from lfmm2.errors import InconsistentInputError, MalformedInputError, UsageError
from lfmm2.report import write_report
from lfmm2.report.figure_style import as_png
from lfmm2.report.plots import manhattan

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")

N, P = 60, 400
G, POPULATION = genotypes(missing=0.05)
x = np.random.default_rng(5).normal(size=N) + POPULATION
RIGHT = dense_t(G, x, 2)
IDS = sample_ids(N)
FRAME = pd.DataFrame(G, index=IDS, columns=[f"snp{j}" for j in range(P)])
ORDER = np.random.default_rng(6).permutation(N)
TABLE = pd.DataFrame({"rain": x}, index=IDS).iloc[ORDER]
RNG = np.random.default_rng(0)
FREQUENCIES = RNG.uniform(0.2, 0.8, P)


def t_of(Y: object, X: object = x, **options: object) -> np.ndarray:
    return lfmm2.run(None, Y, X, K=2, **options).t


@pytest.mark.parametrize(
    ("code", "dtype"),
    [(9, int), (9, float), (-1, np.int8), (-9, int), (-127, np.int8), (3, np.uint8), (255, np.uint8)],
)
def test_a_code_of_missing_calls_is_asked_about_and_then_heeded(code, dtype):
    coded = np.where(np.isnan(G), code, G).astype(dtype)
    with pytest.raises(MalformedInputError, match=f"give missing_genotype={code} "):
        t_of(coded)
    assert same(t_of(coded, missing_genotype=code), RIGHT)
    assert same(t_of(coded, missing_genotype=[code, -77], ploidy=2), RIGHT)
    assert not same(t_of(coded, missing_genotype=[]), RIGHT)


def test_codes_are_heeded_in_the_estimation_set_and_by_both_halves():
    coded = np.where(np.isnan(G), 9, G)
    assert same(lfmm2.run(coded, G, x, K=2, missing_genotype=9).t, RIGHT)
    factors = lfmm2.estimate_factors(coded, x, K=2, missing_genotype=9)
    assert same(lfmm2.test_associations(coded, x, factors, missing_genotype=9).t, RIGHT)
    with pytest.raises(MalformedInputError, match="missing_genotype=9"):
        lfmm2.test_associations(coded, x, factors)


def test_masked_and_nullable_values_are_missing():
    filled = np.nan_to_num(G, nan=2.0)
    assert same(t_of(np.ma.array(filled, mask=np.isnan(G))), RIGHT)
    assert same(t_of(np.ma.array(filled.astype(np.int8), mask=np.isnan(G)), ploidy=2), RIGHT)
    for dtype in ("Int8", "UInt8", "Float32", "int8[pyarrow]", "double[pyarrow]"):
        assert same(t_of(FRAME.astype(dtype), TABLE), RIGHT), dtype
    mixed = FRAME.astype({"snp3": "Int8", "snp7": "Float64"})
    assert same(t_of(mixed, TABLE), RIGHT)


@pytest.mark.parametrize(
    ("Y", "options", "divisor"),
    [
        (np.clip(FREQUENCIES + 0.1 * RNG.normal(size=(N, P)), 0, 1), {}, None),
        (np.clip(FREQUENCIES + 0.1 * RNG.normal(size=(N, P)), 0, 1), {"ploidy": 1}, 1),
        (RNG.binomial(1, FREQUENCIES, (N, P)), {}, None),
        (RNG.binomial(1, FREQUENCIES, (N, P)), {"ploidy": 1}, 1),
        (RNG.binomial(2, FREQUENCIES, (N, P)), {}, 2),
        (RNG.binomial(4, FREQUENCIES, (N, P)), {}, None),
        (RNG.binomial(4, FREQUENCIES, (N, P)), {"ploidy": 4}, 4),
        (np.clip(RNG.binomial(2, FREQUENCIES, (N, P)) + 0.1 * RNG.normal(size=(N, P)), 0, 2), {}, None),
        (RNG.normal(0, 3, (N, P)), {}, None),
        (RNG.poisson(7, (N, P)), {}, None),
    ],
)
def test_frequencies_are_those_of_the_ploidy_or_missing(Y, options, divisor):
    result = lfmm2.run(None, Y, x, K=2, sweep="1:2", **options)
    expected = np.full(P, np.nan) if divisor is None else Y.mean(axis=0) / divisor
    np.testing.assert_allclose(result.frequency, expected, rtol=1e-12)
    assert result.table("env1")["A1_FREQ"].null_count == (P if divisor is None else 0)
    assert np.isfinite(result.t).all()


@pytest.mark.parametrize("covar", [None, "frame"])
def test_rows_are_matched_by_the_index_on_both_sides(covar):
    age = RNG.normal(size=N)
    by_row = None if covar is None else age
    by_index = None if covar is None else pd.Series(age, index=IDS, name="age").iloc[ORDER[::-1]]
    expected = t_of(G, x, covar=by_row)
    assert same(t_of(FRAME, TABLE, covar=by_index), expected)
    assert same(t_of(FRAME.iloc[ORDER], TABLE["rain"], covar=by_index), expected)
    assert same(t_of(FRAME.iloc[ORDER], x[ORDER], covar=None if covar is None else age[ORDER]), expected)


@pytest.mark.filterwarnings("ignore:.*lack more than half of the calls:lfmm2.errors.InputWarning")
def test_results_have_the_ids_of_the_frame():
    result = lfmm2.run(None, FRAME.iloc[ORDER], TABLE, K=2)
    assert list(result.sample_ids) == [IDS[i] for i in ORDER]
    assert result.table("rain")["ID"].to_pylist() == list(FRAME.columns)
    few = ["snp399", "snp3", "snp17"]
    chosen = lfmm2.run(FRAME, FRAME.fillna(0), TABLE, K=2, extract=few).table("rain")
    assert chosen["ID"].to_pylist() == ["snp3", "snp17", "snp399"]
    with pytest.raises(UsageError, match="--extract needs SNP IDs, and an array has none"):
        lfmm2.run(None, G, x, K=2, extract=few)


def test_frames_and_filesets_stand_beside_each_other(tmp_path):
    write_fileset(str(tmp_path / "d"), G)
    expected = lfmm2.run(None, tmp_path / "d", TABLE, K=2)
    assert same(lfmm2.run(FRAME.iloc[ORDER], tmp_path / "d", TABLE, K=2).t, expected.t)
    assert same(lfmm2.run(tmp_path / "d", FRAME.iloc[ORDER], TABLE, K=2).t, expected.t)
    factors = lfmm2.estimate_factors(FRAME, TABLE, K=2)
    assert same(lfmm2.test_associations(FRAME.iloc[ORDER], TABLE, factors).t, expected.t)
    np.testing.assert_allclose(lfmm2.run(None, FRAME, TABLE, K=2).frequency, expected.frequency, rtol=1e-12)


def test_a_table_of_more_samples_than_the_frame_is_no_transposed_one():
    more = pd.DataFrame({"rain": np.r_[x, np.arange(P - N)]}, index=[*IDS, *(f"o{i}" for i in range(P - N))])
    assert same(t_of(FRAME, more), RIGHT)


def test_samples_that_are_columns_of_a_frame_are_known_by_their_ids():
    square, climate = FRAME.iloc[:, :N], pd.DataFrame({"rain": x, "site": "a"}, index=IDS)
    other = climate.rename(index={"s001": "another"})
    for table in (climate, other, climate.reset_index(names="plant"), climate["rain"].iloc[ORDER[:50]]):
        with pytest.raises(InconsistentInputError, match=r"the IDs of X are names of columns .*genotypes\.T"):
            lfmm2.run(None, square.T, table, K=2)


def test_ids_that_count_rows_on_one_side_only_are_refused():
    numbered = pd.DataFrame(G, index=np.arange(1, N + 1))
    shuffled = pd.DataFrame(G, index=np.arange(1, N + 1)).iloc[ORDER]
    with pytest.raises(InconsistentInputError, match=r"in another order.*give sample IDs on both sides"):
        lfmm2.run(shuffled, G, x, K=2)
    rain = pd.Series(x, index=pd.Index(np.arange(1, N + 1), name="IID"), name="rain")
    assert same(t_of(shuffled, rain), RIGHT)
    assert same(lfmm2.run(shuffled, numbered, rain, K=2).t, RIGHT)


def test_an_estimation_array_in_columns_is_said_to_be_transposed():
    with pytest.raises(InconsistentInputError, match=r"the estimation set has 400 rows.*give it as \.T"):
        lfmm2.run(G.T, G, x, K=2)


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """Results of an array of methylation in which two features follow the variable."""
    Y = RNG.normal(0, 1, (N, P))
    Y[:, [7, 300]] += 3 * x[:, None]
    prefix = tmp_path_factory.mktemp("array") / "m"
    lfmm2.run(None, Y, x, K=2, out=prefix)
    return prefix


def test_features_of_an_array_have_no_places(written, tmp_path):
    table = lfmm2.read_results(written).table("env1")
    assert set(table["POS"].to_pylist()) == {0}
    hits = collect_hits(written, clump="50kb")
    assert {"8", "301"} <= set(hits.table["ID"].to_pylist())
    assert set(hits.table["N_CLUMPED"].to_pylist()) == {0}
    assert hits.table["A1_FREQ"].null_count == len(hits.table)
    bed = write_hits(tmp_path / "h", hits)["bed"].read_text().splitlines()
    assert len(bed) == 1
    said = hits.summary()
    assert re.search(r"in \d clumps?, each of one feature, because none has a place", said["hits of env1"])
    assert "no position, and are not in the .bed file" in said["without a place"]
    assert "clump" not in collect_hits(written).summary()["hits of env1"]


def test_report_of_an_array_has_no_bases(written, tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    once = lru_cache(lambda: as_png(manhattan(written, "env1"), 20))
    monkeypatch.setattr("lfmm2.report.report_writer.as_png", lambda *_: once())  # most of the time is for pictures
    (page,) = write_report(written, tmp_path / "r.html", dpi=20)
    text = page.read_text()
    assert "without positions" in text
    assert "They have no positions, so none is near another" in text
    assert " kb" not in text
    axes = manhattan(written, "env1")
    assert "number of the feature" in axes.get_xlabel()
    assert [tick.get_text() for tick in axes.get_xticklabels()][:2] == ["50", "100"]


def made_array(kind: str, rng: np.random.Generator) -> np.ndarray:
    """An array (30, 80) of one kind of numbers, of samples from three populations."""
    f = np.clip(rng.uniform(0.2, 0.8, 80) + rng.normal(0, 0.1, (3, 80)), 0.05, 0.95)[np.arange(30) % 3]
    return {
        "haploid": lambda: rng.binomial(1, f),
        "diploid": lambda: rng.binomial(2, f),
        "tetraploid": lambda: rng.binomial(4, f),
        "octoploid": lambda: rng.binomial(8, f),
        "pools": lambda: np.clip(f + 0.1 * rng.normal(size=f.shape), 0, 1),
        "dosages": lambda: np.clip(2 * f + 0.3 * rng.normal(size=f.shape), 0, 2),
        "M values": lambda: rng.normal(0, 2, f.shape) + 3 * f,
        "expression": lambda: np.abs(rng.normal(6, 2, f.shape)) + f,
        "counts": lambda: rng.poisson(20 * f),
    }[kind]().astype(float)


@pytest.mark.parametrize(
    ("kind", "container"),
    [
        ("haploid", "array"),
        ("diploid", "columns first"),
        ("tetraploid", "nullable"),
        ("octoploid", "masked"),
        ("pools", "frame"),
        ("dosages", "array"),
        ("M values", "nullable"),
        ("expression", "columns first"),
        ("counts", "masked"),
    ],
)
def test_any_array_has_the_right_t_or_is_asked_about(kind, container):
    rng = np.random.default_rng(len(kind) + 7 * len(container))
    complete, X = made_array(kind, rng), rng.normal(size=30) + np.arange(30) % 3
    is_missing = rng.random(complete.shape) < 0.03
    values = np.where(is_missing, np.nan, complete)
    code = rng.choice([-9, -1, 9, 255, -127, -9999])
    if np.isin(code, complete):
        code = -9
    coded = np.where(is_missing, code, complete)
    make = {
        "array": lambda Y: Y,
        "columns first": np.asfortranarray,
        "frame": pd.DataFrame,
        "masked": lambda Y: np.ma.array(coded, mask=is_missing) if Y is values else Y,
        "nullable": lambda Y: pd.DataFrame(Y).convert_dtypes(),
    }[container]
    right = dense_t(values, X, 2)
    assert same(t_of(make(values), X), right)
    with pytest.raises(MalformedInputError, match=f"missing_genotype={code}"):
        t_of(make(coded), X)
    assert same(t_of(make(coded), X, missing_genotype=code), right)
