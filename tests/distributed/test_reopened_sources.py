"""Genotypes of every kind of file, opened again by workers: the numbers, and the result files, of one process."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_bgen import bgen_of, data_of, snp
from made_genotypes import Truth, dosage_vcf_text, simulate, vcf_text
from made_pgen import write_pgen
from made_zarr import write_zarr
from shared_runs import contents
from toy_executors import ToyExecutor

import lfmm2
from lfmm2.distributed import crew, distributed_matrix
from lfmm2.genotypes import Engine, open_source, segments
from lfmm2.genotypes.joined_filesets import JoinedSource
from lfmm2.genotypes.packed_bed import PackedBed
from lfmm2.pipeline import RunOptions, execute_run, prepare_run

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning", "ignore::UserWarning")

N_SAMPLES, N_SNPS = 30, 1500
SHORT_SEGMENT = 256


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "SEGMENT_SNPS", SHORT_SEGMENT)
    monkeypatch.setattr(distributed_matrix, "LEAST_GENOTYPES", 1)
    monkeypatch.setattr(crew, "LOOK_SECONDS", 0.01)


@pytest.fixture(scope="module")
def truth() -> Truth:
    return simulate(N_SAMPLES, N_SNPS)


def part(truth: Truth, snps: slice, samples: list[int] | None = None) -> Truth:
    """Some SNPs of all samples, in another order if `samples` tells it."""
    rows = list(range(len(truth.iid))) if samples is None else samples
    return Truth(
        truth.dosages[snps][:, rows], [truth.iid[k] for k in rows], truth.chromosomes[snps], truth.positions[snps],
        truth.ids[snps], truth.alleles[snps],
    )  # fmt: skip


CUTS = (slice(0, 400), slice(400, 1100), slice(1100, N_SNPS))


def write_beds(truth: Truth, folder: Path) -> Any:
    orders = (None, list(range(N_SAMPLES))[::-1], list(range(N_SAMPLES))[::-1])
    cuts = zip(CUTS, orders, strict=True)
    return [part(truth, cut, order).write_bed(folder / f"b{k}") for k, (cut, order) in enumerate(cuts)]


def write_bed_and_pgen(truth: Truth, folder: Path) -> Any:
    first = part(truth, CUTS[0]).write_bed(folder / "b")
    return [first, write_pgen(part(truth, slice(400, N_SNPS), list(range(N_SAMPLES))[::-1]), folder / "p")]


def write_bed_as_pgen(truth: Truth, folder: Path) -> Path:
    """A .pgen that is a .bed, beside a .bim and a .fam."""
    bed = truth.write_bed(folder / "x")
    return bed.rename(bed.with_suffix(".pgen"))


def dosages_of(truth: Truth) -> np.ndarray:
    """Dosages of A2 that are no whole numbers."""
    shift = np.random.default_rng(4).uniform(0, 0.4, truth.dosages.shape)
    return np.where(truth.dosages > 0, truth.dosages - shift, truth.dosages + shift)


def write_bgen(truth: Truth, folder: Path, name: str = "x", first: int = 1) -> Path:
    """Probabilities of 8 bits, with a SNP of three alleles among them, which is left out."""
    variants = []
    for j, row in enumerate(dosages_of(truth)):
        missing = tuple(np.flatnonzero(np.isnan(row)).tolist())
        halves = np.rint(np.nan_to_num(row, nan=0.0) / 2 * 255).astype(int)
        values = [value for half in halves.tolist() for value in (255 - half, 0)]
        values = [0 if k // 2 in missing else value for k, value in enumerate(values)]
        variants.append(snp(data_of([2] * len(row), 8, values, missing=missing), first + j))
    other = data_of([2] * len(truth.iid), 8, [0] * (5 * len(truth.iid)), n_alleles=3)
    variants.insert(5, snp(other, first + 4, ("A", "C", "G")))
    (folder / f"{name}.bgen").write_bytes(bgen_of(variants, truth.iid))
    return folder / f"{name}.bgen"


def write_bgens(truth: Truth, folder: Path) -> Any:
    first, second = part(truth, slice(0, 700)), part(truth, slice(700, N_SNPS), list(range(N_SAMPLES))[::-1])
    return [write_bgen(first, folder, "a"), write_bgen(second, folder, "b", 2000)]


def write_dosages(truth: Truth, folder: Path) -> Path:
    (folder / "x.vcf").write_text(dosage_vcf_text(truth))
    lfmm2.convert(folder / "x.vcf", folder / "x", vcf_dosage="GP")
    return folder / "x.dosages"


KINDS: dict[str, Callable[[Truth, Path], Any]] = {
    "filesets": write_beds,
    "bed and pgen": write_bed_and_pgen,
    "pgen": lambda truth, folder: write_pgen(truth, folder / "x"),
    "pgen with dosages": lambda truth, folder: write_pgen(truth, folder / "x", dosages_of(truth)),
    "pgen that is a bed": write_bed_as_pgen,
    "bgen": write_bgen,
    "several bgen": write_bgens,
    "dosages": write_dosages,
}


@pytest.fixture(scope="module")
def written(truth: Truth, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Files of a kind, written once."""
    made: dict[str, Any] = {}

    def write(kind: str) -> Any:
        if "pgen" in kind:
            pytest.importorskip("pgenlib")
        if kind not in made:
            made[kind] = KINDS[kind](truth, tmp_path_factory.mktemp("kind"))
        return made[kind]

    return write


Written = Callable[[str], Any]


@pytest.mark.usefixtures("one_blas_thread")
@pytest.mark.parametrize("kind", KINDS)
def test_numbers_of_a_reopened_source_are_those_of_the_source(written: Written, kind: str) -> None:
    engine, samples = Engine(1, 1 << 28), np.arange(1, N_SAMPLES)[::-1].copy()
    W = np.random.default_rng(1).standard_normal((len(samples), 4))
    with closing(open_source(written(kind))) as source:
        reopening = pickle.loads(pickle.dumps(source.reopening()))
        assert source.memory.reopened_bytes >= 0
        with closing(reopening.opens(*reopening.arguments)) as again:
            for snps in (None, np.arange(3, N_SNPS, 7)):
                for allele in ("a2", "a1"):
                    if allele == "a1" and source.refusal("count_allele"):
                        continue
                    found = []
                    for genotypes in (source, again):
                        matrix = genotypes.matrix(engine, samples, snps, count_allele=allele)
                        assert matrix.n_snps == (source.n_snps if snps is None else len(snps))
                        products = [block.products for block in matrix.cross_products(W)]
                        found.append((matrix.gram_product(W).total(), np.concatenate(products)))
                    np.testing.assert_array_equal(found[0][0], found[1][0])
                    np.testing.assert_array_equal(found[0][1], found[1][1])


@pytest.mark.parametrize(
    ("kind", "solver"),
    [*((kind, "krylov") for kind in KINDS), *((kind, "exact") for kind in ("filesets", "pgen", "bgen"))],
)
def test_files_of_every_kind_of_genotypes_are_those_of_one_process(
    written: Written, tmp_path: Path, kind: str, solver: str
) -> None:
    genotypes = written(kind)
    X = np.random.default_rng(2).standard_normal((N_SAMPLES, 1))
    toy = ToyExecutor(lost=0.1)
    for name, more in {"one": {}, "many": {"executor": toy}}.items():
        (tmp_path / name).mkdir()
        options: dict[str, Any] = {"solver": solver, "surrogates": 0, "n_threads": 1, **more}
        lfmm2.run(None, genotypes, X, K=2, out=tmp_path / name / "r", **options)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")
    assert toy.n_submitted > (4 if solver == "krylov" else 0)


@pytest.mark.parametrize(("option", "dosage"), [("vcf", None), ("vcf", "GP"), ("zarr", None)])
def test_files_of_genotypes_that_are_converted_are_those_of_one_process(
    truth: Truth, tmp_path: Path, option: str, dosage: str | None
) -> None:
    few = part(truth, slice(0, 600))
    path = tmp_path / ("x.vcf" if option == "vcf" else "x.zarr")
    if option == "zarr":
        write_zarr(few, path, others=False)
    else:
        path.write_text(dosage_vcf_text(few) if dosage else vcf_text(few, others=False))
    X = np.random.default_rng(2).standard_normal((N_SAMPLES, 1))
    for name, more in {"one": {}, "many": {"executor": ToyExecutor()}}.items():
        (tmp_path / name).mkdir()
        given = {option: path, "vcf_dosage": dosage, "out": tmp_path / name / "r", "solver": "krylov", "n_threads": 1}
        with prepare_run(None, None, X, 2, RunOptions.from_arguments({**given, **more}, "test")) as prepared:
            execute_run(prepared)
    assert contents(tmp_path / "many") == contents(tmp_path / "one")


def test_many_filesets_are_opened_when_read_in_workers_too(written: Written, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lfmm2.genotypes.plink._MOST_OPEN", 2)
    with closing(open_source(written("filesets"))) as source:
        reopening = source.reopening()
        assert reopening is not None
        with closing(reopening.opens(*reopening.arguments)) as again:
            beds = [of.source for of in again._parts]
            assert all(isinstance(bed, PackedBed) and not bed._stored.stays_open for bed in beds)
            expected = source.parts[0].source._n_sampled if isinstance(source, JoinedSource) else 0
            assert [bed._n_sampled for bed in beds] == [expected] * 3


def test_several_sources_of_which_one_is_in_memory_are_refused(tmp_path: Path) -> None:
    sources = [open_source(np.ones((4, 9))), open_source(np.ones((4, 5)))]
    with pytest.raises(lfmm2.UsageError, match=r"those of 2 filesets .* can be read in this process alone; write"):
        lfmm2.run(None, sources, np.arange(4.0), K=1, out=tmp_path / "r", executor=ToyExecutor())
