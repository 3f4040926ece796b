"""What a notebook and an analyst ask of a result: frames, the strongest SNPs, pictures, saving what is in memory."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lfmm2

FAST: dict[str, Any] = {"K": 2, "n_threads": 1, "surrogates": 0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> lfmm2.Simulation:
    return lfmm2.simulate(tmp_path_factory.mktemp("notebook") / "plants", n_samples=60, n_snps=900, seed=3)


@pytest.fixture(scope="module")
def in_memory(data: lfmm2.Simulation) -> lfmm2.AssociationResult:
    return lfmm2.run(None, data.bed, data.env, loadings=True, **FAST)


@pytest.fixture(scope="module")
def in_files(data: lfmm2.Simulation, tmp_path_factory: pytest.TempPathFactory) -> lfmm2.AssociationResult:
    out = tmp_path_factory.mktemp("written") / "r"
    return lfmm2.run(None, data.bed, data.env, out=out, loadings=True, **FAST)


def contents(result: lfmm2.AssociationResult) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in result.paths.items() if name not in ("log", "record")}


def test_saved_result_is_what_the_run_would_have_written(in_memory, in_files, tmp_path) -> None:
    saved = in_memory.save(tmp_path / "later")
    assert contents(saved) == contents(in_files)
    assert lfmm2.verify(tmp_path / "later")
    np.testing.assert_array_equal(saved.q, in_memory.q)


def test_sweep_is_saved(data, tmp_path) -> None:
    options = {**FAST, "sweep": "1:3"}
    written = lfmm2.run(None, data.bed, data.env, out=tmp_path / "a", **options)
    saved = lfmm2.run(None, data.bed, data.env, **options).save(tmp_path / "b", format="parquet")
    assert contents(saved) == contents(written)


def test_array_in_memory_is_saved(tmp_path) -> None:
    rng = np.random.default_rng(0)
    Y, x = rng.normal(size=(40, 300)), rng.normal(size=40)
    result = lfmm2.run(None, Y, x, **FAST)
    saved = result.save(tmp_path / "array", format="tsv")
    np.testing.assert_allclose(saved.t, result.t, rtol=1e-12)


def test_save_overwrites_only_when_told(in_memory, tmp_path) -> None:
    in_memory.save(tmp_path / "r")
    with pytest.raises(lfmm2.OutputExistsError, match="exists"):
        in_memory.save(tmp_path / "r")
    assert in_memory.save(tmp_path / "r", overwrite=True).paths


def test_files_are_not_saved_again(in_files, tmp_path) -> None:
    with pytest.raises(lfmm2.UsageError, match="in files already"):
        in_files.save(tmp_path / "copy")


def test_pickled_result_says_why_it_cannot_be_saved(in_memory, tmp_path) -> None:
    copy = pickle.loads(pickle.dumps(in_memory))
    np.testing.assert_array_equal(copy.t, in_memory.t)
    with pytest.raises(lfmm2.UsageError, match="was pickled"):
        copy.save(tmp_path / "r")


@pytest.mark.parametrize("where", ["memory", "files"])
def test_top_is_sorted_by_calibrated_p(where, in_memory, in_files) -> None:
    result = in_memory if where == "memory" else in_files
    frame = result.top(7, by="env2")
    strength = result.neg_log10_p_calibrated[:, 1]
    rows = np.argsort(-np.nan_to_num(strength, nan=-1), kind="stable")[:7]
    assert frame["ID"].tolist() == [f"snp{row + 1}" for row in rows] or len(frame) == 7
    np.testing.assert_array_equal(frame["NEG_LOG10_P_CAL"], strength[rows])
    assert list(frame.columns) == result.table("env2").column_names
    joint = result.top(3)
    assert list(joint.columns) == result.table("joint").column_names
    assert len(result.top(0, by="env1")) == 0
    assert len(result.top(10_000, by="env1")) == np.count_nonzero(~np.isnan(result.neg_log10_p_calibrated[:, 0]))
    for wrong in (-1, 2.5, True):
        with pytest.raises(lfmm2.UsageError, match="number of SNPs"):
            result.top(wrong)


def test_frames_of_the_libraries_there_are(in_memory) -> None:
    assert in_memory.to_frame("env1").equals(in_memory.table("env1").to_pandas())
    assert in_memory.to_frame("env1", library="pyarrow").equals(in_memory.table("env1"))
    with pytest.raises(lfmm2.UsageError, match="one of pandas, polars, pyarrow"):
        in_memory.to_frame("env1", library="dplyr")
    polars = pytest.importorskip("polars")
    assert isinstance(in_memory.to_frame("env1", library="polars"), polars.DataFrame)


def test_library_that_is_absent_is_named(in_memory, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(lfmm2.UsageError, match="pip install polars"):
        in_memory.to_frame("env1", library="polars")


def test_reprs_are_short_and_html_is_safe(data, in_memory, in_files) -> None:
    assert "60 samples × 900 SNPs" in repr(in_memory)
    assert len(repr(in_memory)) < 200
    for result in (in_memory, in_files):
        html = result._repr_html_()
        assert html.count("<table>") == 3
        assert "<td>env1</td>" in html
    rng = np.random.default_rng(1)
    import pandas as pd

    odd = pd.DataFrame({"<b>x": rng.normal(size=40)})
    html = lfmm2.run(None, rng.normal(size=(40, 300)), odd, **FAST)._repr_html_()
    assert "<b>x" not in html
    assert "&lt;b&gt;x" in html


def test_pictures_hits_and_report_of_a_result_in_memory(in_memory, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    assert in_memory.plot.manhattan("env2").get_title("left").startswith("env2, K = 2")
    assert "manhattan" in dir(in_memory.plot)
    with pytest.raises(AttributeError, match=r"there are .*manhattan"):
        in_memory.plot.manhatan  # noqa: B018
    assert list(in_memory.hits(fdr=0.5).columns)[:3] == ["VARIABLE", "CHROM", "POS"]
    with pytest.raises(lfmm2.UsageError, match="give out="):
        in_memory.report()
    assert in_memory.report(tmp_path / "page.html") == [tmp_path / "page.html"]


def test_temporary_files_go_with_the_result(data) -> None:
    result = lfmm2.run(None, data.bed, data.env, **FAST)
    folder = Path(result.written()["record"]).parent
    assert folder.is_dir()
    del result
    import gc

    gc.collect()
    assert not folder.exists()


def test_pictures_are_shown_by_an_interactive_pyplot_and_those_of_a_report_are_not(in_files, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    in_files.plot.qq("env1")
    assert plt.get_fignums() == before
    with plt.ion():
        axes = in_files.plot.qq("env1")
        assert [plt.figure(number) for number in plt.get_fignums() if number not in before] == [axes.figure]
        plt.close(axes.figure)
        in_files.report(tmp_path / "page.html")
    assert plt.get_fignums() == before


def test_factors_have_a_short_repr(in_files) -> None:
    shown = repr(in_files.factors)
    assert shown.startswith("<LatentFactors: K=2, 60 samples, 900 SNPs, exact, largest residual ")
    assert len(shown) < 120


def test_html_of_factors_has_a_row_for_each(in_files) -> None:
    html = in_files.factors._repr_html_()
    assert "LFMM2 factors, K = 2" in html
    assert html.count("<td>factor") == 2
    assert "<td>factor1</td>" in in_files.factors.leading(1)._repr_html_()
    assert "<td>factor" not in in_files.factors.leading(0)._repr_html_()


def test_html_of_genotypes_has_sizes_and_first_snps(data) -> None:
    with lfmm2.open_bed(data.bed) as bed:
        html = bed._repr_html_()
    for part in ("60", "900", "plants.bed", "plants.bim", "<td>snp0000005</td>"):
        assert part in html
    assert "<td>snp0000006</td>" not in html
    named = lfmm2.named_array(np.ones((3, 2)), samples=["<i>a", "b", "c"], features=["x", "y"])
    assert repr(named) == "<ArraySource: the array, 3 samples × 2 features>"
    assert "&lt;i&gt;a, b, c" in named._repr_html_()
    assert "features" in named._repr_html_()
    assert "only numbered" in lfmm2.named_array(np.ones((3, 2)))._repr_html_()


def test_tab_completion_shows_what_is_there(in_memory) -> None:
    import lfmm2.plots

    assert dir(lfmm2.plots) == sorted(lfmm2.plots.__all__)
    assert dir(lfmm2) == sorted(lfmm2.__all__)
    shown = set(dir(in_memory))
    assert {"q", "top", "plot", "save", "variables", "var_factors", "f_local_fdr"} <= shown
    for name in shown:
        assert name.startswith("_") or getattr(in_memory, name) is not None or name in ("sweep", "imputation"), name
