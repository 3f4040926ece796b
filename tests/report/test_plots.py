"""Pictures: what is drawn, not how it looks; and that the host's matplotlib is left alone."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from made_results import write_results

matplotlib = pytest.importorskip("matplotlib")

from matplotlib.figure import Figure  # noqa: E402

from lfmm2 import plots  # noqa: E402
from lfmm2.errors import UsageError  # noqa: E402
from lfmm2.report import figure_style, picture_sums  # noqa: E402
from lfmm2.report.summaries import TableSummary, summarise_snps, summarise_table  # noqa: E402
from lfmm2.results.stored_run import StoredRun  # noqa: E402
from lfmm2.statistics import SurrogateTail  # noqa: E402

ORANGE = "#D55E00"


def make(folder: Path, **options: Any) -> StoredRun:
    rng = np.random.default_rng(3)
    z = rng.standard_normal((3000, 2))
    z[::300, 0] += 6
    return StoredRun(write_results(folder / "r", z, sweep=(0, 1, 2, 3, 4, 5, 6), **options))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> StoredRun:
    return make(tmp_path_factory.mktemp("r"))


@pytest.fixture(scope="module")
def table(run: StoredRun) -> TableSummary:
    return summarise_table(run, "env1")


def texts(ax: Any) -> str:
    """All text of a drawn figure."""
    ax.figure.draw_without_rendering()
    return "\n".join(t.get_text() for t in ax.figure.findobj(matplotlib.text.Text) if t.get_visible())


def dots(ax: Any) -> dict[str, int]:
    """Number of dots of a Manhattan plot by colour."""
    numbers: dict[str, int] = {}
    for line in ax.get_lines():
        if line.get_marker() == ".":
            numbers[line.get_color()] = numbers.get(line.get_color(), 0) + len(line.get_xdata())
    return numbers


def test_manhattan_draws_every_snp_and_marks_the_discoveries(table: TableSummary) -> None:
    numbers = dots(plots.manhattan(table))
    assert sum(numbers.values()) == table.n_tested
    assert numbers[ORANGE] == table.discoveries[0].count >= 10


def test_manhattan_has_the_line_of_the_fdr_and_its_name(table: TableSummary) -> None:
    ax = plots.manhattan(table)
    lines = [line.get_ydata()[0] for line in ax.get_lines() if line.get_linestyle() in ("--", ":")]
    assert lines == sorted({of.line for of in table.discoveries if of.count}, reverse=True)
    assert "FDR 5" in texts(ax)


def test_manhattan_names_contigs_below_their_middles(table: TableSummary) -> None:
    ax = plots.manhattan(table)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "3"]
    middles = table.layout.starts + table.layout.widths / 2
    np.testing.assert_allclose(ax.get_xticks(), middles)


def test_manhattan_of_one_contig_has_positions(tmp_path: Path) -> None:
    run = StoredRun(
        write_results(tmp_path / "r", np.ones((500, 1)), chrom=["chr7"] * 500, pos=4_000_000 + np.arange(500) * 4000)
    )
    ax = plots.manhattan(run)
    assert ax.get_xlabel() == "position on chr7 (Mb)"
    shown = dict(zip([label.get_text() for label in ax.get_xticklabels()], ax.get_xticks(), strict=True))
    assert shown["5"] == pytest.approx(1e6)


def test_manhattan_leaves_out_names_without_room(tmp_path: Path) -> None:
    chrom = [f"scaffold_{i // 10:04d}" for i in range(3000)]
    run = StoredRun(write_results(tmp_path / "r", np.ones((3000, 1)), chrom=chrom))
    ax = plots.manhattan(run)
    ax.figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels()]
    assert 5 <= len(boxes) < 30
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes))
    assert f"(300, of which {len(boxes)} are named)" in ax.get_xlabel()


def test_manhattan_draws_cells_of_the_grid(run: StoredRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_sums, "_FEW_SNPS", 0)
    table = summarise_table(run, "env1")
    cells = int((table.manhattan.grid > 0).sum())
    assert sum(dots(plots.manhattan(table)).values()) == cells + len(table.manhattan.y) < table.n_tested


def test_cells_beyond_the_line_are_discoveries(run: StoredRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_sums, "_FEW_SNPS", 0)
    monkeypatch.setattr(picture_sums, "_MOST_POINTS", 4)
    table = summarise_table(run, "env1")
    assert table.manhattan.full_from > table.discoveries[0].line
    assert dots(plots.manhattan(table))[ORANGE] > len(table.manhattan.y)


def test_qq_has_raw_and_calibrated_points_and_the_band(table: TableSummary) -> None:
    ax = plots.qq(table)
    by_label = {line.get_label(): line.get_ydata().tolist() for line in ax.get_lines()}
    assert by_label["raw"] == table.qq_raw.observed.tolist()
    assert by_label["calibrated"] == table.qq.observed.tolist()
    assert len(ax.collections) == 1


def test_qq_shows_the_null_of_the_surrogates(table: TableSummary) -> None:
    ax = plots.qq(replace(table, surrogates=SurrogateTail(12.0, [2.0, 1.0, 0.1], [2.5, 1.1, 0.1])))
    line = next(line for line in ax.get_lines() if line.get_label() == "surrogates")
    assert line.get_xydata().tolist() == [[2.0, 2.5], [1.0, 1.1], [0.1, 0.1]]
    without = plots.qq(replace(table, surrogates=SurrogateTail(12.0, [], [])))
    assert "surrogates" not in {line.get_label() for line in without.get_lines()}


def test_histogram_shows_the_counts(table: TableSummary) -> None:
    bars, outline = plots.p_histogram(table).patches
    assert bars.get_data().values.tolist() == table.p_counts.tolist()
    assert outline.get_data().values.tolist() == table.p_counts_raw.tolist()


def test_scree_shows_eigenvalues_and_counts_axes(run: StoredRun) -> None:
    ax = plots.scree(run)
    assert ax.get_title(loc="left") == "3 of 20 axes have Tracy–Widom p < 0.01"
    filled = next(line for line in ax.get_lines() if line.get_label() == "p < 0.01")
    assert filled.get_ydata().tolist() == [9, 6, 3]


@pytest.mark.parametrize(
    ("function", "columns"), [(plots.gif_by_k, ["GIF"]), (plots.discoveries_by_k, ["N_FDR05", "N_FDR10"])]
)
def test_by_k_shows_each_variable(run: StoredRun, function: Any, columns: list[str]) -> None:
    rows = run.small_table("sweep").to_pylist()
    drawn = [line.get_ydata().tolist() for line in function(run).get_lines() if line.get_marker() != "None"]
    expected = [[row[c] for row in rows if row["VARIABLE"] == v] for v in ("env1", "env2") for c in columns]
    assert drawn == expected
    only = function(run.small_table("sweep"), variables=["env2"]).get_lines()
    assert [line.get_ydata().tolist() for line in only if line.get_marker() != "None"] == expected[len(columns) :]


@pytest.mark.parametrize("n", [1, 2, 7, 20, 50, 100])
def test_axes_and_factors_are_numbered_from_1(n: int) -> None:
    numbers = np.arange(1, n + 1)
    scree = pa.table({"AXIS": numbers, "EIGENVALUE": numbers[::-1] / n})
    texts = {"VARIABLE": ["a"] * n, "LAMBDA": ["1e-05"] * n}
    sweep = pa.table({"K": numbers, **texts, "GIF": [1.0] * n, "N_FDR05": [1] * n, "N_FDR10": [1] * n})
    for ax in (plots.scree(scree), plots.gif_by_k(sweep)):
        ticks = ax.get_xticks().tolist()
        assert ticks[0] == 1
        assert len(ticks) <= 12
        assert set(ticks) <= set(numbers)
        assert ax.get_xlim()[0] < 1 <= n < ax.get_xlim()[1]


def test_a_sweep_from_0_is_numbered_from_0(run: StoredRun) -> None:
    assert plots.gif_by_k(run).get_xticks().tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_many_factors_have_their_own_numbers(tmp_path: Path) -> None:
    ax = plots.factor_correlations(make(tmp_path, K=40))
    places = {int(label.get_text()): at for label, at in zip(ax.get_xticklabels(), ax.get_xticks(), strict=True)}
    assert {1, 40} <= set(places)
    assert all(at == number - 1 for number, at in places.items())


def test_without_calibration_one_set_of_p_is_drawn(tmp_path: Path) -> None:
    run = make(tmp_path, method="none")
    shown = [draw(run) for draw in (plots.manhattan, plots.qq, plots.p_histogram, plots.histograms_by_k)]
    assert not any("calibrated" in texts(ax) for ax in shown)
    assert not any("calibrated" in line.get_label() for line in shown[1].get_lines())
    assert len(shown[2].patches) == 1
    assert [len(panel.patches) for panel in shown[3].child_axes] == [1] * 7
    by_table = plots.histograms_by_k(run.small_table("sweep-histograms"))
    assert by_table.get_title(loc="left") == "env1: p by K"


def test_with_calibration_the_axes_say_so(run: StoredRun) -> None:
    for draw in (plots.manhattan, plots.qq, plots.p_histogram, plots.histograms_by_k):
        assert "calibrated" in texts(draw(run))
    assert "calibrated (bars)" in texts(plots.histograms_by_k(run.small_table("sweep-histograms")))


def test_one_axis_and_one_snp_are_singular() -> None:
    one = pa.table({"AXIS": [1, 2], "EIGENVALUE": [2.0, 1.0], "TW_P": [0.001, 0.5]})
    assert plots.scree(one).get_title(loc="left") == "1 of 2 axes has Tracy–Widom p < 0.01"


def test_by_k_names_no_more_variables_than_have_room(run: StoredRun) -> None:
    table = run.small_table("sweep")
    many = pa.concat_tables([table.set_column(1, "VARIABLE", [[f"v{j}"] * len(table)]) for j in range(100)])
    ax = plots.gif_by_k(many)
    assert len(ax.get_legend().get_texts()) == 14
    assert ax.get_legend().get_title().get_text() == "first 14 of 100"
    assert sum(line.get_marker() != "None" for line in ax.get_lines()) == 100
    assert figure_style.as_png(ax, 30)


def test_by_k_marks_the_k_of_the_tables_and_the_suggested(run: StoredRun) -> None:
    lines = {line.get_label(): line.get_xdata()[0] for line in plots.gif_by_k(run).get_lines()}
    assert lines["K of the tables"] == run.n_factors
    assert lines["K suggested"] == run.record.sweep.suggested


def test_histograms_by_k_has_a_panel_for_each(run: StoredRun) -> None:
    panels = plots.histograms_by_k(run, "env2").child_axes
    assert [panel.get_title(loc="left") for panel in panels] == [f"K = {k}" for k in range(7)]
    rows = run.small_table("sweep-histograms").to_pylist()
    expected = [r["COUNT"] for r in rows if (r["K"], r["VARIABLE"], r["P"]) == (4, "env2", "calibrated")]
    assert panels[4].patches[0].get_data().values.tolist() == expected


def test_factors_show_samples_by_the_variable(run: StoredRun) -> None:
    (points,) = plots.factors(run, "env2", pair=(3, 1)).collections
    U, (names, X) = run.factors().U, run.design()
    assert points.get_offsets().tolist() == U[:, [2, 0]].tolist()
    assert points.get_array().tolist() == X[:, names.index("env2")].tolist()


def test_factors_that_do_not_exist_are_an_error(run: StoredRun) -> None:
    with pytest.raises(UsageError, match="numbered from 1 to 3"):
        plots.factors(run, "env1", pair=(1, 4))
    with pytest.raises(UsageError, match="no variable of this run; it has env1, env2"):
        plots.factors(run, "env3")


@pytest.mark.parametrize("K", [0, 1])
def test_few_factors_are_drawn(tmp_path: Path, K: int) -> None:
    run = make(tmp_path, K=K)
    assert ("no factors" in texts(plots.factors(run))) == (K == 0)
    assert ("no factors" in texts(plots.factor_correlations(run))) == (K == 0)


def test_correlations_are_those_of_numpy(run: StoredRun) -> None:
    (image,) = plots.factor_correlations(run).get_images()
    expected = np.corrcoef(run.design()[1].T, run.factors().U.T)[:2, 2:]
    np.testing.assert_allclose(image.get_array(), expected, atol=1e-12)


def test_frequencies_and_missing_calls_show_the_counts(run: StoredRun) -> None:
    snps = summarise_snps(run)
    assert plots.frequencies(snps).patches[0].get_data().values.tolist() == snps.frequency_counts.tolist()
    assert plots.missingness(run).patches[0].get_data().values.tolist() == snps.missing_counts.tolist()


def test_given_axes_are_drawn_into(run: StoredRun, table: TableSummary) -> None:
    for draw in (plots.manhattan, plots.qq, plots.p_histogram):
        ax = Figure().add_subplot()
        assert draw(table, ax=ax) is ax
    for of_run in (plots.scree, plots.gif_by_k, plots.factors, plots.factor_correlations, plots.histograms_by_k):
        ax = Figure().add_subplot()
        assert of_run(str(run.prefix), ax=ax) is ax


def test_settings_of_the_host_are_left_alone_and_do_not_matter(table: TableSummary) -> None:
    plain = figure_style.as_png(plots.manhattan(table), 50)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "lines.linewidth": 9}):
        before = dict(matplotlib.rcParams)
        assert figure_style.as_png(plots.manhattan(table), 50) == plain
        assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(
    "name", ["$\\frac{a$", "a $x^2$ b", "_hidden", "line\nbreak\x07", "x" * 500, "température µ", "温度", "<b>&\"'"]
)
def test_any_name_can_be_drawn(tmp_path: Path, name: str) -> None:
    chrom = [name] * 40 + ["other"] * 40
    run = make_named(tmp_path, name, chrom)
    for draw in (plots.manhattan, plots.qq, plots.histograms_by_k, plots.factors):
        assert figure_style.as_png(draw(run), 30).startswith(b"\x89PNG")
    for draw in (plots.gif_by_k, plots.factor_correlations):
        assert figure_style.as_png(draw(run), 30).startswith(b"\x89PNG")
    assert any(figure_style.plain(name, 24) == text.get_text() for text in plots.gif_by_k(run).get_legend().get_texts())


def make_named(folder: Path, name: str, chrom: list[str]) -> StoredRun:
    """A run whose variable has a name that no file can have."""
    z = np.random.default_rng(1).standard_normal((80, 1))
    run = StoredRun(write_results(folder / "r", z, variables=("safe",), chrom=chrom, sweep=(1, 2)))
    table, sweep, bins = summarise_table(run, "safe"), *map(run.small_table, ("sweep", "sweep-histograms"))
    named = [t.set_column(1, "VARIABLE", [[name] * len(t)]) for t in (sweep, bins)]

    class Named(StoredRun):
        def __init__(self) -> None:
            self.__dict__ |= run.__dict__
            self.variables = self.tables = (name,)
            calibration = replace(run.record.calibration, variables={name: run.record.calibration.tests["safe"]})
            self.record = replace(run.record, calibration=calibration)

        def blocks(self, table: str, *more: Any, **options: Any) -> Any:
            return run.blocks("safe", *more, **options)

        def columns(self, table: str) -> Any:
            return run.columns("safe")

        def design(self) -> Any:
            return (name,), run.design()[1]

        def small_table(self, kind: str) -> Any:
            return named[kind == "sweep-histograms"]

    assert table.n_tested == 80
    return Named()


def test_nothing_to_draw_says_so(tmp_path: Path) -> None:
    run = StoredRun(write_results(tmp_path / "r", np.full((20, 1), np.nan)))
    for draw in (plots.manhattan, plots.qq, plots.p_histogram):
        assert "no SNP has a p" in texts(draw(run))
        assert figure_style.as_png(draw(run), 30)


def test_one_snp_can_be_drawn(tmp_path: Path) -> None:
    run = StoredRun(write_results(tmp_path / "r", np.full((1, 1), 2.0)))
    for draw in (plots.manhattan, plots.qq, plots.p_histogram, plots.frequencies, plots.missingness):
        assert figure_style.as_png(draw(run), 30)


def test_without_matplotlib_the_remedy_is_named(table: TableSummary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'lfmm2\[plot\]'"):
        plots.manhattan(table)


def test_pyplot_is_never_imported(run: StoredRun) -> None:
    code = (
        "import sys; from lfmm2 import plots; from lfmm2.report import figure_style\n"
        "assert 'matplotlib' not in sys.modules\n"
        f"figure_style.as_png(plots.manhattan({str(run.prefix)!r}), 30)\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
