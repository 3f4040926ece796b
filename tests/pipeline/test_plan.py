"""The plan in words and numbers."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from made_plans import size_of_run

import lfmm2
from lfmm2._words import aligned, decimal_bytes, mebibytes, with_spaces
from lfmm2.model.eigensolvers import SolverOptions
from lfmm2.pipeline import RunOptions, execute_run, prepare_run
from lfmm2.pipeline.plan import make_plan
from lfmm2.pipeline.run_options import TestOptions
from lfmm2.process.limits import parse_memory

SIZE = size_of_run(
    990, 50_000, 5000, n_samples_read=1000, n_snps_read=60_000, n_variables=2, n_nuisance=1, variant_bytes=10**6
)


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        (1000, 1000), ("1000", 1000), ("2GB", 2 << 30), ("512MiB", 512 << 20), ("1.5g", 3 << 29), (" 3 tb ", 3 << 40),
        ("100kB", 100 << 10), (2e9, 2_000_000_000),
    ],
)  # fmt: skip
def test_parse_memory_takes_bytes_and_units(text, n_bytes):
    assert parse_memory(text) == n_bytes


@pytest.mark.parametrize("text", ["", "GB", "-1", "1e9", "2 PB", "nan", 0, -1, True, float("nan"), float("inf"), [1]])
def test_parse_memory_refuses_the_rest(text):
    with pytest.raises(lfmm2.UsageError, match="memory is"):
        parse_memory(text)


def test_parse_memory_takes_half_of_what_is_free(monkeypatch):
    monkeypatch.setattr("lfmm2.process.limits.available_memory", lambda: 1000)
    assert parse_memory(None) == 500


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1500, "1.5 kB"),
        (12_500_000, "12.5 MB"),
        (2.5e12, "2.5 TB"),
        (7e18, "7000.0 PB"),
    ],
)
def test_decimal_bytes_chooses_the_unit(n_bytes, text):
    assert decimal_bytes(n_bytes) == text


def test_mebibytes_are_rounded_up_and_spaced():
    assert mebibytes(1) == "1 MiB"
    assert mebibytes(12_345 << 20) == "12 345 MiB"


def test_describe_is_aligned_and_complete():
    plan = make_plan(SIZE, SolverOptions("krylov"), 1 << 32, 2, "parquet", filtered=True)
    lines = plan.describe().splitlines()
    assert {line[18] for line in lines} & {" "} == set()
    assert all(line[17] == " " for line in lines)
    text = dict(line.split(":", 1) for line in lines)
    assert text["samples"].strip() == "990 of 1 000"
    assert text["SNPs to test"].strip() == "at most 50 000 of 60 000"
    assert text["model"].strip() == "2 variables and 1 nuisance variable, K = 5"
    assert text["passes"].strip() == "1 for the filters, about 20 for the factors, 1 for the tests"
    assert text["to read"].strip() == "about 50.0 MB of genotypes"
    assert text["peak memory"].strip().endswith("of a budget of 4 096 MiB")
    assert text["output"].strip() == "about 18.0 MB, and 12.4 MB for the time of the run"


def test_plan_counts_passes_and_bytes():
    plan = make_plan(SIZE, SolverOptions("power", n_power_iter=3), 1 << 32, 1, None)
    assert plan.n_passes == 4
    assert plan.n_bytes_read == (4 * 5000 + 50_000) * 250
    assert "stay in memory" in plan.describe()


def test_loadings_are_counted_in_memory_and_on_disk():
    without, with_loadings = (
        make_plan(replace(SIZE, loadings=v), SolverOptions(), 1 << 32, 1, "tsv") for v in (False, True)
    )
    assert with_loadings.temporary_bytes - without.temporary_bytes == 8 * 5 * 50_000
    assert with_loadings.output_bytes > without.output_bytes


def test_aligned_makes_room_for_long_names():
    assert aligned({"a": "1", "x" * 30: "2"}).splitlines()[0] == "a:" + " " * 30 + "1"


def test_record_has_the_plan_by_the_names_that_it_had():
    kept = json.loads((Path(__file__).parents[1] / "data" / "record" / "array.json").read_text())["plan"]
    plan = make_plan(SIZE, SolverOptions("krylov"), 1 << 32, 2, "parquet").for_record()
    assert plan["matches"] == ()
    plan["matches"] = []  # as JSON has it
    assert [(name, type(value)) for name, value in plan.items()] == [(name, type(kept[name])) for name in kept]
    assert plan["factor_reserve"] < plan["test_reserve"] < plan["peak_memory"]


@pytest.mark.parametrize("solver", ["exact", "krylov", "power"])
@pytest.mark.parametrize("out_format", [None, "tsv"])
def test_least_memory_is_enough_and_a_mebibyte_less_is_not(solver, out_format):
    def plan(memory):
        return make_plan(SIZE, SolverOptions(solver=solver), memory, 2, out_format)

    least = plan(1).least_memory
    assert plan(least).peak_memory <= least
    assert plan(least - (1 << 20)).peak_memory > least - (1 << 20)
    with pytest.raises(lfmm2.InsufficientMemoryError, match=rf"at least {with_spaces(least >> 20)} MiB") as raised:
        plan(least - (1 << 20)).check()
    assert raised.value.minimum == least


def test_plan_of_a_small_array_is_small() -> None:
    rng = np.random.default_rng(0)
    options = RunOptions(command="lfmm2.run", memory="8GB")
    with prepare_run(None, rng.beta(2, 5, (80, 5000)), rng.normal(size=80), 3, options) as prepared:
        assert prepared.plan.peak_memory < 200 << 20


@pytest.mark.parametrize("n_threads", [1, 16])
def test_surrogates_of_one_kind_fit_into_the_memory_of_the_plan(tmp_path: Path, n_threads: int) -> None:
    data = lfmm2.simulate(tmp_path / "d", n_samples=203, n_snps=6000, seed=1)
    rng = np.random.default_rng(0)

    def run(memory: int, dry: bool) -> object:
        options = RunOptions(
            command="lfmm2.run", memory=memory, n_threads=n_threads, test=TestOptions(surrogates=5),
            solver=SolverOptions(solver="exact"),
        )  # fmt: skip
        with prepare_run(None, data.bed, X, 3, options) as prepared:
            return None if dry else execute_run(prepared)

    X = rng.normal(size=(203, 2))
    low, high = 1 << 20, 1 << 30
    while high - low > 1 << 14:
        middle = (low + high) // 2
        try:
            run(middle, dry=True)
            high = middle
        except lfmm2.InsufficientMemoryError:
            low = middle
    run(high, dry=False)
