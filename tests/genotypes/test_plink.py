"""Filesets written by hand: every way of being wrong has its message, and every byte comes back."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lfmm2.errors import InconsistentInputError, InputWarning, MalformedInputError, ReadError
from lfmm2.files import text_tables
from lfmm2.files.samples import Samples, read_id_list, read_sample_list
from lfmm2.genotypes import plink
from lfmm2.genotypes.fam_file import read_fam
from lfmm2.genotypes.plink import BedFile, open_bed

MAGIC = b"\x6c\x1b\x01"


@pytest.fixture(autouse=True)
def streamed_bim(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files are streamed here as large ones are."""
    monkeypatch.setattr(plink, "_HELD_BIM", 0)


def write_fileset(folder: Path, n_samples: int = 5, n_snps: int = 7, name: str = "x") -> np.ndarray:
    """Write a fileset of random bytes and return these, one row per SNP."""
    packed = np.random.default_rng(n_samples).integers(0, 256, (n_snps, (n_samples + 3) // 4), dtype=np.uint8)
    packed[:, -1] &= 0xFF >> 2 * (-n_samples % 4)  # pad bits are zero
    (folder / f"{name}.bed").write_bytes(MAGIC + packed.tobytes())
    (folder / f"{name}.bim").write_text("".join(f"1\tsnp{j}\t0\t{100 + j}\tA\tC\n" for j in range(n_snps)))
    (folder / f"{name}.fam").write_text("".join(f"F{i} I{i} 0 0 0 -9\n" for i in range(n_samples)))
    return packed


def write(folder: Path, content: str | bytes, name: str = "x.txt") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read_all(bed: BedFile) -> np.ndarray:
    packed = np.empty((bed.n_snps, bed.bytes_per_snp), np.uint8)
    bed.read_packed(0, packed)
    return packed


@pytest.mark.parametrize(
    "text",
    [
        "F1 I1 0 0 0 -9\nF2 I2 0 0 0 -9\n",
        "F1\tI1\t0\t0\t0\t-9\nF2\tI2\t0\t0\t0\t-9",
        "F1 I1 0 0 0 -9\r\nF2 I2 0 0 0 -9\r\n",
        "\ufeffF1 I1 0 0 0 -9\nF2 I2 0 0 0 -9\n",
        "  F1   I1 \t 0 0 0 -9  \n\tF2 I2 0 0 0 -9\t\n",
        "F1 I1 0 0 0 -9\nF2 I2 0 0 0 -9\n\n \n\n",
        "F1 I1\nF2 I2\n",
        "F1 I1 0 0 0 1.5 2.5 NA\nF2 I2 0 0 0 1 2 3\n",
    ],
    ids=["spaces", "tabs", "crlf", "bom", "ragged blanks", "trailing blank lines", "two columns", "gemma"],
)
def test_read_fam_accepts(tmp_path: Path, text: str) -> None:
    assert read_fam(write(tmp_path, text)) == Samples(("F1", "F2"), ("I1", "I2"))


def test_read_fam_keeps_ids_as_text(tmp_path: Path) -> None:
    assert read_fam(write(tmp_path, 'NA 007 0 0 0 -9\n"q" é 0 0 0 -9\n')) == Samples(("NA", '"q"'), ("007", "é"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("I1\nI2\n", r"line 1: 1 column\(s\), but a \.fam has 6"),
        ("F1 I1 0\nF2 I2 0\nF3 I3\n", r"line 3: 2 column\(s\), line 1 has 3"),
        ("F1 I1 0\nF2 I2 0 0\n", r"line 2: 4 column\(s\), line 1 has 3"),
        ("F1 I1 0\n\nF2 I2 0\n", "line 2: is blank"),
        ("\nF1 I1 0\n", "line 1: is blank"),
        ("F1 I1 0\nF2 I2 0\n \t \n\nF2 I3 0\n", "line 3: is blank"),
        (b"F1 I1 0\nF2 I\x002 0\n", "line 2: a NUL byte"),
        ("F1 I1 0\n".encode("utf-16"), "line 1: a NUL byte"),
        (b"F1 I1 0\nF2 I\xe9 0\n", r"line 2: .*\\xe9.* is not UTF-8"),
        ("F1 I1 0\rF2 I2 0\r", "line 1: a carriage return"),
        ("#FID IID PAT\nF1 I1 0\n", "line 1: is a header line"),
        ("FID IID PAT\nF1 I1 0\n", "line 1: is a header line"),
        ("#IID SEX\nI1 0\n", "line 1: is a header line"),
        (b"\x1f\x8b\x08\x00", "compressed with gzip"),
        (b"\x6c\x1b\x01\x00", r"is a \.bed; give a text file"),
    ],
)
def test_read_fam_names_the_malformed_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(MalformedInputError, match=message):
        read_fam(write(tmp_path, content))


def test_read_fam_names_five_duplicates(tmp_path: Path) -> None:
    path = write(tmp_path, "".join(f"F I{i % 6} 0 0 0 -9\n" for i in range(12)))
    with pytest.raises(InconsistentInputError, match=r"6 repeated FID IID \(F I0, F I1, F I2, F I3, F I4, …\)"):
        read_fam(path)


def test_read_fam_allows_the_same_iid_in_two_families(tmp_path: Path) -> None:
    assert len(read_fam(write(tmp_path, "F1 I\nF2 I\n"))) == 2


def test_read_fam_reports_absent_file(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"x\.fam: cannot be opened \(No such file or directory\)"):
        read_fam(tmp_path / "x.fam")


def open_bim(folder: Path, bim: str | bytes, n_snps: int) -> BedFile:
    write(folder, MAGIC + bytes(n_snps), "x.bed")
    write(folder, "F I 0 0 0 -9\n", "x.fam")
    write(folder, bim, "x.bim")
    return open_bed(folder / "x.bed")


@pytest.mark.parametrize("bim", ["01 a 0 5 A C\nX . 0.5 7 <DEL> NA\n", "01\ta\t5\tA\tC\r\nX\t.\t7\t<DEL>\tNA\r\n"])
def test_variants_has_columns_as_text(tmp_path: Path, bim: str) -> None:
    with open_bim(tmp_path, bim, 2) as bed:
        columns = bed.variants().to_pydict()
    assert list(columns) == ["CHROM", "POS", "ID", "A1", "A2"]
    assert list(columns.values()) == [["01", "X"], [5, 7], ["a", "."], ["A", "<DEL>"], ["C", "NA"]]


def test_variants_never_reads_genetic_position(tmp_path: Path) -> None:
    with open_bim(tmp_path, "1 a nonsense 5 A C\n", 1) as bed:
        assert bed.variants()["POS"].to_pylist() == [5]


def test_variants_accepts_alleles_that_look_hexadecimal(tmp_path: Path) -> None:
    with open_bim(tmp_path, "1 0xab 0 5 0x1 C\n", 1) as bed:
        assert bed.variants()["A1"].to_pylist() == ["0x1"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 b 0 x A C", "position x is no integer"),
        ("1 b 0 1.5 A C", "position 1.5 is no integer"),
        ("1 b 0 0x10 A C", "position 0x10 is no integer"),
        ("1 b 0 0X10 A C", "position 0X10 is no integer"),
        ("1 b 0 -1.5 A C", "position -1.5 is no integer from 0"),
        ("1 b 0 2147483647 A C", "position 2147483647 is no integer from 0 to 2 147 483 646"),
        ("1 b 0 99999999999999999999 A C", "position 9+ is no integer"),
        ("1 b 0 5 A", r"5 column\(s\), line 1 has 6"),
        ("1 b 0 5 A C G", r"7 column\(s\), line 1 has 6"),
        ("", "is blank"),
        (b"1 b 0 5 A \xff", "is not UTF-8"),
        (b"1 b 0 5 A \x00", "a NUL byte"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 40, 1 << 22])
def test_open_bed_names_the_malformed_bim_line(
    tmp_path: Path, line: str | bytes, message: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plink.BedFile._stream_bim, "__defaults__", (chunk, None))
    line = line if isinstance(line, bytes) else line.encode()
    bim = b"1 a 0 5 A C\n" * 3 + line + b"\n" + b"1 c 0 5 A C\n" * 3
    with pytest.raises(MalformedInputError, match=rf"x\.bim, line 4: .*{message}"):
        open_bim(tmp_path, bim, 7)


@pytest.mark.parametrize(
    ("bim", "message"),
    [
        ("", "is empty"),
        ("1 a 0 5\n", r"line 1: 4 column\(s\), but a \.bim has 6 columns, or 5"),
        ("#CHROM ID CM POS A1 A2\n1 a 0 5 A C\n", "position POS is no integer .*remove the header line"),
    ],
)
def test_open_bed_refuses_bim(tmp_path: Path, bim: str, message: str) -> None:
    with pytest.raises(MalformedInputError, match=message):
        open_bim(tmp_path, bim, 1)


def test_open_bed_refuses_endless_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_tables, "LONGEST_LINE", 50)
    monkeypatch.setattr(plink.BedFile._stream_bim, "__defaults__", (10, None))
    with pytest.raises(MalformedInputError, match="in a line"):
        open_bim(tmp_path, "A" * 100, 1)


@pytest.mark.parametrize("chunk", range(1, 40, 3))
def test_iter_variants_counts_lines_over_chunks(tmp_path: Path, chunk: int) -> None:
    write_fileset(tmp_path)
    with open_bed(tmp_path / "x") as bed:
        write(tmp_path, "1 a 0 5 A C\n" * 3 + "\n \n\n\n" + "1 a 0 5 A C\n", "x.bim")
        with pytest.raises(MalformedInputError, match=r"x\.bim, line 4: is blank"):
            list(bed.iter_variants(chunk))
    write(tmp_path, "1 a 0 5 A C\n" * 7 + "\n \n\n\n", "x.bim")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InputWarning)
        bed = open_bed(tmp_path / "x")
    with bed:
        assert sum(table.num_rows for table in bed.iter_variants(chunk)) == 7


@pytest.mark.parametrize("chunk", [1, 20, 50])
def test_iter_variants_is_the_same_in_any_chunks(tmp_path: Path, chunk: int) -> None:
    write_fileset(tmp_path)
    with open_bed(tmp_path / "x") as bed:
        tables = list(bed.iter_variants(chunk))
        assert len(tables) > 1
        assert [row for table in tables for row in table.to_pylist()] == bed.variants().to_pylist()


def test_iter_variants_notices_another_length(tmp_path: Path) -> None:
    write_fileset(tmp_path)
    with open_bed(tmp_path / "x") as bed:
        write(tmp_path, "1 a 0 5 A C\n", "x.bim")
        with pytest.raises(ReadError, match="7 SNPs when opened, 1 now"):
            bed.variants()


@pytest.mark.parametrize("n_samples", range(1, 10))
def test_open_bed_computes_sizes(tmp_path: Path, n_samples: int) -> None:
    packed = write_fileset(tmp_path, n_samples)
    with open_bed(tmp_path / "x.bed") as bed:
        assert (bed.n_samples, bed.n_snps, bed.bytes_per_snp) == (n_samples, 7, -(-n_samples // 4))
        assert bed.n_bytes == 3 + packed.size
        np.testing.assert_array_equal(read_all(bed), packed)


@pytest.mark.parametrize("given", ["data.chr1", "data.chr1.bed"])
def test_open_bed_replaces_only_the_final_suffix(tmp_path: Path, given: str) -> None:
    write_fileset(tmp_path, name="data.chr1")
    with open_bed(str(tmp_path / given)) as bed:
        assert [bed.path.name, bed.bim_path.name, bed.fam_path.name] == [
            "data.chr1.bed",
            "data.chr1.bim",
            "data.chr1.fam",
        ]


def test_open_bed_prefers_the_fileset_to_a_folder_of_its_name(tmp_path: Path) -> None:
    write_fileset(tmp_path)
    (tmp_path / "x").mkdir()
    with open_bed(tmp_path / "x") as bed:
        assert bed.path.name == "x.bed"


def test_open_bed_shows_itself(tmp_path: Path) -> None:
    write_fileset(tmp_path)
    with open_bed(tmp_path / "x") as bed:
        assert repr(bed) == f"BedFile('{tmp_path}/x.bed', n_samples=5, n_snps=7)"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing, but a .bed with 6c 1b 01"),
        (b"\x6c", "begins with 6c, but"),
        (b"\x6c\x1b\x00\xff", "sample-major .*plink2 --make-bed"),
        (b"\x6c\x1b\x02\xff", r"\.pgen.*plink2 --pfile"),
        (b"\x6c\x1b\x10\xff", r"\.pgen"),
        (b"\x6c\x1b\xff\xff", "begins with 6c 1b ff, but a .bed with 6c 1b 01"),
        (b"\x6c\x1b", "begins with 6c 1b, but a .bed with 6c 1b 01"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"\x28\xb5\x2f\xfd\x00", "zstd"),
        (b"##fileformat=VCFv4.2\n#CHROM", r"VCF.*plink2 --vcf"),
        (b"1\tsnp1\t0\t100\tA\tC\n", "begins with text"),
        (b"\x89PNG\r\n", "begins with 89 50 4e, but"),
    ],
)
def test_open_bed_recognises_other_formats(tmp_path: Path, content: bytes, message: str) -> None:
    write_fileset(tmp_path)
    with pytest.raises(MalformedInputError, match=message):
        open_bed(write(tmp_path, content, "x.bed"))


@pytest.mark.parametrize(
    ("n_bytes", "error", "message"),
    [
        (
            16,
            MalformedInputError,
            r"x\.bed: 16 bytes, but 5 samples \(x\.fam\) × 7 SNPs \(x\.bim\) need 17; .*trunc",
        ),
        (18, MalformedInputError, "18 bytes, .* need 17; the file looks too long"),
        (15, InconsistentInputError, "need 17; the file looks truncated, .*exactly 6 SNPs"),
        (19, InconsistentInputError, "need 17; the file looks too long, .*exactly 8 SNPs"),
        (3, InconsistentInputError, "exactly 0 SNPs"),
    ],
)
def test_open_bed_checks_size(tmp_path: Path, n_bytes: int, error: type[Exception], message: str) -> None:
    write_fileset(tmp_path)
    os.truncate(tmp_path / "x.bed", n_bytes)
    with pytest.raises(error, match=message):
        open_bed(tmp_path / "x")


def test_open_bed_groups_thousands(tmp_path: Path) -> None:
    write_fileset(tmp_path, 1000, 6000)
    os.truncate(tmp_path / "x.bed", 1_250_002)
    with pytest.raises(MalformedInputError, match=r"1 250 002 bytes, but 1 000 samples .* 6 000 SNPs .* 1 500 003"):
        open_bed(tmp_path / "x")


@pytest.mark.parametrize("missing", ["x.bed", "x.bim", "x.fam"])
def test_open_bed_reports_absent_file(tmp_path: Path, missing: str) -> None:
    write_fileset(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ReadError, match=rf"{missing}: cannot be opened"):
        open_bed(tmp_path / "x.bed")


@pytest.mark.parametrize("name", ["x.bed", "x.bim", "x.fam"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_open_bed_refuses_special_file(tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    write_fileset(tmp_path)
    (tmp_path / name).unlink()
    make(tmp_path / name)
    with pytest.raises(ReadError, match=rf"{name}: is a directory, a pipe"):
        open_bed(tmp_path / "x.bed")


SAMPLES = Samples(("F1", "F1", "F2"), ("I1", "I2", "I3"))


@pytest.mark.parametrize(
    "text",
    [
        "I1\nI3\nI9\n",
        "#IID\nI1\nI3\nI9\n",
        "#IID SID\nI3 a\nI9 a\nI1 a\n",
        "F1 I1\nF2 I3\nF2 I1\n",
        "#FID IID\nF1 I1\nF2 I3\nF1 I3\n",
        "FID\tIID\nF1\tI1\nF2\tI3\nF1\tI3",
        "F1 I1 0 0 0 -9\nF2 I3 0 0 0 -9\nF I 0 0 0 -9\n",
    ],
)
def test_read_sample_list_reads(tmp_path: Path, text: str) -> None:
    listed = read_sample_list(write(tmp_path, text), SAMPLES)
    assert listed.mask.tolist() == [True, False, True]
    assert listed.n_unknown == 1


def test_read_sample_list_counts_repeated_lines_once(tmp_path: Path) -> None:
    listed = read_sample_list(write(tmp_path, "I1\nI1\nno\nno\n"), SAMPLES)
    assert (listed.mask.sum(), listed.n_unknown) == (1, 1)


def test_read_sample_list_refuses_ambiguous_iid(tmp_path: Path) -> None:
    with pytest.raises(InconsistentInputError, match="I1: several samples each; list FID and IID"):
        read_sample_list(write(tmp_path, "I1\n"), Samples(("F1", "F2"), ("I1", "I1")))


def test_read_id_list_takes_the_first_column(tmp_path: Path) -> None:
    assert read_id_list(write(tmp_path, "rs1 x\nrs2 y\n")) == ["rs1", "rs2"]


@pytest.mark.parametrize(
    ("ids", "expected", "n_not_found"),
    [(["snp5", "snp0"], [0, 5], 0), ({"snp6", "snp7"}, [6], 1), (["no", "no"], [], 1), ([], [], 0)],
)
def test_find_returns_sorted_indices(
    tmp_path: Path, ids: list[str], expected: list[int], n_not_found: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plink, "CHUNK", 20)
    write_fileset(tmp_path)
    with open_bed(tmp_path / "x") as bed:
        snps, missing = bed.find(ids)
    assert snps.dtype == np.int64
    assert (snps.tolist(), missing) == (expected, n_not_found)


@pytest.mark.filterwarnings("ignore::lfmm2.errors.InputWarning")
def test_find_refuses_repeated_id(tmp_path: Path) -> None:
    bim = "1 a 0 5 A C\n1 b 0 6 A C\n1 a 0 7 A C\n1 c 0 7 A C\n1 c 0 8 A C\n"
    with open_bim(tmp_path, bim, 5) as bed, pytest.raises(InconsistentInputError, match="SNP IDs a; rename"):
        bed.find(["a", "b"])


def test_iter_variants_of_a_small_bim_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plink, "_HELD_BIM", 1 << 24)
    write_fileset(tmp_path)
    with open_bed(tmp_path / "x.bed") as bed:
        held = bed.variants()
        bed.bim_path.unlink()
        assert bed.variants().equals(held)


def test_check_unchanged_passes(tmp_path: Path) -> None:
    write_fileset(tmp_path)
    with open_bed(tmp_path / "x") as bed:
        bed.check_unchanged()


def replace(path: Path) -> None:
    stamp = path.stat().st_mtime_ns
    write(path.parent, path.read_bytes(), "y").replace(path)
    os.utime(path, ns=(stamp, stamp))


@pytest.mark.parametrize("name", ["x.bed", "x.bim", "x.fam"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: os.utime(path, ns=(1, 1)), "was changed since it was opened"),
        (replace, "was changed since it was opened"),
        (lambda path: os.truncate(path, 9), r"was changed since it was opened \([0-9]+ bytes then, 9 now\)"),
        (lambda path: path.unlink(), "is gone .*; put it back"),
    ],
    ids=["touched", "replaced", "truncated", "removed"],
)
def test_check_unchanged_says_which_file_changed(
    tmp_path: Path, name: str, change: Callable[[Path], None], message: str
) -> None:
    write_fileset(tmp_path)
    with open_bed(tmp_path / "x") as bed:
        change(tmp_path / name)
        with pytest.raises(ReadError, match=rf"{name}: {message}"):
            bed.check_unchanged()


def survey(folder: Path, rows: list[str]) -> list[str]:
    """What opening a fileset with these SNPs (CHROM ID CM POS A1 A2) warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        open_bim(folder, "".join(f"{row} A C\n" for row in rows), len(rows)).close()
    assert all(w.category is InputWarning for w in caught)
    return [str(w.message).removeprefix(f"{folder}/") for w in caught]


@pytest.mark.parametrize("chunk", [1, 25, 1 << 22])
@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        (["1 a 0 5", "1 b 0 5", "2 c 0 1", "X d 0 9"], None),
        (["0 . 0 0", "0 . 0 0", "7 . 0 3", "7 . 0 3"], None),
        (["2 a 0 5", "1 b 0 9"], None),
        (["1 a 0 5", "1 b 0 4"], "x.bim: is not sorted (line 2: position 4 after 5 on chromosome 1)"),
        (["1 a 0 5", "2 b 0 4", "2 c 0 4", "2 d 0 3"], "(line 4: position 3 after 4 on chromosome 2)"),
        (["1 a 0 5", "2 b 0 6", "3 c 0 7", "1 d 0 8"], "(line 4: chromosome 1 comes again after 3)"),
        (["1 a 0 5", "01 b 0 6", "1 c 0 7"], "(line 3: chromosome 1 comes again after 01)"),
    ],
)
def test_open_bed_warns_of_disorder(
    tmp_path: Path, rows: list[str], fault: str | None, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plink.BedFile._stream_bim, "__defaults__", (chunk, None))
    found = survey(tmp_path, rows)
    assert len(found) == (fault is not None)
    assert fault is None or fault in found[0]


def test_open_bed_warns_of_disorder_once(tmp_path: Path) -> None:
    assert len(survey(tmp_path, [f"{j % 2} a{j} 0 {9 - j}" for j in range(9)])) == 1


@pytest.mark.parametrize("held", [0, 1 << 24])
def test_open_bed_warns_of_repeated_ids(tmp_path: Path, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plink, "_HELD_BIM", held)
    assert survey(tmp_path, ["1 a 0 5", "1 . 0 6", "1 b 0 7", "1 . 0 8", "1 A 0 9"]) == []
    assert survey(tmp_path, ["1 a 0 5", "1 . 0 6", "1 a 0 7", "1 . 0 8"])[0].startswith("x.bim: 1 IDs stand for")
    (found,) = survey(tmp_path, [f"1 s{j % 7} 0 {j}" for j in range(14)])
    assert found.startswith("x.bim: 7 IDs stand for several SNPs (s0, s1, s2, s3, s4, …)")


def test_open_bed_finds_ids_repeated_far_apart_where_the_bim_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plink.BedFile._stream_bim, "__defaults__", (30, None))
    rows = [f"1 {'a' if j % 5 == 0 else f's{j}'} 0 {j}" for j in range(11)]
    assert survey(tmp_path, rows) == []  # no two in one chunk
    monkeypatch.setattr(plink, "_HELD_BIM", 1 << 24)
    assert survey(tmp_path, rows)[0].startswith("x.bim: 1 IDs stand for several SNPs (a)")


@pytest.mark.parametrize("last", ["", "é", "0", "."])
def test_open_bed_tells_ids_apart_whatever_their_end(
    tmp_path: Path, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plink, "_HELD_BIM", 1 << 24)
    ids = [f"{name}{last}" for name in "abcdeafgbh"]
    (found,) = survey(tmp_path, [f"1 {name} 0 {j}" for j, name in enumerate(ids)])
    assert found.startswith("x.bim: 2 IDs stand for several SNPs (")
    assert set(found.split("(")[1].split(")")[0].split(", ")) == {f"a{last}", f"b{last}"}


def test_open_bed_counts_repeats_of_all_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plink.BedFile._stream_bim, "__defaults__", (15, None))
    (found,) = survey(tmp_path, [f"1 s{j // 2} 0 {j}" for j in range(8)])
    assert found.startswith("x.bim: at least 4 IDs stand for several SNPs (s0, s1, s2, s3)")


def test_find_never_finds_the_id_that_means_none(tmp_path: Path) -> None:
    with open_bim(tmp_path, "1 . 0 5 A C\n1 b 0 6 A C\n1 . 0 7 A C\n", 3) as bed:
        snps, n_absent = bed.find([".", "b"])
    assert (snps.tolist(), n_absent) == ([1], 1)
