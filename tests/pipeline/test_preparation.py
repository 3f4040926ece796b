"""Inputs of a run: numbers of factors, what is opened and closed, the order of errors, given factors, and paths."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import lfmm2
from lfmm2.genotypes import GenotypeSource
from lfmm2.genotypes.plink_writer import write_plink
from lfmm2.model import LatentFactors
from lfmm2.model.spectrum import Spectrum
from lfmm2.pipeline import preparation
from lfmm2.pipeline.preparation import RunInputs, choose_factor_numbers, join_numbers, read_inputs
from lfmm2.pipeline.run_options import OutputOptions, RunOptions, SampleOptions, SnpOptions, TestOptions

N, P, K = 20, 60, 2
IIDS = tuple(f"i{i:02d}" for i in range(N))


@dataclass(frozen=True)
class Data:
    """A fileset to test, one to estimate from with the samples in reverse order, and a table of variables."""

    bed: Path
    est_bed: Path
    env: Path


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    folder, rng = tmp_path_factory.mktemp("inputs"), np.random.default_rng(1)
    dosage = rng.integers(0, 3, (P, N)).astype(float)
    bed = write_plink(folder / "full", dosage, iid=list(IIDS))
    est_bed = write_plink(folder / "est", dosage[: P // 2, ::-1], iid=list(IIDS[::-1]))
    env = folder / "env.csv"
    table = pd.DataFrame(rng.standard_normal((N, 2)), index=pd.Index(IIDS, name="IID"), columns=["rain", "heat"])
    table.to_csv(env)
    return Data(bed, est_bed, env)


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[str]]]:
    """Names of the sources that `read_inputs` opens, and of those that are closed."""
    seen: dict[str, list[str]] = {"opened": [], "closed": []}
    open_source = preparation.open_source

    def watch(genotypes: object, **options: object) -> GenotypeSource:
        source = open_source(genotypes, **options)
        close, name = source.close, source.name
        seen["opened"].append(name)

        def watched_close() -> None:
            seen["closed"].append(name)
            close()

        monkeypatch.setattr(source, "close", watched_close)
        return source

    monkeypatch.setattr(preparation, "open_source", watch)
    yield seen
    monkeypatch.undo()


def factors_of(iids: tuple[str, ...], n_rows: int = N) -> LatentFactors:
    """Return factors whose rows differ, of samples with these IDs."""
    rng = np.random.default_rng(2)
    U, loadings_map, vectors = (rng.standard_normal((n_rows, K)) for _ in range(3))
    totals, weights = rng.random(n_rows), rng.random(n_rows)
    spectrum = Spectrum(np.array([3.0, 2.0]), 5.0, 13.0, n_rows - 3, totals, weights, P, vectors)
    ones = np.ones(K)
    return LatentFactors(U, ones, ones, 0.1, "exact", "", 1, True, loadings_map, 0.25, P, iids, spectrum)


def options_of(**groups: object) -> RunOptions:
    return RunOptions(n_threads=1, memory="1GiB", **groups)


def read(data: Data, number: int | LatentFactors | None = K, est: bool = True, **groups: object) -> RunInputs:
    est_bed = data.est_bed if est else None
    return read_inputs(est_bed, data.bed, data.env, number, options_of(**groups))


# numbers of factors


@pytest.mark.parametrize(
    ("number", "ks", "expected"),
    [
        (3, (), (3, (), 3)),
        (np.int64(3), (), (3, (), 3)),
        (3, (2, 8), (3, (2, 3, 8), 8)),
        (9, (2, 8), (9, (2, 8, 9), 9)),
        (2, (2, 8), (2, (2, 8), 8)),
        (None, (0, 4), (None, (0, 4), 4)),
    ],
)
def test_factors_are_estimated_for_the_largest_of_k_and_the_sweep(number, ks, expected):
    numbers = choose_factor_numbers(number, ks)
    assert (numbers.K, numbers.ks, numbers.n_factors) == expected
    assert numbers.given is None


def test_given_factors_are_as_many_as_they_are():
    factors = factors_of(IIDS)
    numbers = choose_factor_numbers(factors, (0, 1))
    assert (numbers.K, numbers.ks, numbers.n_factors) == (K, (0, 1, K), K)
    assert numbers.given is factors


@pytest.mark.parametrize("ks", [(), (0,)])
def test_neither_k_nor_a_sweep_above_zero_is_an_error(ks):
    with pytest.raises(lfmm2.UsageError, match="K is not given"):
        choose_factor_numbers(None, ks)


@pytest.mark.parametrize("number", [0, -1, 2.0, True, "3"])
def test_k_is_a_whole_number_of_at_least_one(number):
    with pytest.raises(lfmm2.UsageError, match=f"K is {number!r}"):
        choose_factor_numbers(number, ())


def test_sweep_ends_at_the_number_of_given_factors():
    with pytest.raises(lfmm2.UsageError, match="sweep goes up to 3, but 2 factors are given"):
        choose_factor_numbers(factors_of(IIDS), (1, 3))


@pytest.mark.parametrize(
    ("number", "ks", "text"),
    [
        (3, (), "K = 3"),
        (3, (1, 2), "K = 3, sweep over 1:3"),
        (None, (2, 8), "K as the scree suggests, sweep over 2,8"),
    ],
)
def test_numbers_are_described_for_the_plan(number, ks, text):
    assert choose_factor_numbers(number, ks).describe() == text


@pytest.mark.parametrize(
    ("ks", "text"), [((), ""), ((4,), "4"), ((1, 2, 3), "1:3"), ((1, 3), "1,3"), ((0, 1, 2, 4), "0,1,2,4")]
)
def test_numbers_without_a_gap_are_joined_as_a_range(ks, text):
    assert join_numbers(ks) == text


# what is opened is closed


def test_sources_stay_open_until_the_inputs_are_closed(data, sources):
    inputs = read(data)
    assert len(sources["opened"]) == 2
    assert sources["closed"] == []
    inputs.close()
    assert sorted(sources["closed"]) == sorted(sources["opened"])


def test_estimation_set_is_the_tested_one_by_default(data, sources):
    inputs = read(data, est=False)
    assert inputs.estimation_source is inputs.tested_source
    assert inputs.estimation_rows is inputs.variables.rows
    inputs.close()
    assert sources["closed"] == sources["opened"]
    assert len(sources["opened"]) == 1


def test_sources_that_were_open_before_stay_open(data):
    with lfmm2.open_bed(data.bed) as tested, lfmm2.open_bed(data.est_bed) as estimation:
        inputs = read_inputs(estimation, tested, data.env, K, options_of())
        assert inputs.opened == ()
        inputs.close()
        with pytest.raises(lfmm2.DegenerateProblemError):
            read_inputs(estimation, tested, data.env, N, options_of())
        rows = np.arange(N)
        for source in (tested, estimation):
            matrix = source.matrix(inputs.make_engine(), rows, None)
            assert matrix.gram().shape == (N, N)


def broken_inputs(data: Data, folder: Path) -> dict[str, tuple[type[Exception], dict[str, object]]]:
    """Return arguments of `read_inputs` that fail at one stage each, after both sources were opened."""
    (folder / "ids").write_text("no-such-snp\n")
    (folder / "one").write_text(f"{IIDS[0]}\n")
    ids = str(folder / "ids")
    return {
        "thinning": (lfmm2.UsageError, {"number": factors_of(IIDS), "snps": SnpOptions(est_thin="r2=0.2,window=9")}),
        "size": (lfmm2.DegenerateProblemError, {"number": N}),
        "samples": (lfmm2.LfmmError, {"samples": SampleOptions(keep=folder / "one")}),
        "factors": (lfmm2.InconsistentInputError, {"number": factors_of((), N - 1)}),
        "lists": (lfmm2.InconsistentInputError, {"snps": SnpOptions(extract=ids)}),
        "estimation list": (lfmm2.InconsistentInputError, {"snps": SnpOptions(est_extract=ids)}),
    }


@pytest.mark.parametrize("stage", ["thinning", "size", "samples", "factors", "lists", "estimation list"])
def test_all_that_was_opened_is_closed_after_an_error(data, sources, tmp_path, stage):
    kind, arguments = broken_inputs(data, tmp_path)[stage]
    with pytest.raises(kind):
        read(data, **arguments)
    assert len(sources["opened"]) == 2
    assert sorted(sources["closed"]) == sorted(sources["opened"])


def test_tested_source_is_closed_if_the_estimation_set_cannot_be_opened(data, sources, tmp_path):
    with pytest.raises(lfmm2.ReadError, match="absent"):
        read_inputs(tmp_path / "absent.bed", data.bed, data.env, K, options_of())
    assert len(sources["opened"]) == 1
    assert sources["closed"] == sources["opened"]


def test_interrupt_closes_what_was_opened(data, sources, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(preparation, "select_snps", interrupt)
    with pytest.raises(KeyboardInterrupt):
        read(data)
    assert sorted(sources["closed"]) == sorted(sources["opened"])


# order of errors


def test_errors_come_in_the_order_of_their_cost(data, sources, tmp_path):
    """Each fault is mended in turn: arguments first, then files of tables, samples, and lists of SNPs last."""
    (tmp_path / "ids").write_text("no-such-snp\n")
    absent, ids = tmp_path / "absent.csv", tmp_path / "ids"
    faults: dict[str, object] = {"number": 0, "thin": "nonsense", "memory": "much", "env": absent}

    def attempt(**mended: object) -> None:
        have = {**faults, "samples": SampleOptions(variables="snow"), **mended}
        snps = SnpOptions(extract=ids, est_thin=have["thin"])
        options = RunOptions(n_threads=1, memory=have["memory"], samples=have["samples"], snps=snps)
        read_inputs(data.est_bed, data.bed, have["env"], have["number"], options).close()

    mended: dict[str, object] = {}
    for match, mend in (
        ("K is 0", {"number": K}),
        ("nonsense", {"thin": "r2=0.2,window=9"}),
        ("much", {"memory": "1GiB"}),
        (str(absent), {"env": data.env}),
    ):
        with pytest.raises(lfmm2.LfmmError, match=match):
            attempt(**mended)
        mended |= mend
        assert sources["opened"] == []
    with pytest.raises(lfmm2.LfmmError, match="snow"):
        attempt(**mended)
    with pytest.raises(lfmm2.InconsistentInputError, match="none of 1 IDs"):
        attempt(**mended, samples=SampleOptions())


def test_samples_are_checked_before_any_list_of_snps_is_read(data, tmp_path, monkeypatch):
    def refuse_to_read(*_: object) -> None:
        raise AssertionError("a list of SNPs was read")

    for name in ("select_snps", "listed_snps"):
        monkeypatch.setattr(preparation, name, refuse_to_read)
    other = write_plink(tmp_path / "other", np.ones((4, N)), iid=[f"x{i}" for i in range(N)])
    snps = SnpOptions(extract=["rs1"], est_extract=["rs1"])
    with pytest.raises(lfmm2.InconsistentInputError, match=r"other\.bed: 20 of 20 samples in use are not in it"):
        read_inputs(other, data.bed, data.env, K, options_of(snps=snps))


# given factors


def test_given_factors_are_put_into_the_order_of_the_samples(data):
    order = np.random.default_rng(3).permutation(N)
    factors = factors_of(tuple(IIDS[i] for i in order))
    inputs = read(data, factors, est=False)
    given = inputs.numbers.given
    inputs.close()
    assert given is not None
    assert given.sample_ids == IIDS
    seen, before = given.spectrum, factors.spectrum
    assert seen is not None
    assert before is not None
    pairs = [
        (given.U, factors.U),
        (given.loadings_map, factors.loadings_map),
        (seen.vectors, before.vectors),
        (seen.sample_totals, before.sample_totals),
        (seen.sample_weights, before.sample_weights),
    ]
    for ours, theirs in pairs:
        assert np.array_equal(ours[order], theirs)
    assert np.array_equal(seen.eigenvalues, before.eigenvalues)


def test_given_factors_of_some_samples_are_put_into_the_order_of_those_kept(data, tmp_path):
    kept = IIDS[5:]
    (tmp_path / "keep").write_text("\n".join(kept))
    factors = factors_of(kept[::-1], len(kept))
    inputs = read(data, factors, est=False, samples=SampleOptions(keep=tmp_path / "keep"))
    inputs.close()
    given = inputs.numbers.given
    assert given is not None
    assert given.sample_ids == kept
    assert np.array_equal(given.U, factors.U[::-1])


@pytest.mark.parametrize("iids", [IIDS, ()])
def test_given_factors_in_the_same_order_or_without_ids_stay_as_they_are(data, iids):
    factors = factors_of(iids)
    inputs = read(data, factors, est=False)
    inputs.close()
    assert inputs.numbers.given is factors


def test_given_factors_bring_their_lambda(data):
    inputs = read(data, factors_of(IIDS), est=False, lambda_=0.5)
    inputs.close()
    assert inputs.ridge.lambda_ == 0.25
    assert inputs.parameters()["lambda"] == 0.25


def test_spectrum_without_vectors_is_put_into_order_too(data):
    factors = factors_of(IIDS[::-1])
    assert factors.spectrum is not None
    bare = replace(factors, spectrum=replace(factors.spectrum, vectors=np.empty((0, 0))))
    inputs = read(data, bare, est=False)
    inputs.close()
    given = inputs.numbers.given
    assert given is not None
    assert given.spectrum is not None
    assert given.spectrum.vectors.shape == (0, 0)
    assert np.array_equal(given.spectrum.sample_totals, factors.spectrum.sample_totals[::-1])


@pytest.mark.parametrize(
    ("iids", "n_rows", "match"),
    [
        ((), N - 1, "the factors have 19 samples, but 20 are in use"),
        (IIDS[1:], N - 1, "of 19 samples, of which 19 are among the 20 in use"),
        (("x", *IIDS[1:]), N, "of 20 samples, of which 19 are among the 20 in use"),
        ((*IIDS, "x"), N + 1, "of 21 samples, of which 20 are among the 20 in use"),
    ],
)
def test_given_factors_of_other_samples_are_refused(data, iids, n_rows, match):
    with pytest.raises(lfmm2.InconsistentInputError, match=match):
        read(data, factors_of(iids, n_rows), est=False)


def test_given_factors_in_another_order_need_unique_iids(tmp_path):
    iids = ["twin", "twin", *IIDS[2:]]
    bed = write_plink(tmp_path / "twins", np.random.default_rng(0).integers(0, 3, (P, N)), iid=iids, fid=list(IIDS))
    X = np.random.default_rng(4).standard_normal((N, 1))
    read_inputs(None, bed, X, factors_of(tuple(iids)), options_of()).close()
    with pytest.raises(lfmm2.InconsistentInputError, match="some IIDs stand for several samples"):
        read_inputs(None, bed, X, factors_of(tuple(iids[::-1])), options_of())
    with pytest.raises(lfmm2.InconsistentInputError, match="the factors are of 19 samples"):
        read_inputs(None, bed, X, factors_of(tuple(iids[1:]), N - 1), options_of())


@pytest.mark.parametrize("damage", ["a value", "a shape"])
def test_damaged_factors_are_refused(data, damage):
    factors = factors_of(IIDS)
    U = factors.U.copy()
    U[3, 0] = np.nan
    damaged = replace(factors, U=U) if damage == "a value" else replace(factors, loadings_map=factors.U[:, :1])
    with pytest.raises(lfmm2.UsageError, match="the factors are damaged"):
        read(data, damaged, est=False)


# samples, paths, and what the record shows


def test_rows_of_the_estimation_set_hold_the_samples_in_use(data, tmp_path):
    (tmp_path / "keep").write_text("\n".join(IIDS[:9]))
    inputs = read(data, samples=SampleOptions(keep=tmp_path / "keep"))
    inputs.close()
    assert inputs.estimation_rows.tolist() == list(range(N - 1, N - 10, -1))


def test_each_input_path_is_listed_once(data, tmp_path):
    (tmp_path / "keep").write_text("\n".join(IIDS))
    keep = tmp_path / "keep"
    inputs = read_inputs(data.bed, data.bed, data.env, K, options_of(samples=SampleOptions(keep=[keep, str(keep)])))
    inputs.close()
    fileset = [data.bed.with_suffix(end) for end in (".bed", ".bim", ".fam")]
    assert sorted(inputs.input_paths()) == sorted([*fileset, data.env, keep])


def test_paths_of_both_filesets_and_all_tables_are_listed(data, tmp_path):
    (tmp_path / "snps").write_text("\n".join(snp_ids(data.est_bed)))
    snps = SnpOptions(extract=tmp_path / "snps", est_extract=tmp_path / "snps")
    inputs = read(data, snps=snps)
    inputs.close()
    filesets = [bed.with_suffix(end) for bed in (data.bed, data.est_bed) for end in (".bed", ".bim", ".fam")]
    assert sorted(inputs.input_paths()) == sorted([*filesets, data.env, tmp_path / "snps"])


def snp_ids(bed: Path) -> list[str]:
    """Return the IDs of the SNPs of a fileset."""
    with lfmm2.open_bed(bed) as source:
        return source.variants()["ID"].to_pylist()


def test_lists_of_snps_are_of_their_own_source(data):
    ids = snp_ids(data.bed)
    snps = SnpOptions(exclude=ids[:4], est_extract=ids[P - 2 :])
    inputs = read_inputs(data.bed, data.est_bed, data.env, K, options_of(snps=snps))
    inputs.close()
    assert inputs.listed is not None
    assert inputs.est_listed is not None
    assert inputs.listed.tolist() == list(range(4, P // 2))
    assert inputs.est_listed.tolist() == [P - 2, P - 1]


def test_identity_leaves_out_options_that_do_not_change_results(data, tmp_path):
    def identity_of(**groups: object) -> dict[str, object]:
        inputs = read(data, **groups)
        inputs.close()
        return inputs.identity()

    before = identity_of()
    assert identity_of(output=OutputOptions(out=tmp_path / "x", overwrite=True)) == before
    changed = identity_of(test=TestOptions(calibrate="none"))
    assert [name for name in before if before[name] != changed[name]] == ["calibrate"]
