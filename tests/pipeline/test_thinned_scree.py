"""The scree of thinned SNPs: what it is equal to, where it is made and where it is not, and that it can be resumed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lfmm2
from lfmm2.cli.program import main
from lfmm2.genotypes import ThinOptions, open_bed
from lfmm2.genotypes.plink_writer import write_plink
from lfmm2.model import compute_scree
from lfmm2.pipeline import RunOptions, prepare_run
from lfmm2.pipeline.run_options import OutputOptions, SnpOptions, TestOptions
from lfmm2.pipeline.thinned_scree import LEAST_SNPS, raise_limit

N_SAMPLES, N_POPULATIONS, N_BLOCKS = 90, 3, 300
# With few blocks of many SNPs the median of t² is that of a few blocks, so the GIF may be anything.
pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.CalibrationWarning")


def linked_genotypes(seed: int = 0) -> np.ndarray:
    """Genotypes (n_snps, n_samples) of 3 populations; the SNPs of some blocks are many, and nearly copies."""
    rng = np.random.default_rng(seed)
    ancestral = rng.uniform(0.2, 0.8, N_BLOCKS)
    frequency = np.clip(ancestral + rng.normal(0, 0.12, (N_POPULATIONS, N_BLOCKS)), 0.02, 0.98)
    of_sample = np.repeat(frequency, N_SAMPLES // N_POPULATIONS, axis=0)
    blocks = rng.binomial(2, of_sample).T  # (n_blocks, n_samples)
    copies = np.where(np.arange(N_BLOCKS) % 20 == 0, 20, 1)
    Y = np.repeat(blocks, copies, axis=0)
    errors = rng.random(Y.shape) < 0.02
    return np.where(errors, rng.integers(0, 3, Y.shape), Y).astype(np.int8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("linked")
    write_plink(folder / "d", linked_genotypes())
    x = np.random.default_rng(1).standard_normal(N_SAMPLES)
    rows = "".join(f"s{i + 1:04d},{value:.6f}\n" for i, value in enumerate(x))
    (folder / "d.csv").write_text("IID,x\n" + rows)
    return folder


def run(data: Path, **options: Any) -> lfmm2.AssociationResult:
    return lfmm2.run(None, data / "d.bed", data / "d.csv", n_threads=1, **options)


def record_of(prefix: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(prefix.with_name(f"{prefix.name}.lfmm2.json").read_text())
    return record


def test_linked_blocks_are_no_axes_of_structure(data: Path) -> None:
    linked = run(data, sweep="1:8", k_thin="off")
    thinned = run(data, sweep="1:8")
    assert linked.sweep is not None
    assert thinned.sweep is not None
    assert linked.sweep.suggested > N_POPULATIONS - 1
    assert thinned.sweep.suggested == thinned.factors.n_factors == N_POPULATIONS - 1
    # The factors are those of all SNPs in both.
    np.testing.assert_array_equal(thinned.factors.U, linked.factors.U[:, : N_POPULATIONS - 1])


@pytest.mark.parametrize("solver", ["exact", "krylov", "power"])
def test_scree_is_that_of_factors_from_the_thinned_snps(data: Path, solver: str) -> None:
    options: dict[str, Any] = {"solver": solver, "tol": 1e-6}
    swept = run(data, K=3, sweep="1:6", k_thin="r2=0.25,window=50", **options).scree
    factors = lfmm2.estimate_factors(
        data / "d.bed", data / "d.csv", 6, est_thin="r2=0.25,window=50", n_threads=1, **options
    )
    assert factors.spectrum is not None
    alone = compute_scree(factors.spectrum)
    assert swept is not None
    assert swept.n_snps == factors.n_snps == N_BLOCKS
    assert swept.table().equals(alone.table())
    assert (swept.n_axes, swept.effective_snps, swept.bulk_edge) == (
        alone.n_axes,
        alone.effective_snps,
        alone.bulk_edge,
    )


def test_record_log_and_files_tell_both_numbers_of_axes(data: Path, tmp_path: Path) -> None:
    result = run(data, sweep="1:8", out=tmp_path / "r")
    linked = run(data, sweep="1:8", k_thin="off")
    record = record_of(tmp_path / "r")
    scree = record["scree"]
    n_all, n_kept = scree["thinning"]["n_snps"], scree["thinning"]["n_kept"]
    assert linked.scree is not None
    assert (scree["n_axes"], scree["n_axes_unthinned"]) == (2, linked.scree.n_axes)
    assert (scree["n_snps"], record["thinning"]) == (n_kept, None)
    assert [made["label"] for made in record["passes"]] == [
        "pairs of samples", "factors: Gram matrix", "LD thinning for K", "scree: Gram matrix", "tests",
    ]  # fmt: skip
    log = (tmp_path / "r.lfmm2.log").read_text()
    shown = (
        f"2 axes by Tracy-Widom, in {n_kept} SNPs thinned by linkage (no pair above r² = {scree['thinning']['r2']:.3g}"
    )
    assert f"{shown} within 200); {linked.scree.n_axes} in all {n_all:,}".replace(",", " ") in log.replace(",", " ")
    again = lfmm2.read_results(tmp_path / "r").scree
    assert again is not None
    assert result.scree is not None
    assert again.n_axes == 2
    assert again.table().equals(result.scree.table())


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"K": 2}, None),
        ({"sweep": "1:3", "k_thin": "off"}, None),
        ({"sweep": "1:3", "est_thin": "r2=0.3,window=50"}, None),
        ({"K": 2, "sweep": "1:3", "k_thin": "window=20,r2=0.5"}, "r2=0.5,window=20"),
    ],
)
def test_snps_are_thinned_for_sweeps_alone(data: Path, tmp_path: Path, options: dict[str, Any], facts: str) -> None:
    run(data, out=tmp_path / "r", **options)
    record = record_of(tmp_path / "r")
    assert record["parameters"]["k_thin"] == record["identity"]["k_thin"] == facts
    assert (record["scree"]["thinning"] is None) == (facts is None)
    assert record["plan"]["k_thinned"] == (facts is not None)


def test_given_factors_and_arrays_are_not_thinned(data: Path) -> None:
    result = run(data, sweep="1:4")
    given = lfmm2.test_associations(data / "d.bed", data / "d.csv", result.factors, sweep="1:2")
    assert given.scree is not None
    assert given.scree.n_snps == result.factors.n_snps
    x = np.random.default_rng(1).standard_normal(N_SAMPLES)
    array = lfmm2.run(None, linked_genotypes().T.astype(float), x, sweep="1:2")
    assert array.scree is not None
    assert array.scree.n_snps == len(linked_genotypes())


def test_snps_without_positions_are_not_thinned(data: Path, tmp_path: Path) -> None:
    write_plink(tmp_path / "d", linked_genotypes(), positions=[0] * len(linked_genotypes()))
    with prepare_run(
        None, tmp_path / "d.bed", data / "d.csv", None, RunOptions(test=TestOptions(sweep="1:3"))
    ) as prepared:
        assert prepared.inputs.k_thin is None
        assert not prepared.plan.k_thinned


def test_too_few_thinned_snps_leave_the_scree_of_all(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    few = np.repeat(rng.binomial(2, 0.4, (LEAST_SNPS - 5, 40)), 9, axis=0)
    write_plink(tmp_path / "d", few.astype(np.int8))
    result = lfmm2.run(None, tmp_path / "d.bed", rng.standard_normal(40), sweep="1:3", n_threads=1)
    assert result.scree is not None
    assert result.scree.n_snps == len(few)
    assert result.sweep is not None
    assert re.search(r"\(all SNPs: thinning by linkage leaves \d\d, too few to count axes\)$", result.sweep.reason)


def test_plan_has_the_passes(data: Path) -> None:
    options = RunOptions(test=TestOptions(sweep="1:5"))
    with prepare_run(None, data / "d.bed", data / "d.csv", None, options) as prepared:
        text = prepared.plan.describe()
        n_bytes = prepared.plan.n_bytes_read
    assert "1 for the factors, 1 to thin for K, 1 over what is left, 1 for the tests" in text
    options = RunOptions(test=TestOptions(sweep="1:5"), snps=SnpOptions(k_thin="off"))
    with prepare_run(None, data / "d.bed", data / "d.csv", None, options) as prepared, open_bed(data / "d.bed") as bed:
        assert n_bytes == prepared.plan.n_bytes_read + bed.n_snps * bed.bytes_per_snp


def test_option_is_part_of_the_identity_as_far_as_it_is_used(data: Path) -> None:
    def identity(k_thin: str, sweep: str | None) -> dict[str, Any]:
        test, snps = TestOptions(sweep=sweep), SnpOptions(k_thin=k_thin)
        options = RunOptions(test=test, snps=snps, output=OutputOptions("r"))
        with prepare_run(None, data / "d.bed", data / "d.csv", 2, options) as prepared:
            return prepared.identity

    assert identity("r2=0.2,window=50", "1:2") == identity("window=50,r2=0.20", "1:2")
    assert identity("r2=0.2,window=50", "1:2") != identity("r2=0.2,window=60", "1:2")
    assert identity("r2=0.2,window=50", None) == identity("off", None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("on", r"--k-thin 'on': 'on' is neither r2= nor window="),
        ("r2=2,window=9", r"--k-thin 'r2=2,window=9': r2 is 2"),
        (5, "k_thin is 5; write it as"),
    ],
)
def test_what_it_cannot_be_is_told_under_its_name(data: Path, text: Any, message: str) -> None:
    with pytest.raises(lfmm2.UsageError, match=message):
        run(data, sweep="1:3", k_thin=text)


def test_limit_is_raised_where_chance_alone_makes_r2_large() -> None:
    thin = ThinOptions(0.2, 200, option="k_thin")
    limits = [raise_limit(thin, n).r2 for n in (10_000, 200, 60, 24, 3)]
    assert limits == pytest.approx([0.2, 0.2, 0.353, 0.906, 0.95], abs=1e-3)
    rng = np.random.default_rng(4)
    n = 60
    Y = rng.binomial(2, 0.5, (n, 2000)).astype(float)
    Y = (Y - Y.mean(axis=0)) / Y.std(axis=0)
    r2 = (Y.T @ Y / n)[np.triu_indices(2000, 1)] ** 2
    assert (r2 > raise_limit(thin, n).r2).mean() < 2e-5 < (r2 > thin.r2).mean() / 10


def test_command_prints_axes_and_flat_stretch(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["run", "--bed", str(data / "d"), "--env", str(data / "d.csv"), "--sweep", "1:6", "--out", "r"])
    assert not ended.value.code
    lines = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines() if ":" in line)
    assert "2 axes by Tracy-Widom" in lines["structure"]
    assert lines["suggested K"].strip().startswith("2: 2 axes exceed")
    assert lines["flat GIF of x"].strip().startswith(("from K = ", "nowhere"))
