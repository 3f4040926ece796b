"""Columns are declared once: the page on files, the results and the readers have them from there.

A model with a column of its own stands here in full. It reaches tables, results, hits, report and page though no module
of the package knows it.
"""

from __future__ import annotations

import importlib.util
import pickle
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest
from numpy.typing import NDArray

import lfmm2
from lfmm2.downstream.hits import RATES, find_hits
from lfmm2.downstream.offset import EFFECTS
from lfmm2.genotypes.matrix import CrossProducts
from lfmm2.model import sweep
from lfmm2.model.association import AssociationModel, BlockStatistics
from lfmm2.model.columns import COLUMNS, Column, Tables
from lfmm2.model.factors import LatentFactors
from lfmm2.model.ridge import ridge_geometry
from lfmm2.pipeline import stages
from lfmm2.report import summaries
from lfmm2.results.stored_run import StoredRun

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
DOCS = Path(__file__).parent.parent / "docs"
N, P, K = 80, 700, 3


def load_generator():
    spec = importlib.util.spec_from_file_location("docs_columns", DOCS / "columns.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


generator = load_generator()


@dataclass(frozen=True)
class BlockWithPartialR2(BlockStatistics):
    partial_r2: NDArray[np.float64]


class PartialR2Model(AssociationModel):
    """The regression, with the share that each variable explains of what all others and the factors leave."""

    columns = COLUMNS.extended(
        Column("PARTIAL_R2", "share of the SNP's variance given all else", "partial_r2", in_hits=True)
    )

    def test_block(self, block: CrossProducts) -> BlockStatistics:
        statistics = super().test_block(block)
        squares = statistics.t**2
        return BlockWithPartialR2(**vars(statistics), partial_r2=squares / (squares + self.df))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> lfmm2.Simulation:
    return lfmm2.simulate(tmp_path_factory.mktemp("data") / "d", n_samples=N, n_snps=P, n_causal=3, seed=4)


@pytest.fixture(scope="module")
def result(data: lfmm2.Simulation) -> lfmm2.AssociationResult:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", lfmm2.CalibrationWarning)
        return lfmm2.run(None, data.bed, data.env, K)


@pytest.fixture
def own_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "AssociationModel", PartialR2Model)


@pytest.mark.usefixtures("own_model")
def test_column_of_another_model_is_in_results_in_memory(data: lfmm2.Simulation) -> None:
    result = lfmm2.run(None, data.bed, data.env, K)
    expected = result.t**2 / (result.t**2 + result.df)
    np.testing.assert_array_equal(result.partial_r2, expected)
    for j, name in enumerate(result.variables):
        table = result.table(name)
        assert table.column_names[-2:] == ["PARTIAL_R2", "STATUS"]
        np.testing.assert_array_equal(table["PARTIAL_R2"].to_numpy(), expected[:, j])
    assert "PARTIAL_R2" not in result.table("joint").column_names


@pytest.mark.usefixtures("own_model")
@pytest.mark.parametrize("form", ["parquet", "tsv.gz"])
def test_column_of_another_model_is_in_files_and_what_is_made_of_them(
    data: lfmm2.Simulation, tmp_path: Path, form: str
) -> None:
    result = lfmm2.run(None, data.bed, data.env, K, out=tmp_path / "r", format=form)
    expected = result.t**2 / (result.t**2 + result.df)
    np.testing.assert_array_equal(result.table("env2")["PARTIAL_R2"].to_numpy(), expected[:, 1])
    run = StoredRun(tmp_path / "r", PartialR2Model.columns)
    (block,) = run.blocks("env2", ["PARTIAL_R2"])
    np.testing.assert_array_equal(block["PARTIAL_R2"].to_numpy(), expected[:, 1])
    hits = find_hits(run, fdr=1)
    of_variable = hits.filter(pc.equal(hits["VARIABLE"], "env2"))
    by_id = dict(zip(of_variable["ID"].to_pylist(), of_variable["PARTIAL_R2"].to_pylist(), strict=True))
    expected_by_id = dict(zip(result.table("env2")["ID"].to_pylist(), expected[:, 1].tolist(), strict=True))
    assert len(by_id) > P - 20  # a q of 1 is no hit
    assert by_id == {snp: expected_by_id[snp] for snp in by_id}
    joint = hits.filter(pc.equal(hits["VARIABLE"], "joint"))
    assert joint["PARTIAL_R2"].null_count == len(joint) > P - 20
    assert lfmm2.write_report(tmp_path / "r", dpi=40)


def test_column_of_another_model_changes_no_other_byte(data: lfmm2.Simulation, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = lfmm2.run(None, data.bed, data.env, K)
    monkeypatch.setattr(stages, "AssociationModel", PartialR2Model)
    own = lfmm2.run(None, data.bed, data.env, K)
    for name in (*plain.variables, "joint"):
        assert own.table(name).select(plain.table(name).column_names).equals(plain.table(name))


def test_page_generator_shows_the_column_of_another_model() -> None:
    lines = generator.column_lines(PartialR2Model.columns).splitlines()
    added = set(lines) - set(generator.column_lines(COLUMNS).splitlines())
    meaning = "share of the SNP's variance given all else"
    assert added == {f"| PARTIAL_R2 | float64 | `partial_r2` | variable, hits | {meaning} |"}
    page = generator.renewed(generator.PAGE.read_text(encoding="utf-8"), PartialR2Model.columns)
    assert generator.renewed(page, COLUMNS) == generator.PAGE.read_text(encoding="utf-8")


def test_page_on_files_has_the_declared_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert generator.main([]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("column", [column for column in COLUMNS if column.attribute], ids=lambda column: column.name)
def test_names_in_python_are_attributes_of_results(result: lfmm2.AssociationResult, column: Column) -> None:
    if column.tables is not Tables.JOINT:
        values = getattr(result, column.attribute)
        expected = [result.table(name)[column.name].to_numpy() for name in result.variables]
        if column.labels:
            expected = [[column.labels.index(text) for text in texts] for texts in expected]
        np.testing.assert_array_equal(values.T, expected if values.ndim == 2 else expected[0])
    if column.tables is not Tables.VARIABLE and not column.labels:
        expected = result.table("joint")[column.name].to_numpy()
        np.testing.assert_array_equal(getattr(result, column.joint_attribute), expected)


def test_names_that_no_column_has_are_no_attributes(result: lfmm2.AssociationResult) -> None:
    for name in ("t_stat", "f_beta", "f_frequency", "_x"):
        with pytest.raises(AttributeError, match=name):
            getattr(result, name)
    again = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(again.var_factors, result.var_factors)


def test_names_that_readers_ask_for_are_declared() -> None:
    names = {column.name for column in COLUMNS}
    assert {*RATES.values(), *EFFECTS.values(), *summaries._TEXTS, *summaries._NUMBERS} <= names
    assert RATES == {"q": "Q", "q_storey": "Q_STOREY", "lfdr": "LFDR"}


@pytest.mark.parametrize("kind", [AssociationModel, PartialR2Model])
def test_sweep_has_the_columns_of_its_full_model(kind: type[AssociationModel], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "AssociationModel", kind)
    rng = np.random.default_rng(0)
    ridge = ridge_geometry(rng.standard_normal((20, 2)), 1e-5)
    U = np.linalg.qr(rng.standard_normal((20, 2)))[0]
    factors = LatentFactors(U, np.ones(2), np.zeros(2), 0.0, "exact", "", 1, True, U, 1e-5, 5)
    assert sweep.SweepModel(ridge, factors, 1, (1, 2), 2, "paper").columns is kind.columns
