"""The time that a run will take, measured on some of its genotypes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lfmm2
from lfmm2.cli.program import main
from lfmm2.pipeline import RunOptions, is_long, predict_time, prepare_run
from lfmm2.pipeline.run_time import RunTime
from lfmm2.simulation import Simulation, simulate

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return simulate(tmp_path_factory.mktemp("time") / "d", n_samples=60, n_snps=6000, n_causal=5, seed=3)


def prepare(data: Simulation, **options: Any) -> Any:
    return prepare_run(None, data.bed, data.env, 2, RunOptions.from_arguments({"n_threads": 1, **options}, "test"))


def test_parts_of_the_time_are_said() -> None:
    time = RunTime(100.0, 20.4, 0.3, 0.0, 0, are_of_workers=False)
    assert time.describe() == "about 2 min 01 s (factors 1 min 40 s, tests 20 s)"
    time = RunTime(3600.0, 100.0, 40.0, 90.0, 90 * 10**9, are_of_workers=True)
    assert time.describe() == (
        "about 1 h 02 min (factors 1 h 00 min, tests 1 min 40 s, tables 40 s), 1 min 30 s more if surrogates are "
        "drawn, with workers as fast as this machine, if the disk gives 24.1 MB/s"
    )
    assert RunTime(0.0, 0.1, 0.0, 0.2, 5, are_of_workers=False).describe() == "about 0.6 s"


@pytest.mark.parametrize("options", [
    {}, {"solver": "krylov"}, {"solver": "power", "spa": True}, {"maf": 0.05, "geno": 0.1, "mind": 0.5},
    {"est_rate": 0.5, "scale": "hwe", "count_allele": "a1"}, {"est_thin": "r2=0.2,window=50"}, {"surrogates": 0},
], ids=str)  # fmt: skip
def test_small_run_takes_little_time(data: Simulation, options: dict[str, Any]) -> None:
    with prepare(data, **options) as prepared:
        time = predict_time(prepared)
        assert not is_long(prepared.plan)
        assert prepared.plan.describe(time.describe()).count("time:") == 1
    assert 0 < time.tests < 60
    assert 0 < time.factors < 60
    assert (time.surrogates > 0) == ("surrogates" not in options and options.get("solver") is None)


@pytest.mark.parametrize("solver", ["exact", "krylov", "power"])
def test_budget_that_the_plan_accepts_is_enough_to_predict(data: Simulation, solver: str) -> None:
    with pytest.raises(lfmm2.InsufficientMemoryError) as refused:
        prepare(data, solver=solver, memory="1MB")
    with prepare(data, solver=solver, memory=refused.value.minimum) as prepared:
        assert predict_time(prepared).seconds > 0


def test_long_run_is_recognised_by_its_sizes(data: Simulation) -> None:
    with prepare(data) as prepared:
        plan = prepared.plan
    assert is_long(replace(plan, n_samples=5000, n_snps=10**6, n_estimation_snps=10**6))
    assert is_long(replace(plan, n_snps=10**8))
    assert not is_long(replace(plan, n_samples=1000, n_snps=200_000, n_estimation_snps=200_000))


def test_dry_run_says_the_time_and_a_short_run_does_not(
    data: Simulation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("run", "--bed", data.bed, "--env", data.env, "-K", 2, "--threads", 1, "--out", tmp_path / "r")
    assert "\ntime:             about " in run_command(*options, "--dry-run", capsys=capsys)
    assert not list(tmp_path.iterdir())
    assert "\ntime:             about " not in run_command(*options, capsys=capsys)


def run_command(*arguments: object, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints that ends well."""
    with pytest.raises(SystemExit) as stopped:
        main(list(map(str, arguments)))
    assert stopped.value.code == 0
    return capsys.readouterr().out
