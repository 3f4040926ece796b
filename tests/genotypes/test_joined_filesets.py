"""Several filesets as one source: packed calls of any range and order of samples, variants, facts, refusals."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from made_filesets import packed as packed_calls
from made_filesets import random_dosages, write_parts

import lfmm2
from lfmm2.errors import ChangedInputError, InconsistentInputError, InputWarning, UsageError
from lfmm2.genotypes import plink
from lfmm2.genotypes.array_source import ArraySource
from lfmm2.genotypes.engine import Engine
from lfmm2.genotypes.joined_filesets import JoinedCalls, JoinedNumbers, JoinedReader
from lfmm2.genotypes.plink import BedFile
from lfmm2.genotypes.source_kinds import open_source
from lfmm2.process.limits import count_open_files
from lfmm2.testing import check_genotype_source

pytestmark = pytest.mark.filterwarnings("ignore:.*in another order than:lfmm2.errors.InputWarning")
CUTS = {"1": 7, "2": 1, "10": 300, "X": 92}
P = sum(CUTS.values())


def shuffled(n: int, seed: int) -> list[int]:
    return np.random.default_rng(seed).permutation(n).tolist()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 9, 41])
def test_reader_gives_the_packed_calls_of_the_merged_fileset(tmp_path, n, monkeypatch):
    monkeypatch.setattr("lfmm2.genotypes.joined_filesets._SCRATCH_BYTES", 40)  # a few SNPs at a time
    dosages = random_dosages(n, P)
    paths = write_parts(tmp_path, dosages, CUTS, orders={"10": shuffled(n, 1), "X": shuffled(n, 2)})
    rng = np.random.default_rng(3)
    with open_source(paths) as source:
        for samples in (np.arange(n), rng.permutation(n), rng.permutation(n)[: n // 2 + 1]):
            expected = packed_calls(dosages[:, samples])
            reader = JoinedReader(source.parts, samples)
            for first, end in ((0, P), (0, 1), (6, 9), (7, 8), (8, 8), (250, 400), (307, 308), (399, 400)):
                packed = np.full((end - first, reader.bytes_per_snp), 0xA5, np.uint8)
                reader.read_packed(first, packed)
                np.testing.assert_array_equal(packed, expected[first:end])
            for snps in (np.arange(0, P, 13), np.array([6, 7, 8, 307, 308]), np.array([399]), np.empty(0, np.int64)):
                packed = np.full((len(snps), reader.bytes_per_snp), 0xA5, np.uint8)
                reader.read_snps(snps, packed)
                np.testing.assert_array_equal(packed, expected[snps])


def test_joined_calls_keep_the_rules_of_a_source(tmp_path):
    paths = write_parts(tmp_path, random_dosages(9, P), CUTS, orders={"2": shuffled(9, 4)})
    with open_source([str(paths[0]), *paths[1:]]) as source:
        assert isinstance(source, JoinedCalls)
        check_genotype_source(source)


def test_joined_numbers_keep_the_rules_of_a_source():
    dosages = random_dosages(9, 50).T
    source = open_source([ArraySource(dosages[:, :20]), ArraySource(dosages[:, 20:])])
    assert isinstance(source, JoinedNumbers)
    np.testing.assert_array_equal(
        source.read(np.array([3, 1]), np.array([2, 19, 20, 49])), dosages[[3, 1]][:, [2, 19, 20, 49]].T
    )
    check_genotype_source(source)


def test_variants_are_those_of_the_merged_fileset(tmp_path, monkeypatch):
    paths = write_parts(tmp_path, random_dosages(5, P), CUTS)
    with open_source(tmp_path / "whole") as whole, open_source(paths) as source:
        wanted = whole.variants()
        assert source.n_snps == whole.n_snps
        assert lfmm2.genotypes.source.pa.concat_tables(source.iter_variants()).equals(wanted)
        assert source.find(["s6", "s7", "nobody"])[0].tolist() == [6, 7]
    monkeypatch.setattr(plink, "_HELD_BIM", 500)  # each is small enough to be held, but not all together
    with open_source(paths) as source:
        assert all(part.source._held is None for part in source.parts)
        assert lfmm2.genotypes.source.pa.concat_tables(source.iter_variants()).equals(wanted)


def test_snps_left_out_are_those_of_all_filesets(tmp_path):
    paths = write_parts(tmp_path, random_dosages(5, P), CUTS)
    for name in ("chr1", "chrX"):
        bim = tmp_path / f"{name}.bim"
        rows = bim.read_text().splitlines()
        rows[1] = rows[1].replace("\t0\t", "\t0\t-", 1)
        bim.write_text("\n".join(rows) + "\n")
    with pytest.warns(
        InputWarning, match=r"^4 filesets \(chr1.bim to chrX.bim\): 2 SNPs with a negative .*\(s1, s309\)"
    ):
        source = open_source(paths)
    assert source.left_out.tolist() == [1, 309]
    source.close()


@pytest.mark.parametrize("held", [0, 1 << 24])
def test_faults_of_the_lists_of_snps_are_told_with_the_file(tmp_path, monkeypatch, held):
    monkeypatch.setattr(plink, "_HELD_BIM", held)
    write_parts(tmp_path, random_dosages(5, 8), {"1": 3, "2": 3, "3": 2})
    (tmp_path / "chr3.bim").write_text("1\ts0\t0\t5\tA\tC\n1\ts9\t0\t1e1\tA\tC\n")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        open_source([tmp_path / f"chr{k}" for k in (1, 2, 3)]).close()
    said = [str(warning.message) for warning in told]
    assert any("(chr3.bim, line 2: 1e1)" in sentence for sentence in said)
    assert any("is not sorted (chr3.bim, line 1: chromosome 1 comes again after 2)" in sentence for sentence in said)
    assert any("1 IDs stand for several SNPs (s0)" in sentence for sentence in said) == (held > 0)
    assert len(said) == 2 + (held > 0)


def test_position_that_falls_between_files_is_told(tmp_path):
    write_parts(tmp_path, random_dosages(5, 8), {"1": 3, "2": 5})
    (tmp_path / "chr2.bim").write_text("".join(f"1\tx{j}\t0\t{5 + j}\tA\tC\n" for j in range(5)))
    with pytest.warns(InputWarning, match=r"\(chr2.bim, line 1: position 5 after 30 on chromosome 1\)"):
        open_source([tmp_path / "chr1", tmp_path / "chr2"]).close()


def test_open_sources_are_joined_and_stay_open(tmp_path):
    paths = write_parts(tmp_path, random_dosages(5, P), CUTS)
    with BedFile(paths[1]) as opened:
        source = open_source([paths[0], opened, paths[2]])
        assert source.n_snps == 308
        source.close()
        packed = np.empty((1, 2), np.uint8)
        opened.read_packed(0, packed)
    assert source.parts[0].source._stored._file.closed


@pytest.mark.parametrize("most_open", [0, 64])
def test_files_are_opened_when_read_where_there_are_many(tmp_path, monkeypatch, most_open):
    monkeypatch.setattr(plink, "_MOST_OPEN", most_open)
    dosages = random_dosages(9, P)
    paths = write_parts(tmp_path, dosages, CUTS)
    before = count_open_files()
    with open_source(paths) as source:
        assert count_open_files() - before == (len(paths) if most_open else 0)
        packed = np.empty((P, 3), np.uint8)
        JoinedReader(source.parts, np.arange(9)).read_packed(0, packed)
        np.testing.assert_array_equal(packed, packed_calls(dosages))
        changed = paths[2].read_bytes()
        paths[2].unlink()
        paths[2].write_bytes(changed)
        with pytest.raises(ChangedInputError, match=r"chr10\.bed: was changed since it was opened"):
            source.matrix(Engine(1, 1 << 30), np.arange(9), None).gram()
        if not most_open:
            with pytest.raises(ChangedInputError, match=r"chr10\.bed: was changed"):
                JoinedReader(source.parts, np.arange(9)).read_packed(0, packed)


def test_facts_of_the_joined_source(tmp_path):
    paths = write_parts(tmp_path, random_dosages(9, P), CUTS, orders={"2": shuffled(9, 4)})
    with open_source(paths) as source:
        assert source.name == "4 filesets (chr1.bim to chrX.bim)"
        assert [path.name for path in source.paths[3:6]] == ["chr2.bed", "chr2.bim", "chr2.fam"]
        assert source.summary() == f"4 as one: {paths[0]}, chr2.bed, chr10.bed, chrX.bed; samples of 1 matched by ID"
        facts = source.describe()
        assert [part["n_snps"] for part in facts["filesets"]] == list(CUTS.values())
        assert (facts["n_samples"], facts["n_samples_left_out"], facts["n_snps"]) == (9, 0, P)
        assert list(source.identity()) == [f"of fileset {k}" for k in (1, 2, 3, 4)]
        assert source.memory.snp_bytes == 3
        assert source.memory.held_variant_bytes > 4 * (1 << 14)
    with open_source(paths[:1]) as source:
        assert source.summary() == f"only one: {paths[0]}"


def test_many_names_are_shortened_in_the_plan(tmp_path, monkeypatch):
    monkeypatch.setattr("lfmm2.genotypes.joined_filesets._MOST_LISTED", 8)
    paths = write_parts(tmp_path, random_dosages(5, 10), {str(k): 1 for k in range(10)})
    with open_source(paths) as source:
        assert source.summary() == f"10 as one: {paths[0]}, chr1.bed, chr2.bed, chr3.bed, …, chr8.bed, chr9.bed"


# --- samples --------------------------------------------------------------------------------------------------


def rewrite_fam(folder: Path, name: str, change) -> None:
    path = folder / f"{name}.fam"
    rows = [change(k, row.split()) for k, row in enumerate(path.read_text().splitlines())]
    path.write_text("".join("\t".join(row) + "\n" for row in rows))


def test_samples_in_another_order_are_told(tmp_path):
    paths = write_parts(tmp_path, random_dosages(9, P), CUTS, orders={"2": shuffled(9, 4), "X": shuffled(9, 5)})
    told = r"^2 filesets have their samples in another order than .*chr1\.bed, such as .*chr2\.bed; .* matched by IID"
    with pytest.warns(InputWarning, match=told):
        open_source(paths).close()


def test_different_samples_are_an_error_unless_intersected(tmp_path):
    dosages = random_dosages(9, P)
    orders = {"2": [8, 1, 2, 3, 4, 5, 6, 7], "X": [0, 1, 3, 4, 5, 6, 7, 8]}
    paths = write_parts(tmp_path, dosages, CUTS, orders=orders)
    fact = (
        r"chr2\.bed: 1 of 9 samples of .*chr1\.bed not in it \(i00\), 1 more fileset with other samples than .*; give "
    )
    with pytest.raises(InconsistentInputError, match=fact):
        open_source(paths)
    with pytest.warns(
        InputWarning, match=r"^2 samples are not in all of the filesets \(i00, i02\), left out by --inter"
    ):
        source = open_source(paths, intersect=True)
    kept = [1, 3, 4, 5, 6, 7, 8]
    assert list(source.samples.iid) == [f"i{k:02d}" for k in kept]
    packed = np.empty((P, 2), np.uint8)
    JoinedReader(source.parts, np.arange(7)).read_packed(0, packed)
    np.testing.assert_array_equal(packed, packed_calls(dosages[:, kept]))
    assert source.describe()["n_samples_left_out"] == 2
    assert source.summary().endswith(", 2 that are not in all left out")
    source.close()


def test_more_samples_in_a_later_fileset_are_an_error(tmp_path):
    paths = write_parts(tmp_path, random_dosages(9, P), CUTS, orders={"1": [0, 1, 2]})
    with pytest.raises(
        InconsistentInputError, match=r"chr2\.bed: 6 samples that .*chr1\.bed lacks \(i03, i04, i05, i06"
    ):
        open_source(paths)


def test_no_common_sample_is_an_error(tmp_path):
    paths = write_parts(tmp_path, random_dosages(9, P), CUTS, orders={"1": [0, 1, 2], "2": [3, 4]})
    with pytest.raises(InconsistentInputError, match="no sample is in all of 4 filesets; check their IDs"):
        open_source(paths, intersect=True)


def test_repeated_iids_are_matched_with_fids(tmp_path):
    dosages = random_dosages(4, 8)
    orders = {"2": [2, 0, 1, 3]}
    paths = write_parts(tmp_path, dosages, {"1": 3, "2": 5}, orders=orders)
    for name, of in (("chr1", [0, 1, 2, 3]), ("chr2", orders["2"])):
        rewrite_fam(tmp_path, name, lambda k, row, of=of: [f"f{of[k] // 2}", f"i{of[k] % 2}", *row[2:]])
    with pytest.warns(InputWarning, match="they are matched by FID and IID"):
        source = open_source(paths)
    packed = np.empty((8, 1), np.uint8)
    JoinedReader(source.parts, np.arange(4)).read_packed(0, packed)
    np.testing.assert_array_equal(packed, packed_calls(dosages))
    source.close()


def test_fids_may_be_absent_but_not_others(tmp_path):
    paths = write_parts(tmp_path, random_dosages(4, 8), {"1": 3, "2": 5})
    rewrite_fam(tmp_path, "chr2", lambda k, row: [row[1], *row[1:]])
    told = r"chr2\.bed: 4 samples with another FID than in .*chr1\.bed \(i00: i00 and 0\); they are matched by IID"
    with pytest.warns(InputWarning, match=told):
        source = open_source(paths)
    assert set(source.samples.fid) == {"0"}
    source.close()
    rewrite_fam(tmp_path, "chr1", lambda k, row: ["north", *row[1:]])
    rewrite_fam(tmp_path, "chr2", lambda k, row: ["south", *row[1:]])
    with pytest.raises(
        InconsistentInputError, match=r"4 samples with another FID than .*\(i00: south and north\); give"
    ):
        open_source(paths)


def test_other_columns_are_those_of_the_first_fileset(tmp_path):
    paths = write_parts(tmp_path, random_dosages(4, 8), {"1": 3, "2": 5}, orders={"2": [3, 1, 0]})
    rewrite_fam(tmp_path, "chr1", lambda k, row: [*row[:4], str(k), row[5]])
    with pytest.warns(InputWarning, match="1 sample is not in all"):
        source = open_source(paths, intersect=True)
    assert source.sample_column("SEX") == ("0", "1", "3")
    assert source.sample_column("fid") == ("0", "0", "0")
    source.close()


# --- what is refused ------------------------------------------------------------------------------------------


def test_a_fileset_given_twice_is_an_error(tmp_path, monkeypatch):
    paths = write_parts(tmp_path, random_dosages(4, 8), {"1": 3, "2": 5})
    with pytest.raises(UsageError, match=r"chr1\.bed: is given twice; give each fileset once"):
        open_source([*paths, paths[0]])
    (tmp_path / "link.bed").hardlink_to(paths[0])
    for end in (".bim", ".fam"):
        (tmp_path / f"link{end}").write_bytes(paths[0].with_suffix(end).read_bytes())
    with pytest.raises(UsageError, match=r"chr1\.bed and .*link\.bed: are one file; give each fileset once"):
        open_source([*paths, tmp_path / "link"])
    numbers = ArraySource(np.ones((4, 2)))
    with pytest.raises(UsageError, match="the array: is given twice"):
        open_source([numbers, numbers])


def test_calls_and_numbers_are_not_joined(tmp_path):
    paths = write_parts(tmp_path, random_dosages(4, 8), {"1": 3, "2": 5})
    with pytest.raises(
        InconsistentInputError, match=r"chr1\.bed has calls, and the array has numbers such as dosages; give"
    ):
        open_source([paths[0], ArraySource(np.ones((4, 2)))])
    with pytest.raises(InconsistentInputError, match="the ploidy is 2 in the array and 4 in the array; give"):
        open_source([ArraySource(np.ones((4, 2)), 2), ArraySource(np.ones((4, 2)), 4)])
    with pytest.raises(UsageError, match=r"a list of filesets has \[0, 1\] in it; give paths"):
        open_source([paths[0], [0, 1]])


def test_files_are_closed_after_an_error(tmp_path):
    paths = write_parts(tmp_path, random_dosages(4, 8), {"1": 3, "2": 5})
    paths[1].write_bytes(paths[1].read_bytes()[:-1])
    before = count_open_files()
    with pytest.raises(InconsistentInputError, match=r"chr2\.bed: 7 bytes, but .* truncated"):
        open_source(paths)
    assert count_open_files() == before
