"""Genetic offset: the dense formula, what must not change it, and tables of environments as users bring them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from stored_results import variants, write_results

import lfmm2
from lfmm2.downstream import environments, offset_sums
from lfmm2.downstream.offset import genetic_offset as default_offset
from lfmm2.results.stored_run import StoredRun

Floats = np.ndarray
DATA = Path(__file__).parents[1] / "data" / "three_variables"
NAMES = ("a", "b", "c")


def genetic_offset(*arguments, **options):
    """The offset of all SNPs with their noise, as LEA has it, unless a test chooses other loci."""
    return default_offset(*arguments, **{"loci": "all"} | options)


def dense(B: Floats, x: Floats, x_new: Floats) -> tuple[Floats, Floats]:
    """The definition: gap and RONA of every place."""
    change = (x - x_new) @ B.T  # (m, L)
    return (change**2).mean(axis=1), np.abs(change).mean(axis=1)


def write(prefix: Path, tables: dict[str, dict], **options) -> Path:
    """Write results of 20 samples with variables of mean 10 and standard deviation 3, unless X is given."""
    d = sum(name != "joint" for name in tables)
    X = np.random.default_rng(9).normal(10, 3, (20, d))
    return write_results(prefix, tables, **{"X": X, "sample_ids": [f"i{i}" for i in range(20)]} | options)


def results(folder: Path, B: Floats, name: str = "r", **options) -> Path:
    """Results whose ridge effects are B, and whose other ones are half of them."""
    tables = {NAMES[j]: {"RIDGE_BETA": column, "BETA": column / 2} for j, column in enumerate(B.T)}
    return write(folder / name, tables, **options)


def random_case(n_snps: int = 1500, n_places: int = 7, d: int = 3, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    rng = np.random.default_rng(seed)
    x = rng.normal(10, 3, (n_places, d))
    return rng.normal(0.01, 0.1, (n_snps, d)), x, x + rng.normal(0.5, 1, (n_places, d))


def table(values: Floats, ids: list[str] | None = None, names: tuple[str, ...] = NAMES) -> pa.Table:
    columns = {name: values[:, j] for j, name in enumerate(names[: values.shape[1]])}
    return pa.table({"ID": ids or [f"s{i}" for i in range(len(values))]} | columns)


def relative(found: Floats, expected: Floats) -> float:
    return float(np.max(np.abs(found - expected) / np.abs(expected)))


@pytest.mark.filterwarnings("ignore::lfmm2.errors.InputWarning")  # Changes are many times the spread of b.
def test_gap_and_rona_of_leas_own_effects_are_the_formula(tmp_path: Path) -> None:
    """From B as R's LEA 3.17.2 estimated it on the case of three variables."""
    expected = np.load(DATA / "expected.npz")
    used = expected["polymorphic"].astype(bool)
    B = np.where(used[:, None], expected["LEA_B"], np.nan)
    x = pd.read_csv(DATA / "X.csv", index_col=0).to_numpy(float)
    x_new = x * 1.1 + np.random.default_rng(1).normal(0, x.std(axis=0), x.shape)
    result = genetic_offset(results(tmp_path, B, X=x, sample_ids=[f"i{i}" for i in range(len(x))]), x, x_new)
    gap, rona = dense(B[used], x, x_new)
    assert relative(result.gap, gap) < 1e-12
    assert relative(result.rona, rona) < 1e-12
    assert (result.n_loci, result.n_without_effect) == (used.sum(), (~used).sum())
    assert result.n_without_effect > 0


@pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
def test_offset_of_a_run_is_that_of_leas_effects(tmp_path: Path) -> None:
    """Within what LEA's weights of the factors, which are not the minimum of Eq. 2, move its effects."""
    expected = np.load(DATA / "expected.npz")
    lfmm2.run(None, DATA / "genotypes.bed", DATA / "X.csv", 5, standardize=False, out=tmp_path / "r")
    x = pd.read_csv(DATA / "X.csv", index_col=0).to_numpy(float)
    x_new = x * 1.1 + np.random.default_rng(1).normal(0, x.std(axis=0), x.shape)
    result = genetic_offset(tmp_path / "r", x, x_new)
    gap, rona = dense(expected["LEA_B"][expected["polymorphic"].astype(bool)], x, x_new)
    assert relative(result.gap, gap) < 1e-5
    assert relative(result.rona, rona) < 1e-5
    # LEA counts the SNPs without variation, whose effects are zero, among its loci
    of_lea = dense(expected["LEA_B"], x, x_new)[0]
    assert relative(result.gap * result.n_loci / len(expected["LEA_B"]), of_lea) < 1e-5


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize(("effects", "factor"), [("ridge", 1.0), ("ols", 0.5)])
def test_effects_of_either_kind(tmp_path: Path, d: int, effects: str, factor: float) -> None:
    B, x, x_new = random_case(d=d)
    result = genetic_offset(results(tmp_path, B), x, x_new, effects=effects)
    gap, rona = dense(factor * B, x, x_new)
    assert relative(result.gap, gap) < 1e-12
    assert relative(result.rona, rona) < 1e-12


def test_effects_of_several_runs_are_averaged(tmp_path: Path) -> None:
    B, x, x_new = random_case()
    other = random_case(seed=3)[0]
    B[4, 1] = np.nan
    other[9, 0] = np.nan
    runs = [results(tmp_path, B, "k2"), StoredRun(results(tmp_path, other, "k3", form="tsv"))]
    result = genetic_offset(runs, x, x_new)
    mean = np.delete((B + other) / 2, [4, 9], axis=0)
    gap, rona = dense(mean, x, x_new)
    assert relative(result.gap, gap) < 1e-12
    assert relative(result.rona, rona) < 1e-12
    assert (result.n_loci, result.n_without_effect) == (1498, 2)


def test_variables_in_another_order_are_the_same_runs(tmp_path: Path) -> None:
    B, x, x_new = random_case()
    first = results(tmp_path, B)
    swapped = {NAMES[j]: {"RIDGE_BETA": B[:, j]} for j in (2, 0, 1)}
    second = write(tmp_path / "s", swapped)
    both = genetic_offset([first, second], x, x_new)
    assert relative(both.gap, dense(B, x, x_new)[0]) < 1e-12


def test_unit_of_a_variable_changes_nothing(tmp_path: Path) -> None:
    B, x, x_new = random_case()
    unit = np.array([1000.0, 1.0, 0.01])
    plain = genetic_offset(results(tmp_path, B), x, x_new)
    X = unit * np.random.default_rng(9).normal(10, 3, (20, 3))
    scaled = genetic_offset(results(tmp_path, B / unit, "s", X=X), x * unit, x_new * unit)
    assert relative(scaled.gap, plain.gap) < 1e-12
    assert relative(scaled.rona, plain.rona) < 1e-12
    assert np.allclose(scaled.parts, plain.parts, rtol=1e-12, atol=1e-15)


@pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
def test_unit_of_a_variable_changes_nothing_through_the_whole_run(tmp_path: Path) -> None:
    """But for the ridge penalty of 1e-5, against sums of squares of 60 and more."""
    data = lfmm2.simulate(tmp_path / "d", n_samples=60, n_snps=400, n_causal=3, seed=5)
    frame = pd.read_csv(data.env, index_col=0)
    shifted = frame + 1.0
    gaps = []
    for unit in (1.0, 10.0):
        lfmm2.run(None, data.bed, frame * unit, 2, out=tmp_path / f"r{unit}")
        gaps.append(genetic_offset(tmp_path / f"r{unit}", frame * unit, shifted * unit).gap)
    assert relative(gaps[1], gaps[0]) < 1e-5


def test_gap_is_quadratic_and_rona_linear_in_effects_and_change(tmp_path: Path) -> None:
    B, x, x_new = random_case()
    plain = genetic_offset(results(tmp_path, B), x, x_new)
    larger = genetic_offset(results(tmp_path, -3 * B, "s"), x, x_new)
    further = genetic_offset(results(tmp_path, B, "f"), x, x + 2 * (x_new - x))
    assert relative(larger.gap, 9 * plain.gap) < 1e-12
    assert relative(larger.rona, 3 * plain.rona) < 1e-12
    assert relative(further.gap, 4 * plain.gap) < 1e-12
    assert relative(further.rona, 2 * plain.rona) < 1e-12


def test_only_the_change_counts_not_where_it_starts_or_leads(tmp_path: Path) -> None:
    B, x, x_new = random_case()
    prefix = results(tmp_path, B)
    plain = genetic_offset(prefix, x, x_new)
    back = genetic_offset(prefix, x_new, x)
    elsewhere = genetic_offset(prefix, x + 64, x_new + 64)
    assert np.array_equal(back.gap, plain.gap)
    assert relative(elsewhere.gap, plain.gap) < 1e-10
    with pytest.warns(lfmm2.InputWarning, match="environments and new environments are the same at all places"):
        still = genetic_offset(prefix, x, x)
    assert not still.gap.any()
    assert not still.rona.any()


def test_counting_the_other_allele_changes_nothing(tmp_path: Path) -> None:
    B, x, x_new = random_case()
    sign = np.where(np.arange(len(B)) % 3 == 0, -1.0, 1.0)[:, None]
    plain = genetic_offset(results(tmp_path, B), x, x_new)
    flipped = genetic_offset(results(tmp_path, sign * B, "s"), x, x_new)
    assert relative(flipped.gap, plain.gap) < 1e-12
    assert relative(flipped.rona, plain.rona) < 1e-12


def test_same_bits_from_any_format_and_any_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    B, x, x_new = random_case(n_snps=5000)
    B[::7] = np.nan
    plain = genetic_offset(results(tmp_path, B), x, x_new)
    text = genetic_offset(results(tmp_path, B, "t", form="tsv.zst"), x, x_new)
    blocks = StoredRun.blocks
    monkeypatch.setattr(StoredRun, "blocks", lambda *a: blocks(*a, block_rows=3 * offset_sums.GROUP))
    cut = genetic_offset(tmp_path / "r", x, x_new)
    for other in (text, cut):
        assert other.gap.tobytes() == plain.gap.tobytes()
        assert other.rona.tobytes() == plain.rona.tobytes()
        assert other.covariance.tobytes() == plain.covariance.tobytes()


def test_more_places_than_are_summed_at_once(tmp_path: Path) -> None:
    B, x, x_new = random_case(n_snps=700, n_places=2 * offset_sums.TILE + 3)
    result = genetic_offset(results(tmp_path, B), x, x_new)
    gap, rona = dense(B, x, x_new)
    assert relative(result.gap, gap) < 1e-12
    assert relative(result.rona, rona) < 1e-12


def test_parts_of_the_variables_sum_to_the_gap(tmp_path: Path) -> None:
    B, x, x_new = random_case()
    result = genetic_offset(results(tmp_path, B), x, x_new)
    assert result.parts.shape == (7, 3)
    assert relative(result.parts.sum(axis=1), result.gap) < 1e-12
    change = x - x_new
    one = np.zeros_like(change)
    one[:, 1] = change[:, 1]
    expected = (change @ B.T * (one @ B.T)).mean(axis=1)
    assert np.allclose(result.parts[:, 1], expected, rtol=1e-10, atol=1e-15)


def test_covariance_and_axes_are_those_of_r(tmp_path: Path) -> None:
    """cov() centres and divides by L - 1, eigen() gives the largest first."""
    B, x, x_new = random_case()
    B += [0.5, 0.0, -0.2]
    result = genetic_offset(results(tmp_path, B), x, x_new, scale=False)
    assert np.allclose(result.covariance, np.cov(B.T), rtol=1e-12, atol=0)
    assert np.allclose(result.moments, B.T @ B / len(B), rtol=1e-12)
    assert np.all(np.diff(result.eigenvalues) < 0)
    V = result.eigenvectors
    assert np.allclose(V @ np.diag(result.eigenvalues) @ V.T, np.cov(B.T), rtol=1e-10)
    assert np.all(V[np.abs(V).argmax(axis=0), range(3)] > 0)


def test_scaled_axes_are_those_of_standardised_variables(tmp_path: Path) -> None:
    """As R's genetic.gap(scale = TRUE) standardises them, but for the ridge penalty."""
    B, x, x_new = random_case()
    sd = x.std(axis=0, ddof=1)
    scaled = genetic_offset(results(tmp_path, B), x, x_new, scale=True)
    standard = genetic_offset(results(tmp_path, B * sd, "s"), x / sd, x_new / sd, scale=False)
    assert np.allclose(scaled.eigenvalues, standard.eigenvalues, rtol=1e-10)
    assert np.allclose(scaled.eigenvectors, standard.eigenvectors, atol=1e-10)
    assert relative(scaled.gap, standard.gap) < 1e-12
    assert scaled.gap.tobytes() == genetic_offset(tmp_path / "r", x, x_new).gap.tobytes()
    of_one = genetic_offset(tmp_path / "r", x[:1], x_new[:1])
    assert np.isnan(of_one.eigenvalues).all()
    assert np.isfinite(genetic_offset(tmp_path / "r", x[:1], x_new[:1], scale=False).eigenvalues).all()


def test_loci_discovered_in_any_variable_of_any_run(tmp_path: Path) -> None:
    B, x, x_new = random_case(n_snps=600)
    rng = np.random.default_rng(4)
    q = rng.random((2, 600, 3))
    q[0, 5] = np.nan
    for k in range(2):
        tables = {name: {"RIDGE_BETA": B[:, j], "Q": q[k][:, j]} for j, name in enumerate(NAMES)}
        write(tmp_path / f"k{k}", tables | {"joint": {"Q": rng.random(600)}})
    one = genetic_offset(tmp_path / "k0", x, x_new, loci=0.1)
    both = genetic_offset([tmp_path / "k0", tmp_path / "k1"], x, x_new, loci=0.1)
    first = (q[0] < 0.1).any(axis=1)
    assert 0 < first.sum() < 600
    assert relative(one.gap, dense(B[first], x, x_new)[0]) < 1e-12
    assert both.n_loci == (first | (q[1] < 0.1).any(axis=1)).sum() > one.n_loci


def test_level_is_exclusive(tmp_path: Path) -> None:
    B, x, x_new = random_case(n_snps=3, d=1)
    write(tmp_path / "r", {"a": {"RIDGE_BETA": B[:, 0], "Q": [0.05, np.nextafter(0.05, 0), np.nan]}})
    assert genetic_offset(tmp_path / "r", x, x_new, loci=0.05).n_loci == 1


def test_loci_of_the_joint_test(tmp_path: Path) -> None:
    B, x, x_new = random_case(n_snps=600)
    q = np.random.default_rng(4).random(600)
    tables = {name: {"RIDGE_BETA": B[:, j]} for j, name in enumerate(NAMES)} | {"joint": {"Q": q}}
    write(tmp_path / "r", tables)
    result = genetic_offset(tmp_path / "r", x, x_new, loci=0.2, joint=True)
    assert result.n_loci == (q < 0.2).sum()
    assert relative(result.rona, dense(B[q < 0.2], x, x_new)[1]) < 1e-12


def test_listed_loci_as_ids_and_as_a_file(tmp_path: Path) -> None:
    B, x, x_new = random_case()
    B[3] = np.nan
    prefix = results(tmp_path, B)
    (tmp_path / "list").write_text("rs7\nrs3\nrs1400\n")
    for loci in (["rs1400", "rs3", "rs7"], tmp_path / "list", str(tmp_path / "list")):
        result = genetic_offset(prefix, x, x_new, loci=loci)
        assert relative(result.gap, dense(B[[7, 1400]], x, x_new)[0]) < 1e-12
        assert (result.n_loci, result.n_without_effect) == (2, 1)


def test_listed_loci_that_are_not_there_are_counted(tmp_path: Path) -> None:
    B, x, x_new = random_case()
    prefix = results(tmp_path, B)
    with pytest.warns(lfmm2.InputWarning, match=r"loci: 2 IDs of 3 not found in .*r$"):
        assert genetic_offset(prefix, x, x_new, loci=["rs1", "x", "y", "."]).n_loci == 1
    with pytest.warns(lfmm2.InputWarning, match="loci: 1 ID of 2 not found"):
        genetic_offset(prefix, x, x_new, loci=["rs1", "x"])
    with pytest.raises(lfmm2.InconsistentInputError, match="none of 2 IDs is in"):
        genetic_offset(prefix, x, x_new, loci=["x", "y"])
    with pytest.raises(lfmm2.UsageError, match="names no SNP"):
        genetic_offset(prefix, x, x_new, loci=["."])


def test_listed_id_of_several_snps_is_an_error(tmp_path: Path) -> None:
    B, x, x_new = random_case(n_snps=4)
    prefix = results(tmp_path, B, snps=variants(4, ID=["u", "v", "u", "w"]))
    for loci in (["u"], ["u", "v", "x", "y"]):
        with pytest.raises(lfmm2.InconsistentInputError, match=r"repeated SNP IDs u"):
            genetic_offset(prefix, x, x_new, loci=loci)


def test_no_locus_is_degenerate(tmp_path: Path) -> None:
    B, x, x_new = random_case(n_snps=4)
    prefix = results(tmp_path, B)
    with pytest.raises(
        lfmm2.DegenerateProblemError, match=r"over, no SNP has q < 0\.01, the smallest is 0\.5; choose others"
    ):
        genetic_offset(prefix, x, x_new, loci=0.01)
    with pytest.raises(lfmm2.DegenerateProblemError, match="no locus to average over, 4 without effects"):
        genetic_offset(results(tmp_path, B * np.nan, "s"), x, x_new)


def test_one_locus_has_a_gap_and_no_covariance(tmp_path: Path) -> None:
    B, x, x_new = random_case(n_snps=1)
    result = genetic_offset(results(tmp_path, B), x, x_new)
    assert relative(result.gap, dense(B, x, x_new)[0]) < 1e-12
    assert np.isnan(result.covariance).all()
    assert "first axis" not in result.summary()


def test_tables_are_matched_by_id_and_column_name(tmp_path: Path) -> None:
    B, x, x_new = random_case()
    prefix = results(tmp_path, B)
    plain = genetic_offset(prefix, x, x_new)
    order = [3, 1, 0, 2, 6, 5, 4]
    ids = [f"s{i}" for i in range(7)]
    lines = ["lon,b,IID,a,note,c,lat", *(f"1,{b!r},s{i},{a!r},x,{c!r},2" for i, (a, b, c) in enumerate(x.tolist()))]
    (tmp_path / "now.csv").write_text("\n".join(lines))
    frame = pd.DataFrame(x_new, index=ids, columns=list(NAMES)).iloc[order, ::-1]
    for now in (tmp_path / "now.csv", table(x)):
        for later in (frame, table(x_new[order], [ids[i] for i in order])):
            result = genetic_offset(prefix, now, later)
            assert result.ids == tuple(ids)
            assert result.gap.tobytes() == plain.gap.tobytes()
            assert result.rona.tobytes() == plain.rona.tobytes()


def test_arrays_have_numbers_for_ids_or_those_of_the_other(tmp_path: Path) -> None:
    B, x, x_new = random_case()
    prefix = results(tmp_path, B)
    assert genetic_offset(prefix, x, x_new).ids == tuple("1234567")
    assert genetic_offset(prefix, table(x), x_new).ids == tuple(f"s{i}" for i in range(7))
    assert genetic_offset(prefix, x.tolist(), table(x_new)).ids == tuple(f"s{i}" for i in range(7))


def test_families_tell_repeated_ids_apart(tmp_path: Path) -> None:
    B, x, x_new = random_case(n_places=3)
    now = pa.table({"FID": ["f", "g", "f"], "IID": ["1", "1", "2"]} | dict(zip(NAMES, x.T, strict=True)))
    later = pa.table(
        {"FID": ["g", "f", "f"], "IID": ["1", "2", "1"]} | dict(zip(NAMES, x_new[[1, 2, 0]].T, strict=True))
    )
    result = genetic_offset(results(tmp_path, B), now, later)
    assert relative(result.gap, dense(B, x, x_new)[0]) < 1e-12
    assert result.ids == ("f 1", "g 1", "f 2")


def test_environment_of_the_run_is_the_default(tmp_path: Path) -> None:
    B, x, x_new = random_case()
    ids = [f"s{i}" for i in range(7)]
    prefix = results(tmp_path, B, X=x, sample_ids=ids)
    result = genetic_offset(prefix, None, table(x_new[::-1], ids[::-1]))
    assert result.ids == tuple(ids)
    assert relative(result.gap, dense(B, x, x_new)[0]) < 1e-12
    with pytest.warns(lfmm2.InputWarning, match=r"environments: 1 row of no sample of the run left out \(else\)"):
        more = genetic_offset(prefix, None, table(np.vstack([x_new, x_new[:1]]), [*ids, "else"]))
    assert more.gap.tobytes() == result.gap.tobytes()
    with pytest.raises(lfmm2.InconsistentInputError, match=r"3 of 7 IDs of .* are not there"):
        genetic_offset(prefix, None, table(x_new[:4], ids[:4]))


@pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
def test_environment_of_a_real_run_is_its_table(tmp_path: Path) -> None:
    """In the units of the table, without nuisance variables and samples that were left out."""
    data = lfmm2.simulate(tmp_path / "d", n_samples=60, n_snps=300, n_causal=3, seed=6)
    frame = pd.read_csv(data.env, index_col=0)
    frame.iloc[4, 0] = np.nan
    later = frame.iloc[::-1] + np.arange(60)[:, None]
    lfmm2.run(None, data.bed, frame[["env1"]], 2, out=tmp_path / "r", covar=frame[["env2"]], missing="drop")
    used = frame.drop(index=frame.index[4])
    with pytest.warns(lfmm2.InputWarning, match="1 row of no sample"):
        own = genetic_offset(tmp_path / "r", None, later.fillna(0))
    given = genetic_offset(tmp_path / "r", used, later.loc[used.index])
    assert own.ids == tuple(used.index)
    assert own.gap.tobytes() == given.gap.tobytes()
    assert own.gap.std() > 0


def test_factors_file_without_variables_has_no_environment(tmp_path: Path) -> None:
    B, _, x_new = random_case()
    with pytest.raises(lfmm2.MalformedInputError, match=r"is not a factors file .*run again"):
        genetic_offset(results(tmp_path, B, X=None), None, table(x_new))


def test_places_of_one_table_only_are_counted_and_named(tmp_path: Path) -> None:
    B, x, x_new = random_case()
    prefix = results(tmp_path, B)
    now = table(x, ["p1", "p2", "p3", "p4", "p5", "p6", "q7"])
    later = table(x_new, ["p1", "p2", "p3", "p4", "P5", "p6", "r"])
    with pytest.raises(lfmm2.InconsistentInputError) as caught:
        genetic_offset(prefix, now, later)
    text = str(caught.value)
    assert "2 of 7 IDs of environments are not there (p5, q7)" in text
    assert "2 of its IDs are not in environments (P5, r)" in text
    assert "1 would match but for upper and lower case" in text
    with pytest.raises(lfmm2.InconsistentInputError, match=r"1 of its IDs is not in environments \(s6\)"):
        genetic_offset(prefix, table(x[:6]), table(x_new))


def test_missing_column_is_named(tmp_path: Path) -> None:
    B, x, x_new = random_case()
    prefix = results(tmp_path, B)
    with pytest.raises(lfmm2.InconsistentInputError, match=r"new environments: no column b, c among a; name columns"):
        genetic_offset(prefix, table(x), table(x_new[:, :1]))
    with pytest.raises(lfmm2.InconsistentInputError, match=r"environments: no column c among a, b, d"):
        genetic_offset(prefix, table(x, names=("a", "b", "d")), table(x_new))


def test_missing_value_is_placed(tmp_path: Path) -> None:
    B, x, x_new = random_case()
    prefix = results(tmp_path, B)
    x_new[2, 1] = np.nan
    with pytest.raises(lfmm2.InconsistentInputError, match=r"row 3 \(sample s2\), column 'b': missing; complete"):
        genetic_offset(prefix, table(x), table(x_new))
    with pytest.raises(
        lfmm2.InconsistentInputError, match="new environments, row 3, b: missing; complete the table, or"
    ):
        genetic_offset(prefix, x, x_new)
    x_new[2, 1] = -9
    with pytest.raises(lfmm2.InconsistentInputError, match=r"sample s2\), column 'b': missing"):
        genetic_offset(prefix, table(x), table(x_new), missing_code=-9)


def test_repeated_places_and_lengths_that_differ(tmp_path: Path) -> None:
    B, x, x_new = random_case()
    prefix = results(tmp_path, B)
    with pytest.raises(lfmm2.InconsistentInputError, match=r"new environments: repeated IDs \(s1\); keep one row"):
        genetic_offset(prefix, table(x), table(x_new, ["s0", "s1", "s1", "s3", "s4", "s5", "s6"]))
    with pytest.raises(lfmm2.InconsistentInputError, match="7 rows in environments, 6 in new environments"):
        genetic_offset(prefix, x, x_new[:6])
    with pytest.raises(lfmm2.InconsistentInputError, match=r"2 columns, but the run has 3 variables \(a, b, c\)"):
        genetic_offset(prefix, x[:, :2], x_new)
    with pytest.raises(lfmm2.UsageError, match="give numbers"):
        genetic_offset(prefix, np.array(["x"]), x_new)


@pytest.mark.parametrize("far", [1e200, 1.6e308])
def test_value_too_large_for_a_double_is_an_error(tmp_path: Path, far: float) -> None:
    with pytest.raises(lfmm2.MalformedInputError, match=r"environments, row 1, column 'a': -1\S*e\+\d+ is too large"):
        genetic_offset(results(tmp_path, np.ones((2, 1))), np.array([far]), np.array([-far]))


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"ID": ["rs0", "x", *(f"rs{i}" for i in range(2, 10))]}, "ID of SNP 2 is rs1 in .*r, x in .*s"),
        ({"A1": ["A"] * 9 + ["C"]}, "A1 of SNP 10 is A in .*r, C in"),
        ({"POS": [7, *variants(10)["POS"][1:]]}, "POS of SNP 1 is 1000 in .*r, 7 in"),
        ({"CHROM": [*variants(10)["CHROM"][:4], "X", *variants(10)["CHROM"][5:]]}, "CHROM of SNP 5 is 3 in .*, X in"),
    ],
)
def test_runs_of_other_snps_are_not_averaged(tmp_path: Path, change: dict[str, list], fact: str) -> None:
    B, x, x_new = random_case(n_snps=10)
    runs = [results(tmp_path, B), results(tmp_path, B, "s", snps=variants(10, **change))]
    with pytest.raises(lfmm2.InconsistentInputError, match=fact):
        genetic_offset(runs, x, x_new)


def test_runs_of_other_sizes_or_variables_are_not_averaged(tmp_path: Path) -> None:
    B, x, x_new = random_case(n_snps=10)
    first = results(tmp_path, B)
    with pytest.raises(lfmm2.InconsistentInputError, match=r"10 SNPs in .*r, 9 in .*s"):
        genetic_offset([first, results(tmp_path, B[:9], "s")], x, x_new)
    with pytest.raises(lfmm2.InconsistentInputError, match=r"variables of .*r are a, b, c, those of .*t a, b"):
        genetic_offset([first, results(tmp_path, B[:, :2], "t")], x, x_new)
    with pytest.raises(lfmm2.UsageError, match="no results"):
        genetic_offset([], x, x_new)


@pytest.mark.parametrize(
    ("arguments", "fact"),
    [
        ({"effects": "lasso"}, "effects is 'lasso'; it is one of ridge, ols"),
        ({"effects": []}, r"effects is \[\]; it is one of"),
        ({"loci": None}, "loci is None; give 'auto', 'all'"),
        ({"loci": float("nan")}, "loci is nan; a level"),
        ({"loci": 0.0}, "loci is 0.0; a level"),
        ({"loci": 1.5}, "loci is 1.5; a level"),
        ({"loci": True}, "loci is True; give 'auto', 'all'"),
        ({"joint": True}, "joint says which q"),
        ({"loci": 0.1, "joint": True}, "has no joint test"),
    ],
)
def test_wrong_arguments(tmp_path: Path, arguments: dict, fact: str) -> None:
    B, x, x_new = random_case(n_snps=4)
    with pytest.raises(lfmm2.UsageError, match=fact):
        genetic_offset(results(tmp_path, B), x, x_new, **arguments)


def test_file_holds_what_the_result_holds(tmp_path: Path) -> None:
    B, x, x_new = random_case()
    result = genetic_offset(results(tmp_path, B), table(x), table(x_new), out=tmp_path / "o")
    assert result.paths == {"offset": tmp_path / "o.offset.tsv"}
    frame = pd.read_csv(result.paths["offset"], sep="\t", keep_default_na=False)
    assert list(frame.columns) == ["ID", "GENETIC_GAP", "RONA", "GAP_LOW", "GAP_HIGH", "OUTSIDE"]
    assert frame["ID"].tolist() == list(result.ids)
    assert np.array_equal(frame["GENETIC_GAP"], result.gap)
    assert np.array_equal(frame["RONA"], result.rona)
    assert result.table().to_pandas().equals(frame)


def test_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    B, x, x_new = random_case(n_snps=10)
    prefix = results(tmp_path, B)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(lfmm2.DegenerateProblemError):
        genetic_offset(prefix, x, x_new, loci=0.001, out=tmp_path / "o")
    assert sorted(tmp_path.iterdir()) == before
    (tmp_path / "o.offset.tsv").write_text("mine")
    with pytest.raises(lfmm2.OutputExistsError, match=r"o\.offset\.tsv"):
        genetic_offset(prefix, x, x_new, out=tmp_path / "o")
    assert (tmp_path / "o.offset.tsv").read_text() == "mine"
    with pytest.raises(lfmm2.OutputExistsError, match="not a file that lfmm2 has written here"):
        genetic_offset(prefix, x, x_new, out=tmp_path / "o", overwrite=True)
    assert (tmp_path / "o.offset.tsv").read_text() == "mine"
    (tmp_path / "o.offset.tsv").unlink()
    genetic_offset(prefix, x, x_new, out=tmp_path / "o")
    genetic_offset(prefix, x, x_new, out=tmp_path / "o", overwrite=True)
    assert (tmp_path / "o.offset.tsv").read_text().startswith("ID\tGENETIC_GAP\tRONA\tGAP_LOW\t")


def test_table_of_a_variable_of_that_name_is_not_replaced(tmp_path: Path) -> None:
    write(tmp_path / "r", {"offset": {"RIDGE_BETA": [0.1]}}, form="tsv")
    with pytest.raises(lfmm2.UsageError, match=r"r\.offset\.tsv is a file of the run"):
        genetic_offset(tmp_path / "r", [1.0], [2.0], out=tmp_path / "r", overwrite=True)


def test_ids_with_tabs_cannot_break_the_file(tmp_path: Path) -> None:
    B, x, x_new = random_case(n_snps=10, n_places=2)
    prefix = results(tmp_path, B)
    with pytest.raises(lfmm2.InconsistentInputError, match="a tab or a line end"):
        genetic_offset(prefix, table(x, ["a\tb", "c"]), table(x_new, ["a\tb", "c"]), out=tmp_path / "o")


def test_summary_says_what_came_out(tmp_path: Path) -> None:
    B, x, x_new = random_case()
    B[3] = np.nan
    result = genetic_offset(results(tmp_path, B), table(x), table(x_new))
    summary = result.summary()
    assert summary["loci"] == "1 499, mean effects of a, b, c"
    assert summary["without effect"] == "1, left out"
    assert f"largest at s{result.gap.argmax()}" in summary["genetic gap"]
    assert repr(result).startswith("<OffsetResult: 7 places, 1 499 loci")
    one = genetic_offset(results(tmp_path, B[:1], "s"), x[:1], x_new[:1])
    assert repr(one).startswith("<OffsetResult: 1 place, 1 locus, mean gap")


def test_places_that_are_alike_have_no_largest(tmp_path: Path) -> None:
    """To the digits that are shown: differences here are those of rounding."""
    B, x, _ = random_case()
    result = genetic_offset(results(tmp_path, B), x, x + 0.1)
    assert len(np.unique(result.gap)) > 1
    lines = result.summary()
    assert lines["genetic gap"] == f"{result.gap[0]:.4g}"
    assert lines["RONA"] == f"{result.rona[0]:.4g}"


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("far", [1e150, 1e151])
@pytest.mark.filterwarnings("ignore::lfmm2.errors.InputWarning")
def test_gap_that_overflows_is_an_error_and_no_file(tmp_path: Path, far: float, scale: bool) -> None:
    B, x, x_new = random_case()
    prefix = results(tmp_path, 1e10 * B)
    x[3, 1] = far
    before = sorted(tmp_path.iterdir())
    with pytest.raises(
        lfmm2.InconsistentInputError,
        match=r"gap of s3 is too large for a double: b changes by 1e\+\d+; check",
    ):
        genetic_offset(prefix, table(x), table(x_new), scale=scale, out=tmp_path / "o")
    assert sorted(tmp_path.iterdir()) == before


def test_results_given_twice_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    B, x, x_new = random_case(n_snps=10)
    prefix = results(tmp_path, B)
    other = results(tmp_path, B, "s")
    for again in (prefix, f"{prefix}.a.parquet", StoredRun(prefix), "r", tmp_path / "r.lfmm2.json"):
        with pytest.raises(lfmm2.UsageError, match=r"r: given twice; average over runs that differ in K"):
            genetic_offset([prefix, other, again], x, x_new)


@pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
def test_result_stands_for_its_files(tmp_path: Path) -> None:
    data = lfmm2.simulate(tmp_path / "d", n_samples=60, n_snps=300, n_causal=3, seed=2)
    x, x_new = np.zeros((2, 2)), np.ones((2, 2))
    written = [lfmm2.run(None, data.bed, data.env, k, out=tmp_path / f"k{k}") for k in (1, 2)]
    one = genetic_offset(written[0], x, x_new)
    assert one.gap.tobytes() == genetic_offset(tmp_path / "k1", x, x_new).gap.tobytes()
    both = genetic_offset(written, x, x_new)
    assert both.gap.tobytes() == genetic_offset([tmp_path / "k1", tmp_path / "k2"], x, x_new).gap.tobytes()
    # A result in memory is written to a temporary folder.
    assert genetic_offset(lfmm2.run(None, data.bed, data.env, 1), x, x_new).gap.tobytes() == one.gap.tobytes()
    with pytest.raises(lfmm2.UsageError, match="given as NoneType"):
        genetic_offset(None, x, x_new)


def test_level_that_no_snp_reaches_tells_the_smallest_of_all_runs_and_tests(tmp_path: Path) -> None:
    tables = {"a": {"Q": [0.9, np.nan, 0.7]}, "b": {"Q": [0.6, np.nan, 0.8]}}
    first = write(tmp_path / "r", tables)
    second = write(tmp_path / "s", tables | {"b": {"Q": [0.9, np.nan, 0.321]}})
    for runs, smallest in (([first], "0.6"), ([first, second], "0.321"), ([second, first], "0.321")):
        with pytest.raises(lfmm2.DegenerateProblemError, match=f"no SNP has q < 0.05, the smallest is {smallest};"):
            genetic_offset(runs, [[1.0, 2.0]], [[2.0, 3.0]], loci=0.05)
    third = write(tmp_path / "t", {"a": {"Q": [np.nan] * 3}})
    with pytest.raises(lfmm2.DegenerateProblemError, match="no SNP has q; choose"):
        genetic_offset(third, [1.0], [2.0], loci=np.float32(0.05))


@pytest.mark.parametrize("prefix", ["", "folder/", "."])
def test_prefix_without_a_name_is_refused(tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    B, x, x_new = random_case(n_snps=10)
    with pytest.raises(lfmm2.UsageError, match=rf"out is '{prefix}'; give a folder"):
        genetic_offset(results(tmp_path, B), x, x_new, out=prefix)


def test_progress_is_told_of_every_snp(tmp_path: Path) -> None:
    from lfmm2.process.progress import Progress

    class Counter(Progress):
        total = done = ended = 0

        def start(self, label: str, n_snps: int, n_bytes: int) -> None:
            self.total = n_snps

        def advance(self, n_snps: int, n_bytes: int) -> None:
            self.done += n_snps

        def finish(self) -> None:
            self.ended += 1

    B, x, x_new = random_case()
    counter = Counter()
    genetic_offset(results(tmp_path, B), x, x_new, progress=counter)
    assert (counter.total, counter.done, counter.ended) == (1500, 1500, 1)


def test_places_pair_is_a_plain_difference(tmp_path: Path) -> None:
    run = StoredRun(results(tmp_path, np.ones((2, 2))))
    places = environments.paired_environments(run, [[1.0, 2.0], [3.0, 4.0]], np.array([[0.0, 1.0], [5.0, 5.0]]))
    assert places.change.tolist() == [[1.0, 1.0], [-2.0, -1.0]]
