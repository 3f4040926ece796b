"""Missing calls of each sample: counted on the way, kept for a resumed run, and the samples that --mind leaves out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from field_data import dense_t, genotypes, same, sample_ids, write_fileset, write_text

import lfmm2
from lfmm2.errors import DegenerateProblemError, InconsistentInputError, InputWarning, UsageError
from lfmm2.genotypes import Engine, count_missing_calls, open_source
from lfmm2.pipeline import state_folder
from lfmm2.pipeline.missing_calls import CountedMatrix, MissingTally
from lfmm2.process.progress import Progress
from lfmm2.results import StoredRun

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")

N, P, K = 40, 600, 2
LONG = 6000  # SNPs that take several blocks
FEW, NONE = 9, 7  # samples with 60 % of the calls missing, and without a call


class Stop(KeyboardInterrupt):
    pass


class StopInTests(Progress):
    """Stops the run at a block of the tests."""

    def __init__(self, n_blocks: int) -> None:
        self.n_left, self.is_testing = n_blocks, False

    def start(self, label: str, n_snps: int, n_bytes: int) -> None:
        self.is_testing = label.startswith("tests")

    def advance(self, n_snps: int, n_bytes: int) -> None:
        self.n_left -= self.is_testing
        if self.n_left < 0:
            raise Stop


@pytest.fixture(scope="module")
def long_G() -> np.ndarray:
    G, _ = genotypes(N, LONG, seed=3, missing=0.02)
    rng = np.random.default_rng(1)
    G[NONE], G[FEW, rng.random(LONG) < 0.6] = np.nan, np.nan
    G[:, [5, 2500]] = np.nan
    return G


@pytest.fixture(scope="module")
def G(long_G: np.ndarray) -> np.ndarray:
    return long_G[:, :P]


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(2).normal(size=N).round(4)


@pytest.fixture(scope="module")
def fileset(tmp_path_factory: pytest.TempPathFactory, long_G: np.ndarray, x: np.ndarray) -> Path:
    folder = tmp_path_factory.mktemp("missing")
    write_fileset(str(folder / "d"), long_G[:, :P])
    write_fileset(str(folder / "long"), long_G)
    write_text(str(folder / "env.csv"), ["ID,x", *(f"{i},{v}" for i, v in zip(sample_ids(N), x, strict=True))])
    return folder


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several blocks per pass, and everything kept at once."""
    monkeypatch.setattr("lfmm2.genotypes.engine.BLOCK_BYTES", 1)
    monkeypatch.setattr(state_folder, "KEEP_AFTER_SECONDS", 0)


def record_of(prefix: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads(Path(f"{prefix}.lfmm2.json").read_text())
    return result


@pytest.mark.parametrize("kind", ["bed", "array"])
@pytest.mark.parametrize("rows", [np.arange(N), np.arange(3, N, 3)[::-1]])
@pytest.mark.usefixtures("one_blas_thread")
def test_every_way_to_count_gives_the_same(fileset: Path, G: np.ndarray, kind: str, rows: np.ndarray) -> None:
    engine = Engine(2, 1 << 28)
    source, snps = open_source(fileset / "d.bed" if kind == "bed" else G), np.arange(0, P, 2)
    matrix = source.matrix(engine, rows, snps)
    expected = np.isnan(G[np.ix_(rows, snps)]).sum(axis=1)
    np.testing.assert_array_equal(count_missing_calls(matrix, engine), expected)
    tally = MissingTally(len(rows))
    for _ in CountedMatrix(matrix, tally).cross_products(np.ones((len(rows), 3))):
        pass
    np.testing.assert_array_equal(tally.counts, expected)
    source.close()


def test_genotypes_that_do_not_count_are_not_known(fileset: Path) -> None:
    class Silent(CountedMatrix):
        def cross_products(self, *arguments: Any) -> Any:
            for block in super().cross_products(*arguments):
                yield lfmm2.pipeline.missing_calls.CrossProducts(
                    block.first_snp, block.n_called, block.mean, block.sum_squares, block.products, block.decode
                )

    engine = Engine(1, 1 << 28)
    with open_source(fileset / "d.bed") as source:  # type: ignore[attr-defined]
        matrix = Silent(source.matrix(engine, np.arange(N), None), MissingTally(N))
        tally = MissingTally(N)
        for _ in CountedMatrix(matrix, tally).cross_products(np.ones((N, 1)), "tests"):
            pass
        assert tally.counts is None
        assert tally.write(P) is None
        with pytest.raises(UsageError, match="these genotypes do not count"):
            count_missing_calls(matrix, engine)


@pytest.mark.usefixtures("small_blocks")
def test_a_tally_is_known_where_a_pass_can_begin_again(fileset: Path, long_G: np.ndarray) -> None:
    tally = MissingTally(N)
    with open_source(fileset / "long.bed") as source:  # type: ignore[attr-defined]
        for _ in CountedMatrix(source.matrix(Engine(3, 1 << 28), np.arange(N), None), tally).cross_products(
            np.ones((N, 1))
        ):
            seen = tally.n_snps
            for n_snps in {seen, seen // 2048 * 2048}:
                again = MissingTally(N)
                again.restore(tally.write(n_snps), n_snps)
                np.testing.assert_array_equal(again.counts, np.isnan(long_G[:, :n_snps]).sum(axis=1))
            assert tally.write(seen - 1) is None
    assert seen == LONG


@pytest.mark.parametrize("text", [None, "", "AAAA"])
def test_counts_that_a_state_does_not_have_are_not_known(text: str | None) -> None:
    tally = MissingTally(N)
    tally.restore(text, 2048)
    assert tally.counts is None


@pytest.mark.filterwarnings("ignore::lfmm2.errors.InputWarning")
@pytest.mark.parametrize("n_blocks", [0, 1, 2, 4])
@pytest.mark.usefixtures("small_blocks")
def test_a_resumed_run_counts_all_snps(fileset: Path, tmp_path: Path, long_G: np.ndarray, n_blocks: int) -> None:
    options: dict[str, Any] = {"out": tmp_path / "r", "n_threads": 1, "mind": 0.9}
    arguments = (None, fileset / "long.bed", fileset / "env.csv", K)
    with pytest.raises(Stop):
        lfmm2.run(*arguments, **options, progress=StopInTests(n_blocks))
    lfmm2.run(*arguments, **options, resume=True)
    record = record_of(tmp_path / "r")
    rates = np.delete(np.isnan(long_G).mean(axis=1), NONE)
    assert record["sample_filter"] == {"mind": 0.9, "n_samples": N, "n_kept": N - 1, "left_out": ["s008"]}
    assert record["missing_calls"] == {
        "n_snps": LONG, "median": np.median(rates), "highest": rates.max(), "sample": "s010",
        "samples": ["s010"], "rates": [rates.max()],
    }  # fmt: skip
    assert [entry["label"] for entry in record["passes"]].count("missing calls") == 1


@pytest.mark.parametrize("mind", [0.1, 0.7])
@pytest.mark.filterwarnings("ignore::lfmm2.errors.InputWarning")
def test_samples_left_out_are_left_out_as_if_by_hand(fileset: Path, G: np.ndarray, x: np.ndarray, mind: float) -> None:
    kept = np.isnan(G).mean(axis=1) <= mind
    assert kept.sum() == N - (2 if mind == 0.1 else 1)
    result = lfmm2.run(None, fileset / "d.bed", fileset / "env.csv", K, mind=mind)
    assert result.sample_ids == tuple(np.array(sample_ids(N))[kept])
    some = [j for j in range(P) if j != 5]
    assert same(result.t[some, 0], dense_t(G[np.ix_(kept, some)], x[kept], K)[:, 0])
    assert same(lfmm2.run(None, G, x, K, mind=mind).t, result.t)
    factors = lfmm2.estimate_factors(fileset / "d.bed", fileset / "env.csv", K, mind=mind)
    tested = lfmm2.test_associations(fileset / "d.bed", fileset / "env.csv", factors, mind=mind)
    assert np.array_equal(tested.t, result.t, equal_nan=True)
    # the estimation set is matched to the samples that are left
    assert same(lfmm2.run(fileset / "d.bed", fileset / "d.bed", fileset / "env.csv", K, mind=mind).t, result.t)


@pytest.mark.filterwarnings("ignore::lfmm2.errors.InputWarning")
def test_stored_variables_are_of_the_samples_that_are_left(fileset: Path, tmp_path: Path, x: np.ndarray) -> None:
    result = lfmm2.run(None, fileset / "d.bed", fileset / "env.csv", K, mind=0.7, out=tmp_path / "r")
    stored = StoredRun(tmp_path / "r")
    _, values = stored.design()
    assert stored.factors().sample_ids == result.sample_ids
    assert np.array_equal(values[:, 0], np.delete(x, NONE))


@pytest.mark.filterwarnings("ignore::lfmm2.errors.InputWarning")
def test_levels_of_categories_are_counted_in_the_samples_that_are_left(fileset: Path, tmp_path: Path) -> None:
    soil = [("clay", "sand", "peat")[k % 3] for k in range(N)]
    rows = [f"{i},{k * k % 7},{of}" for k, (i, of) in enumerate(zip(sample_ids(N), soil, strict=True))]
    write_text(str(tmp_path / "env.csv"), ["ID,x,soil", *rows])
    lfmm2.run(None, fileset / "d.bed", tmp_path / "env.csv", K, mind=0.1, out=tmp_path / "r", categorical="soil")
    left = [of for k, of in enumerate(soil) if k not in (FEW, NONE)]
    assert record_of(tmp_path / "r")["categories"] == {"soil": {of: left.count(of) for of in ("clay", "peat", "sand")}}


def test_rates_are_of_the_snps_to_test(fileset: Path, G: np.ndarray) -> None:
    called = [f"snp{j}" for j in np.flatnonzero(~np.isnan(G[FEW]))]
    result = lfmm2.run(None, fileset / "d.bed", fileset / "env.csv", K, mind=0.1, extract=called)
    assert "s010" in result.sample_ids
    assert "s008" not in result.sample_ids


def test_a_sample_at_the_threshold_is_kept(tmp_path: Path) -> None:
    G, _ = genotypes(20, 300, seed=4)
    G[3, :30], G[4, :31] = np.nan, np.nan
    result = lfmm2.run(None, G, np.random.default_rng(0).normal(size=20), K, mind=0.1)
    assert set(map(str, range(1, 21))) - set(result.sample_ids) == {"5"}


@pytest.mark.parametrize("kind", ["bed", "array"])
def test_samples_without_calls_are_named_once(fileset: Path, G: np.ndarray, x: np.ndarray, kind: str) -> None:
    genotypes_, names = (fileset / "d.bed", ("s008", "s010")) if kind == "bed" else (G, ("8", "10"))
    first, second = names
    message = rf"2 of 40 samples lack more .*: {first} \(no call at all\), {second} \(6\d% missing\); .* --mind 0.5"
    with pytest.warns(InputWarning, match=message) as seen:
        lfmm2.run(None, genotypes_, fileset / "env.csv" if kind == "bed" else x, K)
    assert len([w for w in seen if w.category is InputWarning]) == 1


def test_where_most_samples_lack_calls_snps_are_to_be_dropped_first() -> None:
    G, _ = genotypes(20, 300, seed=4, missing=0.6)
    with pytest.warns(InputWarning, match=r"20 of 20 samples lack .*; drop SNPs with few calls first, with --geno"):
        lfmm2.run(None, G, np.random.default_rng(0).normal(size=20), K)


@pytest.mark.parametrize("solver", ["exact", "krylov", "power"])
@pytest.mark.parametrize("scale", [None, "hwe"])
def test_samples_without_calls_in_the_snps_of_the_factors_are_named(fileset: Path, solver: Any, scale: Any) -> None:
    message = r"1 of 40 samples has no call in the SNPs of the factors \(s008\), .* --mind or --remove"
    with pytest.warns(InputWarning, match=message):
        lfmm2.estimate_factors(fileset / "d.bed", fileset / "env.csv", K, solver=solver, scale=scale)


def test_samples_without_calls_in_another_estimation_set_are_named(
    tmp_path: Path, fileset: Path, G: np.ndarray
) -> None:
    write_fileset(str(tmp_path / "full"), np.where(np.isnan(G), 1, G))
    with pytest.warns(InputWarning, match=r"1 of 40 samples has no call in the SNPs of the factors \(s008\)") as seen:
        lfmm2.run(fileset / "d.bed", tmp_path / "full.bed", fileset / "env.csv", K)
    assert len([w for w in seen if w.category is InputWarning]) == 1


@pytest.mark.filterwarnings("error::lfmm2.errors.InputWarning")
def test_half_of_the_calls_is_enough() -> None:
    G, _ = genotypes(20, 300, seed=4)
    G[:, ::2] = np.where(np.arange(20)[:, None] == 3, np.nan, G[:, ::2])
    lfmm2.run(None, G, np.random.default_rng(0).normal(size=20), K)


def test_results_do_not_depend_on_counting(fileset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MissingTally, "add", lambda *_: None)
    silent = lfmm2.run(None, fileset / "d.bed", fileset / "env.csv", K)
    monkeypatch.undo()
    with pytest.warns(InputWarning, match="s008"):
        counted = lfmm2.run(None, fileset / "d.bed", fileset / "env.csv", K)
    assert np.array_equal(silent.t, counted.t, equal_nan=True)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"mind": 0.0}, InconsistentInputError, r"--mind 0.0 leaves none of 40 samples, .* 0\.0\d+; raise it"),
        ({"mind": -0.1}, UsageError, "mind is -0.1; a missing rate lies between 0 and 1"),
        ({"mind": 10}, UsageError, "mind is 10; a missing rate lies between 0 and 1"),
        ({"mind": 0.1, "missing": "mean"}, UsageError, "--mind leaves out samples after --missing mean .*; give one"),
        ({"mind": 0.1, "K": 37}, DegenerateProblemError, "K = 37 with 38 samples, .* lower K"),
    ],
)
def test_rates_that_leave_nothing_are_refused(
    fileset: Path, parameters: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        lfmm2.run(None, fileset / "d.bed", fileset / "env.csv", **{"K": K} | parameters)


@pytest.mark.filterwarnings("ignore::lfmm2.errors.InputWarning")
def test_a_variable_that_varies_in_samples_without_calls_alone_is_refused(fileset: Path) -> None:
    x = np.zeros(N)
    x[[FEW, NONE]] = 1, 2
    with pytest.raises(DegenerateProblemError, match="constant"):
        lfmm2.run(None, fileset / "d.bed", x, K, mind=0.1)


@pytest.mark.filterwarnings("ignore::lfmm2.errors.InputWarning")
def test_given_factors_need_the_samples_that_are_left(fileset: Path) -> None:
    factors = lfmm2.estimate_factors(fileset / "d.bed", fileset / "env.csv", K)
    with pytest.raises(InconsistentInputError, match="the factors are of 40 samples, of which 38"):
        lfmm2.test_associations(fileset / "d.bed", fileset / "env.csv", factors, mind=0.1)
