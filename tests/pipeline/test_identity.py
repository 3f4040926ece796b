"""Two runs are the same run when their results must be the same; every field that tells them apart is named."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import lfmm2
from lfmm2.model import SolverOptions
from lfmm2.pipeline import prepare_run
from lfmm2.pipeline.run_options import OutputOptions, RunOptions, SampleOptions, SnpOptions, TestOptions
from lfmm2.pipeline.state_folder import find_differences
from lfmm2.simulation import Simulation, simulate

N_SAMPLES, N_SNPS = 40, 200


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    folder = tmp_path_factory.mktemp("identity")
    return simulate(folder / "d", n_samples=N_SAMPLES, n_snps=N_SNPS, n_causal=3, seed=4)


@pytest.fixture
def variables() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((N_SAMPLES, 2))


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def identity(
    full: Any, X: Any, K: Any = 2, est: Any = None, covar: Any = None, out: str = "r", **options: Any
) -> dict[str, Any]:
    """Return the identity of a run that would write to the current folder."""
    with prepare_run(est, full, X, K, RunOptions(output=OutputOptions(out), **options), covar) as prepared:
        return prepared.identity


def changed_fields(before: dict[str, Any], now: dict[str, Any]) -> set[str]:
    return {words.split(" was ")[0] for words in find_differences(before, now)}


def test_identity_is_the_same_for_the_same_run_and_after_a_way_through_json(
    data: Simulation, variables: np.ndarray
) -> None:
    first, second = (identity(data.bed, variables) for _ in range(2))
    assert find_differences(json.loads(json.dumps(first)), second) == []


def test_run_in_memory_has_no_identity(data: Simulation, variables: np.ndarray) -> None:
    with prepare_run(None, data.bed, variables, 2, RunOptions()) as prepared:
        assert prepared.identity == {}


@pytest.mark.parametrize(
    "change",
    [
        {"n_threads": 2},
        {"memory": "2GB"},
        {"out": "other"},
        {"command": "another way to say it"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_changes_no_result_is_no_part_of_the_identity(
    data: Simulation, variables: np.ndarray, change: dict[str, Any]
) -> None:
    before, now = (identity(data.bed, variables, **{"n_threads": 1, "memory": "1GB", **more}) for more in ({}, change))
    assert changed_fields(before, now) == set()


CHANGES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "K": ({"K": 3}, {"K"}),
    "lambda": ({"lambda_": 0.1}, {"lambda"}),
    "sweep_lambda": ({"sweep_lambda": "0.1,1x"}, {"sweep", "sweep_lambda", "k_thin"}),
    "seed": ({"seed": 3, "solver": SolverOptions(seed=3)}, {"seed"}),
    "tol": ({"solver": SolverOptions(tol=1e-6)}, {"tol"}),
    "df": ({"test": TestOptions(df="paper")}, {"df"}),
    "sweep": ({"test": TestOptions(sweep="1:3")}, {"sweep", "k_thin"}),
    "calibrate": ({"test": TestOptions(calibrate="none")}, {"calibrate"}),
    "maf": ({"snps": SnpOptions(maf=0.1)}, {"maf"}),
    "est_thin": ({"snps": SnpOptions(est_thin="r2=0.2,window=50")}, {"est_thin"}),
    "extract": ({"snps": SnpOptions(extract=["snp0000001", "snp0000007"])}, {"tested SNPs"}),
    "est_extract": ({"snps": SnpOptions(est_extract=[f"snp{i:07d}" for i in range(1, 99)])}, {"estimation SNPs"}),
    "covar": ({"covar": np.arange(40.0)[:, None] % 7}, {"nuisance variables", "values of variables"}),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_option_that_changes_results_changes_its_field(data: Simulation, variables: np.ndarray, name: str) -> None:
    change, fields = CHANGES[name]
    assert changed_fields(identity(data.bed, variables), identity(data.bed, variables, **change)) == fields


def test_other_values_and_names_of_variables_are_told_apart(data: Simulation, variables: np.ndarray) -> None:
    iids = data.fam.read_text().split()[1::6]

    def table(*names: str) -> pa.Table:
        return pa.table({"IID": iids, **dict(zip(names, variables.T, strict=True))})

    before = identity(data.bed, table("a", "b"))
    assert changed_fields(before, identity(data.bed, table("a", "c"))) == {"variables"}
    variables[-1, -1] += 1e-9
    assert changed_fields(before, identity(data.bed, table("a", "b"))) == {"values of variables"}


def test_order_of_rows_in_a_table_does_not_matter_but_its_samples_do(data: Simulation, tmp_path: Path) -> None:
    head, *rows = data.env.read_text().splitlines()
    (tmp_path / "turned.csv").write_text("\n".join([head, *reversed(rows)]) + "\n")
    (tmp_path / "fewer.txt").write_text(data.fam.read_text().split()[1] + "\n")
    before = identity(data.bed, data.env)
    assert changed_fields(before, identity(data.bed, tmp_path / "turned.csv")) == set()
    fewer = identity(data.bed, data.env, samples=SampleOptions(remove=tmp_path / "fewer.txt"))
    assert changed_fields(before, fewer) == {"samples", "values of variables"}


@pytest.mark.parametrize("kind", ["bed", "bim", "fam"])
def test_file_that_was_touched_is_another(data: Simulation, variables: np.ndarray, tmp_path: Path, kind: str) -> None:
    for name in ("bed", "bim", "fam"):
        (tmp_path / f"d.{name}").write_bytes(getattr(data, name).read_bytes())
        os.utime(tmp_path / f"d.{name}", (1, 1))
    before = identity(tmp_path / "d.bed", variables)
    os.utime(tmp_path / f"d.{kind}", (2, 2))
    now = identity(tmp_path / "d.bed", variables)
    assert changed_fields(before, now) == {f"genotypes (.{kind}), time of change in ns"}


def test_estimation_set_has_fields_of_its_own(data: Simulation, variables: np.ndarray, tmp_path: Path) -> None:
    estimation = simulate(tmp_path / "e", n_samples=N_SAMPLES, n_snps=100, n_causal=3, seed=5)
    fields = changed_fields(identity(data.bed, variables), identity(data.bed, variables, est=estimation.bed))
    assert len(fields) == 7
    assert all(field.startswith("estimation genotypes (.") for field in fields)


def test_array_is_told_by_its_values_whatever_its_order_in_memory(variables: np.ndarray) -> None:
    Y = np.random.default_rng(1).standard_normal((N_SAMPLES, 60))
    before = identity(Y, variables)
    assert changed_fields(before, identity(np.asfortranarray(Y), variables)) == set()
    Y[-1, -1] += 1e-9
    assert changed_fields(before, identity(Y, variables)) == {"genotypes (array)"}


def test_given_factors_and_each_part_of_their_spectrum_are_told_apart(data: Simulation, variables: np.ndarray) -> None:
    factors = lfmm2.estimate_factors(data.bed, variables, 2)
    spectrum = factors.spectrum
    assert spectrum is not None
    before = identity(data.bed, variables, factors)
    assert {"given factors", "given spectrum"} <= before.keys()
    other = replace(factors, U=factors.U[:, ::-1].copy())
    assert changed_fields(before, identity(data.bed, variables, other)) == {"given factors"}
    for part in ("eigenvalues", "sample_totals", "sample_weights"):
        changed = replace(spectrum, **{part: getattr(spectrum, part) * 2})
        now = identity(data.bed, variables, replace(factors, spectrum=changed))
        assert changed_fields(before, now) == {"given spectrum"}, part
    now = identity(data.bed, variables, replace(factors, spectrum=None))
    assert changed_fields(before, now) == {"given spectrum"}
