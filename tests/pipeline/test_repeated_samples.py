"""Runs with samples that repeat a genotype: what they say, what they leave out, and what they write."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import pytest
from conftest import WriteFileset
from numpy.typing import NDArray

import lfmm2
from lfmm2.cli import main
from lfmm2.errors import InconsistentInputError, InputWarning, UsageError
from lfmm2.pipeline import repeated_samples

Floats = NDArray[np.float64]
N, P = 40, 600
# Samples 30 to 39 repeat samples 0 to 4, two of each.
OF = np.concatenate([np.arange(30), np.repeat(np.arange(5), 2)])
REPEAT = "10 of 40 samples repeat the genotype of another"


def clones(missing: float = 0.0) -> tuple[Floats, Floats]:
    """Dosages (N, P) of samples of which some are clones with errors, and a variable of each genotype."""
    rng = np.random.default_rng(1)
    G = rng.binomial(2, rng.uniform(0.2, 0.8, P), (30, P)).astype(float)[OF]
    wrong = rng.random(G.shape) < 0.01
    G[wrong] = rng.binomial(2, 0.5, wrong.sum())
    G[rng.random(G.shape) < missing] = np.nan
    return G, rng.normal(size=(30, 1))[OF]


def independent() -> Floats:
    """A variable that clones do not share, so that nothing inflates its tests."""
    return np.random.default_rng(2).normal(size=(N, 1))


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
def test_no_larger_k_is_advised_where_samples_repeat_others(write_fileset: WriteFileset) -> None:
    rng = np.random.default_rng(3)
    G, X = np.repeat(rng.binomial(2, 0.4, (10, P)), 4, axis=0).astype(float), np.repeat(rng.normal(size=(10, 1)), 4, 0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = lfmm2.run(None, write_fileset(G), X, K=1)
    assert result.gif[0] > 2
    said = [str(warning.message) for warning in caught]
    assert any("30 samples repeat the genotype of another" in text for text in said)
    assert not any("larger K" in text for text in said)


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
def test_run_warns_of_repeats_and_lists_them(tmp_path: Path, write_fileset: WriteFileset) -> None:
    G, X = clones()
    with pytest.warns(
        InputWarning, match=REPEAT + r" \(5 groups, the largest is s0001, s0031, s0032, at most [\d.]+%.*--drop"
    ):
        result = lfmm2.run(None, write_fileset(G), X, K=2, out=tmp_path / "r")
    record = lfmm2.results.open_record(tmp_path / "r.lfmm2.json")
    facts = record.comparison
    assert facts is not None
    assert (facts.n_samples, facts.n_groups, facts.n_repeated, facts.left_out) == (N, 5, 10, [])
    assert any(REPEAT in note for note in record.warnings)
    assert record.n_environments == 30
    table = pyarrow.csv.read_csv(
        tmp_path / "r.samples.tsv", parse_options=pyarrow.csv.ParseOptions(delimiter="\t")
    ).to_pydict()
    assert table["IID"] == list(result.sample_ids)
    assert table["REPEAT_GROUP"][30:] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert table["REPEAT_GROUP"][5:30] == [None] * 25
    assert set(table["KEPT"]) == {"yes"}
    log = (tmp_path / "r.lfmm2.log").read_text()
    assert "30 distinct, of 40 samples" in log
    assert "10 of 40 samples over 600 SNPs, in 5 group(s): s0001, s0031, s0032" in log


@pytest.mark.parametrize("solver", ["exact", "krylov"])
def test_run_without_repeats_is_that_of_the_samples_kept(solver: Any, write_fileset: WriteFileset) -> None:
    G, X = clones()
    result = lfmm2.run(None, write_fileset(G), X, K=2, drop_duplicates=True, solver=solver)
    right = lfmm2.run(None, write_fileset(G[:30]), X[:30], K=2, solver=solver)
    assert result.sample_ids == right.sample_ids
    np.testing.assert_array_equal(result.t, right.t)


def test_sample_with_most_calls_is_kept(tmp_path: Path, write_fileset: WriteFileset) -> None:
    G, X = clones()
    G[[0, 31], :60] = np.nan
    G[1, :30] = np.nan
    G[32:34, :20] = np.nan
    result = lfmm2.run(None, write_fileset(G), X, K=2, drop_duplicates=True, out=tmp_path / "r")
    kept = {int(iid[1:]) - 1 for iid in result.sample_ids}
    assert kept == {*range(2, 30), 30, 32}
    table = (tmp_path / "r.samples.tsv").read_text().splitlines()
    assert [row.split("\t")[-1] for row in table[1:]] == ["yes" if i in kept else "no" for i in range(N)]
    assert (
        "10 of 40 samples over 600 SNPs, in 5 group(s): s0001, s0031, s0032, left out (--drop"
        in (tmp_path / "r.lfmm2.log").read_text()
    )


def test_factors_of_samples_without_repeats_are_taken_by_the_tests(write_fileset: WriteFileset) -> None:
    G, X = clones()
    bed = write_fileset(G)
    factors = lfmm2.estimate_factors(bed, X, 2, drop_duplicates=True)
    result = lfmm2.test_associations(bed, X, factors, drop_duplicates=True)
    np.testing.assert_array_equal(result.t, lfmm2.run(None, bed, X, K=2, drop_duplicates=True).t)


def test_arrays_are_compared_too() -> None:
    G, X = clones(missing=0.1)
    with pytest.warns(InputWarning, match=REPEAT):
        lfmm2.estimate_factors(G, X, 2)
    with pytest.warns(InputWarning, match=r"5 of 35 samples repeat .* \(5 groups, the largest is 1, 31\), but"):
        lfmm2.run(None, np.vstack([G[:30], G[:5]]) + 0.25, X[:35], K=2)


def test_repeats_are_compared_over_the_larger_set(write_fileset: WriteFileset) -> None:
    G, _ = clones()
    tested, rest = write_fileset(G[:, :60]), write_fileset(G)  # 60 alone tell no repeats
    with pytest.warns(InputWarning, match=REPEAT):
        lfmm2.run(rest, tested, independent(), K=2)


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
def test_too_few_snps_tell_no_repeats(tmp_path: Path, write_fileset: WriteFileset) -> None:
    G, X = clones()
    bed = write_fileset(G[:, :60])
    lfmm2.run(None, bed, independent(), K=2, out=tmp_path / "r")
    assert "cannot be told from chance over 60 SNPs" in (tmp_path / "r.lfmm2.log").read_text()
    with pytest.raises(InconsistentInputError, match=r"--drop-duplicates: two samples differ at \d+ of 60 SNPs"):
        lfmm2.run(None, bed, X, K=2, drop_duplicates=True)


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
def test_more_samples_than_can_be_compared_are_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(repeated_samples, "MOST_COMPARED_SAMPLES", N - 1)
    G, X = clones()
    lfmm2.run(None, G, independent(), K=2, out=tmp_path / "r")
    assert not (tmp_path / "r.samples.tsv").exists()
    with pytest.raises(UsageError, match="--drop-duplicates compares at most 39 samples, of 40"):
        lfmm2.run(None, G, X, K=2, drop_duplicates=True)


def test_means_of_variables_and_repeats_left_out_do_not_go_together() -> None:
    G, X = clones()
    with pytest.raises(UsageError, match="--missing mean has taken means"):
        lfmm2.run(None, G, X, K=2, drop_duplicates=True, missing="mean")


def test_resumed_run_leaves_out_the_same_samples(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write_fileset: WriteFileset
) -> None:
    G, X = clones()
    bed = write_fileset(G)
    names = [f"r.{end}" for end in ("samples.tsv", "factors.npz", "env1.parquet")]
    lfmm2.run(None, bed, X, K=2, drop_duplicates=True, out=tmp_path / "r")
    straight = [(tmp_path / name).read_bytes() for name in names]
    with monkeypatch.context() as patched:
        patched.setattr("lfmm2.pipeline.run.run_snp_tests", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            lfmm2.run(None, bed, X, K=2, drop_duplicates=True, out=tmp_path / "r", overwrite=True)
    lfmm2.run(None, bed, X, K=2, drop_duplicates=True, out=tmp_path / "r", overwrite=True, resume=True)
    assert [(tmp_path / name).read_bytes() for name in names] == straight


def test_command_line_leaves_repeats_out(tmp_path: Path, write_fileset: WriteFileset, capsys: Any) -> None:
    G, X = clones()
    bed = write_fileset(G)
    rows = [f"{iid},{x:.6f}" for iid, x in zip(bed.samples.iid, X[:, 0], strict=True)]
    (tmp_path / "env.csv").write_text("\n".join(["ID,x", *rows]) + "\n")
    arguments = [
        "run",
        "--bed",
        str(bed.path),
        "--env",
        str(tmp_path / "env.csv"),
        "-K",
        "2",
        "--out",
        str(tmp_path / "r"),
    ]
    with warnings.catch_warnings(), pytest.raises(SystemExit) as ended:
        main([*arguments, "--drop-duplicates"])
    assert ended.value.code == 0
    printed = "".join(capsys.readouterr())
    assert "10 of 40 samples over 600 SNPs" in printed
    assert "r.samples.tsv" in printed
