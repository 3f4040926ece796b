"""Ridge penalties compared in a sweep: each as a run of its own has it, from as few passes as possible."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lfmm2
from lfmm2.errors import UsageError
from lfmm2.pipeline import prepare_run
from lfmm2.pipeline.run_options import RunOptions, TestOptions
from lfmm2.results import open_run

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")

N, KEYS = 60, ("GIF", "Q999_ABS_T", "N_FDR05", "N_FDR10", "NULL_SD", "R2_FACTORS")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> lfmm2.Simulation:
    return lfmm2.simulate(tmp_path_factory.mktemp("penalties") / "d", N, 500, n_causal=8, seed=4)


def swept(data: lfmm2.Simulation, K: int | None = 2, **options: Any) -> lfmm2.AssociationResult:
    return lfmm2.run(None, data.bed, data.env, K, **{"sweep": (1, 2, 3), "solver": "exact", **options})


def rows_of(result: lfmm2.AssociationResult, penalty: str) -> list[dict[str, Any]]:
    assert result.sweep is not None
    return [row for row in result.sweep.table.to_pylist() if row["LAMBDA"] == penalty]


def assert_same_rows(result: lfmm2.AssociationResult, alone: lfmm2.AssociationResult, penalty: str, rel: float) -> None:
    rows, expected = rows_of(result, penalty), rows_of(alone, penalty)
    assert [(row["K"], row["VARIABLE"]) for row in rows] == [(k, name) for k in (1, 2, 3) for name in ("env1", "env2")]
    for row, of_alone in zip(rows, expected, strict=True):
        assert [row[key] for key in KEYS] == pytest.approx([of_alone[key] for key in KEYS], rel=rel)


def test_sweep_shows_1x_beside_the_penalty_of_the_run(data: lfmm2.Simulation) -> None:
    result, at_1x = swept(data), swept(data, lambda_="1x")
    assert result.sweep is not None
    assert result.sweep.penalties == ("1e-05", "1x")
    assert result.sweep.penalty == "1e-05"
    assert_same_rows(result, at_1x, "1x", 1e-9)
    assert rows_of(result, "1e-05")[0]["R2_FACTORS"] != pytest.approx(rows_of(result, "1x")[0]["R2_FACTORS"], rel=0.01)
    # At 1x nothing is compared by default, and the tables follow --lambda.
    assert at_1x.sweep is not None
    assert at_1x.sweep.penalties == ("1x",)
    alone = lfmm2.run(None, data.bed, data.env, 2, solver="exact")
    np.testing.assert_allclose(result.t, alone.t, rtol=1e-9, atol=1e-10)
    # An even number of tests is calibrated: the median of an odd one has p = 0.5, an edge of bins, but for rounding.
    chosen: dict[str, Any] = {"exclude": ["snp0000002"], "min_carriers": 0}
    even = [swept(data, **chosen), swept(data, **chosen, sweep_lambda=1e-5)]
    assert np.isfinite(even[0].t).sum(axis=0).tolist() == [498, 498]
    assert even[0].sweep.histograms.equals(even[1].sweep.histograms)  # type: ignore[union-attr]
    assert "λ 1e-05, 1x" in repr(result.sweep)


def test_list_of_penalties_gives_the_rows_of_each(data: lfmm2.Simulation) -> None:
    result = swept(data, sweep_lambda="3x,0.3x")
    assert result.sweep is not None
    # That of the run is always among them.
    assert result.sweep.penalties == ("1e-05", "0.3x", "3x")
    for penalty in ("0.3x", "3x"):
        assert_same_rows(result, swept(data, lambda_=penalty), penalty, 1e-9)


def test_krylov_compares_penalties_only_if_asked(data: lfmm2.Simulation) -> None:
    krylov: dict[str, Any] = {"solver": "krylov", "tol": 1e-9}
    result = swept(data, **krylov)
    assert result.sweep is not None
    assert result.sweep.penalties == ("1e-05",)
    both = swept(data, **krylov, sweep_lambda=["1x"])
    assert_same_rows(both, swept(data, sweep_lambda="1x"), "1x", 1e-5)
    np.testing.assert_allclose(both.t, result.t, rtol=1e-9, atol=1e-10)


def test_penalties_without_a_sweep_are_compared_for_k(data: lfmm2.Simulation) -> None:
    result = swept(data, sweep=None, sweep_lambda="1x")
    assert [(row["K"], row["LAMBDA"]) for row in rows_of(result, "1e-05") + rows_of(result, "1x")] == [
        (2, "1e-05"), (2, "1e-05"), (2, "1x"), (2, "1x")
    ]  # fmt: skip
    with pytest.raises(UsageError, match="K is not given"):
        swept(data, None, sweep=None, sweep_lambda="1x")


def test_given_factors_have_one_penalty(data: lfmm2.Simulation) -> None:
    factors = lfmm2.estimate_factors(data.bed, data.env, 3, lambda_="0.5x")
    result = lfmm2.test_associations(data.bed, data.env, factors, sweep="1:3")
    assert result.sweep is not None
    assert result.sweep.penalties == (result.sweep.penalty,) == ("30",)
    with pytest.raises(UsageError, match="sweep_lambda compares factors of several penalties, but factors are given"):
        swept(data, factors, sweep_lambda="1x")  # type: ignore[arg-type]


def test_variables_as_given_have_no_multiples(data: lfmm2.Simulation) -> None:
    result = swept(data, standardize=False)
    assert result.sweep is not None
    assert result.sweep.penalties == ("1e-05",)
    with pytest.raises(UsageError, match="sweep_lambda is 1x, a multiple of the variance"):
        swept(data, standardize=False, sweep_lambda="1x")
    assert_same_rows(
        swept(data, standardize=False, sweep_lambda="5"), swept(data, standardize=False, lambda_=5), "5", 1e-9
    )


def plan_of(data: lfmm2.Simulation, **options: Any) -> str:
    made = RunOptions.from_arguments({"sweep": "1:3", **options}, "test")
    with prepare_run(None, data.bed, data.env, 2, made) as prepared:
        return prepared.plan.describe()


def test_plan_tells_the_penalties_and_their_passes(data: lfmm2.Simulation) -> None:
    plan = plan_of(data, solver="exact")
    assert "ridge penalty:    1e-05; the sweep compares 1x\n" in plan
    assert "1 for the factors" in plan
    plan = plan_of(data, solver="krylov")
    assert "1e-05; --sweep-lambda 1x compares another, with passes of its own\n" in plan
    assert "about 20 for the factors" in plan
    plan = plan_of(data, solver="power", sweep_lambda="0.3x,1x")
    assert "1e-05; the sweep compares 0.3x, 1x\n" in plan
    assert "9 for the factors" in plan
    assert "ridge penalty:    1e-05\n" in plan_of(data, solver="krylov", sweep_lambda="1e-5")
    assert "ridge penalty:    1x\n" in plan_of(data, solver="krylov", lambda_="1x")
    assert "ridge penalty" not in plan_of(data, sweep=None)


def test_record_log_and_results_have_the_penalties(data: lfmm2.Simulation, tmp_path: Path) -> None:
    # Lines of few carriers have long names, which would move the second column of the log.
    result = swept(data, out=tmp_path / "r", sweep_lambda="0.3x,1e-5", min_carriers=0)
    record = open_run(tmp_path / "r").record
    assert record.parameters["sweep_lambda"] == "1e-05,0.3x"
    assert record.sweep is not None
    assert record.sweep.penalties == {"1e-05": 1e-5, "0.3x": 0.3 * N}
    assert "compared λ:       0.3x beside 1e-05, that of the tables\n" in (tmp_path / "r.lfmm2.log").read_text()
    again = lfmm2.read_results(tmp_path / "r")
    assert again.sweep is not None
    assert result.sweep is not None
    assert again.sweep.table.equals(result.sweep.table)
    assert (again.sweep.penalty, again.sweep.penalties) == ("1e-05", ("1e-05", "0.3x"))


class Stop(Exception):
    """A run that ends before its tests."""


class StopAtTests(lfmm2.Progress):
    """Ends a run at the first block of the tests, and notes its passes."""

    def __init__(self, stops: bool) -> None:
        self.stops, self.labels = stops, list[str]()

    def start(self, label: str, n_snps: int, n_bytes: int) -> None:
        self.labels.append(label)
        if self.stops and label.startswith("tests"):
            raise Stop


@pytest.mark.parametrize("solver", ["exact", "krylov"])
@pytest.mark.parametrize("damaged", [False, True])
def test_resumed_run_has_the_factors_of_every_penalty(
    data: lfmm2.Simulation, tmp_path: Path, solver: str, damaged: bool
) -> None:
    # The scree of thinned SNPs would be kept, and not be made again.
    options: dict[str, Any] = {"solver": solver, "sweep_lambda": "0.3x,1x", "k_thin": "off", "n_threads": 1}
    straight, resumed = StopAtTests(False), StopAtTests(False)
    swept(data, out=tmp_path / "s", progress=straight, **options)
    with pytest.raises(Stop):
        swept(data, out=tmp_path / "r", progress=StopAtTests(True), **options)
    kept = sorted((tmp_path / "r.state").glob("other-factors-*.npz"))
    assert len(kept) == 2
    if damaged:
        kept[1].write_bytes(kept[0].read_bytes())  # These are the factors of another penalty.
    swept(data, out=tmp_path / "r", progress=resumed, resume=True, **options)
    for ending in ("sweep.tsv", "sweep-histograms.tsv", "env1.parquet", "factors.npz"):
        assert (tmp_path / f"r.{ending}").read_bytes() == (tmp_path / f"s.{ending}").read_bytes()
    assert (resumed.labels == straight.labels) is damaged
    if not damaged:
        assert not [label for label in resumed.labels if label.startswith("factors")]


def test_pass_of_every_penalty_has_its_own_label(data: lfmm2.Simulation) -> None:
    progress = StopAtTests(False)
    swept(data, solver="power", sweep_lambda="0.3x,1x", progress=progress)
    labels = [label for label in progress.labels if label.startswith("factors")]
    assert len(set(labels)) == len(labels) == 9
    assert "factors: pass 3 with λ = 0.3x" in progress.labels


def test_estimate_factors_estimates_for_one_penalty(data: lfmm2.Simulation) -> None:
    options = RunOptions.from_arguments({"solver": "exact", "sweep_lambda": "1x"}, "test", tests=False)
    assert options.test == TestOptions()
    with prepare_run(None, data.bed, data.env, 2, options) as prepared:
        assert prepared.plan.describe().count("1x") == 0
