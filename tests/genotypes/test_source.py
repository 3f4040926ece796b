"""What all sources share: variants of chosen SNPs, SNPs found by ID, options refused, facts of files."""

import numpy as np
import pyarrow as pa
import pytest

import lfmm2
from lfmm2.files.samples import Samples
from lfmm2.files.table_files import recut
from lfmm2.genotypes import source
from lfmm2.genotypes.array_source import ArraySource
from lfmm2.genotypes.plink import BedFile
from lfmm2.genotypes.plink_writer import write_plink
from lfmm2.genotypes.source import VARIANT_SCHEMA, GenotypeSource, SourceMemory, packed_matrix, refuse, variant_tables

P = 1000
IDS = [f"rs{k}" for k in range(P)]


class Listed(GenotypeSource):
    """Only a list of SNPs, streamed by so many."""

    name = "the list"

    def __init__(self, ids, rows=3, n_snps=None):
        self.ids, self.rows = ids, rows
        self.n_samples, self.n_snps = 2, len(ids) if n_snps is None else n_snps
        self.samples = Samples(("0", "0"), ("a", "b"))

    def iter_variants(self):
        table = pa.table({"CHROM": ["1"] * len(self.ids), "POS": range(len(self.ids)), "ID": self.ids})
        for first in range(0, len(self.ids), self.rows):
            yield table.slice(first, self.rows)

    def matrix(self, engine, samples, snps, *, scale=None, count_allele="a2"):
        return ArraySource(np.ones((self.n_samples, self.n_snps))).matrix(engine, samples, snps)


@pytest.fixture(scope="module")
def bed(tmp_path_factory):
    path = write_plink(tmp_path_factory.mktemp("snps") / "d", np.ones((P, 4)), snp_ids=IDS)
    with lfmm2.open_bed(path) as opened:
        yield opened


@pytest.mark.parametrize("rows", [1, 7, 333, 5000])
@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("chosen", [None, [0], [999], [3, 4, 500, 998], list(range(0, P, 3))])
def test_variants_of_chosen_snps_in_any_cut(bed, monkeypatch, rows, held, chosen):
    if not held:
        monkeypatch.setattr(bed, "_held", None)
        monkeypatch.setattr(type(bed).iter_variants, "__defaults__", (2000,))
    positions = None if chosen is None else np.array(chosen)
    tables = list(recut(variant_tables(bed, positions), rows))
    assert [len(table) for table in tables[:-1]] == [rows] * (len(tables) - 1)
    ids = [name for table in tables for name in table["ID"].to_pylist()]
    assert ids == (IDS if chosen is None else [IDS[i] for i in chosen])


@pytest.mark.parametrize("snps", [None, np.array([4])])
def test_variants_of_a_source_that_grew_are_an_error(snps):
    with pytest.raises(lfmm2.ReadError, match="the list: has grown since it was opened; start again"):
        list(variant_tables(Listed(IDS[:5], n_snps=4), snps))


@pytest.mark.parametrize("rows", [1, 4, 100])
@pytest.mark.parametrize("compared", [1, 3, 1000])
def test_find_gives_ascending_positions_in_any_cut(monkeypatch, rows, compared):
    monkeypatch.setattr(source, "COMPARED_IDS", compared)
    monkeypatch.setattr(source, "MOST_COMPARED_IDS", 5)
    found, n_absent = Listed(["a", ".", "b", "c", ".", "d"], rows).find({"d", "a", "x", ".", "c"})
    assert (found.tolist(), n_absent, found.dtype) == ([0, 3, 5], 2, np.int64)


def test_find_in_no_snps_finds_nothing():
    assert [part.tolist() for part in map(np.asarray, Listed([]).find(["a"]))] == [[], 1]


def test_find_refuses_ids_of_several_snps():
    with pytest.raises(lfmm2.InconsistentInputError, match=r"the list: repeated SNP IDs a; rename them"):
        Listed(["a", "b", "c", "a", "b"]).find(["a", "c"])


def test_refuse_raises_the_sentence_of_the_source():
    refuse(Listed(IDS), "maf", "scale")
    with pytest.raises(lfmm2.UsageError, match=r"^maf and geno apply to a \.bed"):
        refuse(ArraySource([[1, 2]]), "impute", "maf")


def test_numbers_do_not_pass_for_hard_calls(bed, engine):
    assert packed_matrix(bed, engine, np.arange(4), None, "maf").n_snps == P
    with pytest.raises(lfmm2.UsageError, match="maf needs hard calls, which the list does not give"):
        packed_matrix(Listed(IDS), engine, np.arange(2), None, "maf")


def test_facts_of_files_come_from_their_stamps(bed):
    assert bed.paths == (bed.path, bed.bim_path, bed.fam_path)
    names = [f"(.{kind}), {fact}" for fact in ("bytes", "time of change in ns") for kind in ("bed", "bim", "fam")]
    assert list(bed.identity()) == [*names, "(.bed), SHA-256 of sampled SNPs"]
    assert bed.identity()["(.bed), bytes"] == bed.path.stat().st_size
    assert bed.identity()["(.bim), time of change in ns"] == bed.bim_path.stat().st_mtime_ns


@pytest.mark.parametrize("held", [True, False])
def test_memory_of_a_fileset_is_that_of_its_files(bed, monkeypatch, held):
    # A fileset of its own: the longest row is that of the parts that were read, and other tests read parts.
    with BedFile(bed.path) as fresh:
        n_bytes = fresh.bim_path.stat().st_size
        if not held:
            monkeypatch.setattr(fresh, "_held", None)
        assert fresh.memory == SourceMemory(fresh.bytes_per_snp, n_bytes, 2 * n_bytes if held else 0, 31)
    assert ArraySource(np.ones((2, 3), np.float32)).memory == SourceMemory()


def test_a_fileset_describes_its_bed(bed):
    assert bed.describe() == {"bed": str(bed.path), "bytes": 3 + P, "n_samples": 4, "n_snps": P}
    assert bed.name == str(bed.bim_path)


def test_a_source_without_files_has_no_paths():
    listed = Listed(IDS)
    assert (listed.stamps, listed.paths, listed.identity()) == ((), (), {})
    assert listed.describe() == {"source": "the list", "n_samples": 2, "n_snps": P}
    assert VARIANT_SCHEMA.names == ["CHROM", "POS", "ID", "A1", "A2"]
