"""Pictures and words of a sweep that compares ridge penalties, of a small run."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import pytest

import lfmm2
from lfmm2 import plots
from lfmm2._words import with_error
from lfmm2.errors import MalformedInputError
from lfmm2.report.html_page import Contents, _choice_of_k
from lfmm2.report.k_plots import read_sweep
from lfmm2.results import StoredRun
from lfmm2.statistics import sweep_lines


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> lfmm2.AssociationResult:
    folder = tmp_path_factory.mktemp("penalties")
    data = lfmm2.simulate(folder / "d", 60, 400, n_causal=5, seed=2)
    with warnings.catch_warnings(action="ignore"):
        return lfmm2.run(None, data.bed, data.env, 2, sweep="1:3", sweep_lambda="0.3x,1e-5,1x", out=folder / "r")


@pytest.fixture(scope="module")
def run(result: lfmm2.AssociationResult) -> StoredRun:
    return StoredRun(result.paths["record"])


def rows_of(run: StoredRun, name: str, penalty: str) -> list[dict[str, Any]]:
    rows = run.small_table("sweep").to_pylist()
    return [row for row in rows if row["VARIABLE"] == name and row["LAMBDA"] == penalty]


def test_pictures_show_every_penalty_that_of_the_run_as_a_line(run: StoredRun) -> None:
    lines = [line for line in plots.gif_by_k(run, variables=["env2"]).get_lines() if len(line.get_xdata()) == 3]
    drawn = {line.get_linestyle(): [] for line in lines}  # type: dict[str, list[list[float]]]
    for line in lines:
        drawn[line.get_linestyle()].append(line.get_ydata().tolist())
    gifs = {of: [row["GIF"] for row in rows_of(run, "env2", of)] for of in ("1e-05", "0.3x", "1x")}
    assert drawn == {"-": [gifs["1e-05"]], ":": [gifs["0.3x"], gifs["1x"]]}
    legend = plots.gif_by_k(run).get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()][:4] == ["env1", "env2", "λ = 0.3x", "λ = 1x"]
    # Of a table alone, the first penalty is that of the run.
    table = run.small_table("sweep")
    assert plots.discoveries_by_k(table).get_lines()[0].get_linestyle() == ":"


def test_page_has_the_criteria_by_penalty_and_the_warning(run: StoredRun) -> None:
    contents = Contents(run, None, [SimpleNamespace(name="env1")], sweep=read_sweep(run).to_pylist())  # type: ignore[arg-type, list-item]
    page = _choice_of_k(contents)
    assert "The tables are of the ridge penalty λ = 1e-05; 0.3x, 1x stand beside it, dotted." in page
    assert "never by the smallest GIF" in page
    assert page.count("<tr") == 1 + 9


def test_sweep_table_that_lacks_a_penalty_is_told(run: StoredRun) -> None:
    table = run.small_table("sweep")
    broken = SimpleNamespace(
        record=run.record, variables=run.variables, path=lambda name: f"r.{name}.tsv",
        small_table=lambda name: table.filter([of != "1x" for of in table["LAMBDA"].to_pylist()]),
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lfmm2.report.k_plots.open_run", lambda run: run)
        with pytest.raises(MalformedInputError, match=r"has no row of env1 at K = 1 and λ = 1x, env2 at"):
            read_sweep(broken)  # type: ignore[arg-type]


def test_lines_of_the_terminal_have_columns_or_blocks(result: lfmm2.AssociationResult) -> None:
    sweep = result.sweep
    assert sweep is not None
    rows = {(row["LAMBDA"], row["VARIABLE"], row["K"]): row for row in sweep.table.to_pylist()}

    def cell(*key: Any) -> str:
        row = rows[key]
        return f"{with_error(row['GIF'], row['GIF_SE'])} {row['N_FDR05']:>6} {row['R2_FACTORS']:.2f}"

    # Three penalties and two variables do not fit side by side.
    blocks = sweep_lines(sweep, ("env1", "env2"))
    heads = [i for i, line in enumerate(blocks) if line.startswith("λ")]
    assert [blocks[i] for i in heads] == ["λ = 1e-05, that of the tables", "λ = 0.3x", "λ = 1x"]
    assert blocks[heads[2] + 4] == f"   2  {cell('1x', 'env1', 2):>23}  {cell('1x', 'env2', 2):>23}"
    beside = sweep_lines(sweep, ("env1",))
    assert beside[1].split() == ["λ", "=", "1e-05", "λ", "=", "0.3x", "λ", "=", "1x"]
    assert beside[4] == "   2" + "".join(f"  {cell(of, 'env1', 2):>23}" for of in ("1e-05", "0.3x", "1x"))
    for lines in (blocks, beside):
        assert lines[-1].endswith("never by the smallest GIF.")
        assert max(map(len, lines)) <= 100
