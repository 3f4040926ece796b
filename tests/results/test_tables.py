"""Tables of results: declared columns, missing values, alleles, the joint test, loadings."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from scipy import stats

from lfmm2.model.columns import COLUMNS, Column, Columns, RowLayout, Status, Tables
from lfmm2.results.tables import (
    CalibratedStatistic,
    JointScores,
    column_types,
    loadings_array,
    loadings_schema,
    loadings_table,
    statistics_table,
    table_schema,
)
from lfmm2.statistics.calibration import Calibration, JointStatistic, MagnitudeHistogram, StudentStatistic, calibrate

Floats = NDArray[np.float64]
N, D, DF = 40, 2, 30
SHARED = COLUMNS.layout(per_variable=False)
OWN = COLUMNS.layout(per_variable=True)
VARIANTS = pa.table(
    {
        "CHROM": ["1"] * N,
        "POS": pa.array(range(N), pa.int64()),
        "ID": [f"snp{i}" for i in range(N)],
        "A1": ["A"] * N,
        "A2": ["C"] * N,
    }
)


def made_block() -> SimpleNamespace:
    """Statistics of N SNPs, each number another, the third SNP without variation."""
    rng = np.random.default_rng(0)
    block = SimpleNamespace(status=np.zeros(N, np.uint8), n_called=np.arange(100, 100 + N))
    block.status[2] = Status.NO_VARIATION
    for name in SHARED.names:
        if name not in vars(block):
            setattr(block, name, rng.random(N))
    for name in OWN.names:
        setattr(block, name, rng.standard_normal((N, D)))
    for name in (*OWN.names, "f_stat", "least_carriers", "var_variables", "var_factors", "var_residual"):
        getattr(block, name)[2] = np.nan
    block.t_sound, block.f_sound = block.t.copy(), block.f_stat.copy()
    return block


BLOCK = made_block()
COMMON = SHARED.rows(BLOCK)


def calibration_of(statistic: StudentStatistic | JointStatistic, values: Floats) -> Calibration:
    magnitudes = statistic.magnitudes(values)
    histogram = MagnitudeHistogram()
    histogram.add(magnitudes)
    return calibrate(statistic, "student", histogram, lambda: [magnitudes])


T = calibration_of(StudentStatistic(DF), BLOCK.t[:, 1])
F = calibration_of(JointStatistic(D, DF), BLOCK.f_stat)
OF_VARIABLE = statistics_table(COLUMNS, VARIANTS, COMMON, OWN.rows(BLOCK, 1), T, counts_a1=False)
# The values that are calibrated are others than F, and the smallest p of SNP i is 10^-i.
SCORES = JointScores(np.column_stack([np.sqrt(2 * BLOCK.f_stat), np.where(np.isnan(BLOCK.f_stat), np.nan, range(N))]))
JOINT = statistics_table(COLUMNS, VARIANTS, COMMON, None, F, counts_a1=False, scores=SCORES)


def test_tables_have_the_columns_of_the_format() -> None:
    # these names are a promise to the readers of result files
    variant = "CHROM POS ID A1 OMITTED A1_FREQ OBS_CT"
    tails = "P NEG_LOG10_P P_CAL NEG_LOG10_P_CAL Q Q_STOREY LFDR"
    of_variable = f"{variant} BETA SE T_STAT EFF_CARRIERS {tails} RIDGE_BETA STATUS"
    joint = f"{variant} F_STAT LEAST_CARRIERS {tails} MIN_P MIN_Q VAR_VARIABLES VAR_FACTORS VAR_RESIDUAL STATUS"
    assert OF_VARIABLE.column_names == table_schema(COLUMNS, joint=False).names == of_variable.split()
    assert JOINT.column_names == table_schema(COLUMNS, joint=True).names == joint.split()


def test_types_are_text_whole_numbers_and_doubles() -> None:
    kinds = dict.fromkeys(("CHROM", "ID", "A1", "OMITTED", "STATUS"), pa.string())
    kinds |= dict.fromkeys(("POS", "OBS_CT"), pa.int64())
    for table in (OF_VARIABLE, JOINT):
        assert {f.name: f.type for f in table.schema} == {n: kinds.get(n, pa.float64()) for n in table.column_names}
    assert column_types(COLUMNS) == {f.name: f.type for f in [*OF_VARIABLE.schema, *JOINT.schema]}


@pytest.mark.parametrize("table", [OF_VARIABLE, JOINT], ids=["variable", "joint"])
def test_each_column_has_its_own_statistic(table: pa.Table) -> None:
    for column in COLUMNS.of_table(joint=table is JOINT):
        if column.attribute in SHARED.names and not column.labels:
            np.testing.assert_array_equal(table[column.name].to_numpy(), getattr(BLOCK, column.attribute))
        elif column.attribute in OWN.names:
            np.testing.assert_array_equal(table[column.name].to_numpy(), getattr(BLOCK, column.attribute)[:, 1])


@pytest.mark.parametrize("table", [OF_VARIABLE, JOINT], ids=["variable", "joint"])
def test_nan_is_null_and_status_is_a_name(table: pa.Table) -> None:
    others = {"CHROM", "POS", "ID", "A1", "OMITTED", "A1_FREQ", "OBS_CT", "STATUS"}
    assert {name for name in table.column_names if table[name].null_count == 0} == others
    for name in set(table.column_names) - others:
        assert table[name].null_count == 1
        assert not table[name][2].is_valid
    assert table["STATUS"].to_pylist() == ["OK", "OK", "NO_VARIATION", *["OK"] * (N - 3)]


def test_every_status_has_its_name() -> None:
    common = np.zeros((len(Status), len(SHARED.names)))
    SHARED.column(common, "status")[:] = list(Status)
    scores = JointScores(common[:, :2])
    table = statistics_table(COLUMNS, VARIANTS[: len(Status)], common, None, F, counts_a1=False, scores=scores)
    assert table["STATUS"].to_pylist() == [status.name for status in Status]


@pytest.mark.parametrize(("counts_a1", "counted", "other"), [(False, "C", "A"), (True, "A", "C")])
def test_a1_of_results_is_the_counted_allele(counts_a1: bool, counted: str, other: str) -> None:
    tables = [
        statistics_table(COLUMNS, VARIANTS, COMMON, OWN.rows(BLOCK, 0), T, counts_a1),
        statistics_table(COLUMNS, VARIANTS, COMMON, None, F, counts_a1, scores=SCORES),
        loadings_table(VARIANTS, np.ones((N, 1)), counts_a1),
    ]
    for table in tables:
        assert set(table["A1"].to_pylist()) == {counted}
        assert set(table["OMITTED"].to_pylist()) == {other}


def test_p_is_of_the_statistic_and_calibrated_p_of_the_deflated_one() -> None:
    t, f = BLOCK.t[:, 1], BLOCK.f_stat
    for table, p, calibrated in (
        (OF_VARIABLE, 2 * stats.t.sf(abs(t), DF), 2 * stats.t.sf(abs(t) / T.gif**0.5, DF)),
        (JOINT, stats.f.sf(f, D, DF), stats.f.sf(2 * f / F.gif, D, DF)),
    ):
        np.testing.assert_allclose(table["P"].to_numpy(), p, rtol=1e-10)
        np.testing.assert_allclose(table["NEG_LOG10_P"].to_numpy(), -np.log10(p), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(table["P_CAL"].to_numpy(), calibrated, rtol=1e-9)
        np.testing.assert_allclose(table["NEG_LOG10_P_CAL"].to_numpy(), -np.log10(calibrated), rtol=1e-9, atol=1e-12)


def test_smallest_p_over_the_variables_has_its_own_q() -> None:
    p = np.where(np.arange(N) == 2, np.nan, 10.0 ** -np.arange(N))
    np.testing.assert_allclose(JOINT["MIN_P"].to_numpy(), p, rtol=1e-12)
    tested = ~np.isnan(p)
    np.testing.assert_allclose(JOINT["MIN_Q"].to_numpy()[tested], stats.false_discovery_control(p[tested]), rtol=1e-12)
    given = JointScores(SCORES.rows, lambda scores: scores * 0 + 0.25)
    table = statistics_table(COLUMNS, VARIANTS, COMMON, None, F, counts_a1=False, scores=given)
    np.testing.assert_array_equal(table["MIN_Q"].to_numpy(), np.where(tested, 0.25, np.nan))


def test_q_is_of_all_snps_unless_it_is_given() -> None:
    alone = CalibratedStatistic(BLOCK.t[:, 1], T)
    known = ~np.isnan(BLOCK.t[:, 1])
    np.testing.assert_allclose(alone.q[known], stats.false_discovery_control(alone.p_calibrated[known]), rtol=1e-12)
    given = CalibratedStatistic(BLOCK.t[:5, 1], T, lambda scores: scores * 0 + 0.25)
    np.testing.assert_array_equal(given.q, [0.25, 0.25, np.nan, 0.25, 0.25])
    np.testing.assert_array_equal(given.q_storey, given.q * T.storey_pi0)


def test_stored_statistic_is_a_view_of_its_column() -> None:
    rows = OWN.rows(BLOCK, 0)
    COLUMNS.stored("se", COMMON, rows)[0] = 7.5
    assert (rows == 7.5).sum() == 1
    np.testing.assert_array_equal(COLUMNS.stored("n_called", COMMON, rows), BLOCK.n_called)
    np.testing.assert_array_equal(COLUMNS.stored("f_stat", COMMON, None), BLOCK.f_stat)


def test_further_column_is_before_the_status() -> None:
    more = COLUMNS.extended(Column("SHARED_2", "", "shared_2", Tables.ALL), Column("OWN_2", "", "own_2"))
    block = SimpleNamespace(**vars(BLOCK), shared_2=np.arange(N) * 0.5, own_2=np.arange(2.0 * N).reshape(N, 2))
    common, rows = more.layout(per_variable=False).rows(block), more.layout(per_variable=True).rows(block, 1)
    table = statistics_table(more, VARIANTS, common, rows, T, counts_a1=False)
    assert table.column_names == [*OF_VARIABLE.column_names[:-1], "SHARED_2", "OWN_2", "STATUS"]
    assert table.select(OF_VARIABLE.column_names).equals(OF_VARIABLE)
    np.testing.assert_array_equal(table["OWN_2"].to_numpy(), block.own_2[:, 1])
    np.testing.assert_array_equal(table["SHARED_2"].to_numpy(), block.shared_2)


@pytest.mark.parametrize("n_factors", [0, 1, 12])
def test_loadings_come_back_in_their_order(n_factors: int) -> None:
    V = np.random.default_rng(1).standard_normal((N, n_factors))
    V[2] = np.nan
    table = loadings_table(VARIANTS, V, counts_a1=False)
    names = [f"V{k + 1}" for k in range(n_factors)]
    assert table.column_names == loadings_schema(n_factors).names == ["CHROM", "POS", "ID", "A1", "OMITTED", *names]
    assert all(table[name].null_count == 1 for name in names)
    assert np.array_equal(loadings_array(table), V, equal_nan=True)


def test_rows_have_the_order_of_their_layout() -> None:
    layout = RowLayout(("b", "a"))
    block = SimpleNamespace(a=np.array([[1.0, 2.0], [3.0, 4.0]]), b=np.array([[5, 6], [7, 8]]))
    rows = layout.rows(block, 1)
    assert rows.dtype == np.float64
    assert rows.flags.c_contiguous
    assert rows.tolist() == [[6.0, 2.0], [8.0, 4.0]]
    assert layout.column(rows, "a").tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        ([*COLUMNS, Column("BETA", "", "beta_2")], "the same name"),
        ([*COLUMNS, Column("BETA_2", "", "beta")], "the same name"),
        ([*COLUMNS, Column("Z", "", "z", is_tested=True)], "2 tested statistics"),
        ([column for column in COLUMNS if column.name != "F_STAT"], "0 tested statistics"),
    ],
)
def test_declarations_that_contradict_themselves_are_refused(columns: list[Column], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Columns(columns)
