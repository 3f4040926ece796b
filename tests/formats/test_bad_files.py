"""The catalogue of foreign files that cannot be converted: an error of lfmm2 that says where and what to do."""

from __future__ import annotations

import contextlib
import gzip
import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_genotypes import geno_text, lfmm_text, raw_text, simulate, traw_text, vcf_text, write_012, write_ped
from plain_bed import read_dosages

import lfmm2
from lfmm2.cli.program import main
from lfmm2.errors import InconsistentInputError, MalformedInputError, ReadError, UsageError

TRUTH = simulate(11, 30)
VCF = vcf_text(TRUTH, others=False)
HEAD, FIRST = VCF.split("\nchr2", 1)[0] + "\n", "chr2" + VCF.split("\nchr2", 1)[1].split("\n")[0]
BGZF_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
N_HEADER = HEAD.count("\n")


def record(change: Callable[[list[str]], list[str]]) -> str:
    """A VCF of one record, whose cells are changed."""
    return HEAD + "\t".join(change(FIRST.split("\t"))) + "\n"


def cell(column: int, value: str) -> str:
    return record(lambda cells: [value if j == column else c for j, c in enumerate(cells)])


def bcf(body: bytes, header: str = HEAD) -> bytes:
    """A BCF with these records."""
    data = header.encode() + b"\0"
    return gzip.compress(b"BCF\x02\x02" + struct.pack("<I", len(data)) + data + body)


def bcf_record(n_samples: int = 11, contig: int = 0, gt: bytes = b"\x02\x04" * 11, n_fields: int = 1) -> bytes:
    shared = struct.pack("<iiifHHI", contig, 9, 1, 0.0, 0, 2, n_samples | n_fields << 24) + b"\x07\x17A\x17C\x00"
    # GT is number 3 of the header, behind PASS, DP and q10.
    calls = b"\x11\x03\x21" + gt
    return struct.pack("<II", len(shared), len(calls)) + shared + calls


def npy(array: np.ndarray) -> bytes:
    path = Path("made.npy")
    np.save(path, array)
    data = path.read_bytes()
    path.unlink()
    return data


# name of the file, its content, error, what the message says
CASES: list[tuple[str, str | bytes | None, type[Exception], str]] = [
    ("absent.vcf", None, ReadError, r"absent\.vcf: cannot be opened \(No such file"),
    ("empty.vcf", "", MalformedInputError, "is empty or damaged; check the file"),
    ("text.txt", "the quick brown fox\n", MalformedInputError, r"is of no format that is converted \(VCF, BCF, \.npy"),
    ("d.bed", b"\x6c\x1b\x01abc", MalformedInputError, r"is a \.bed already; give it to lfmm2 run --bed"),
    ("d.pgen", b"\x6c\x1b\x10abc", MalformedInputError, r"is a \.pgen .*; convert it with plink2 --pfile"),
    ("a.vcf.zst", b"\x28\xb5\x2f\xfdabc", MalformedInputError, "is compressed with zstd; decompress it with zstd -d"),
    ("no_format.vcf", HEAD.split("\n", 1)[1].replace("##", "#CHROM"), MalformedInputError, "has no line ##fileformat"),
    ("header.vcf", HEAD.split("#CHROM")[0], MalformedInputError, "ends before the line with #CHROM; .*truncated"),
    ("sites.vcf", re.sub("\tFORMAT.*", "", HEAD), MalformedInputError, "has sites but no samples; give the VCF with"),
    (
        "columns.vcf", HEAD.replace("\tREF", "\tRFE"), MalformedInputError,
        "has columns .*RFE.*, but a VCF #CHROM POS ID",
    ),
    ("twins.vcf", VCF.replace("tree-3", "tree-2"), InconsistentInputError, r"the samples tree-2 have several columns"),
    ("blank.vcf", VCF.replace("tree-3", "tree 3"), MalformedInputError, "the sample ID 'tree 3' .*blank.*; put _ in"),
    ("no_records.vcf", HEAD, InconsistentInputError, "has no SNPs; check the file"),
    (
        "all_out.vcf", cell(4, "C,G"), InconsistentInputError,
        r"no biallelic SNP is left \(1 multiallelic left out\); check",
    ),
    ("ds.vcf", cell(8, "DS"), MalformedInputError, "no SNP has GT, the hard calls; DS, GP and PL alone are not read"),
    ("position.vcf", cell(1, "x"), MalformedInputError, f"line {N_HEADER + 1}: position 'x' is no whole number from 0"),
    ("far.vcf", cell(1, "99999999999"), MalformedInputError, "position '99999999999' is no whole number"),
    (
        "gt.vcf", cell(10, "0/x"), MalformedInputError,
        f"line {N_HEADER + 1}: '0/x' of sample tree-1 is no genotype; a GT",
    ),
    ("empty_gt.vcf", cell(10, ""), MalformedInputError, "'' of sample tree-1 is no genotype"),
    ("cut_gt.vcf", cell(19, "0/"), MalformedInputError, "'0/' of sample tree-10 is no genotype"),
    ("minus.vcf", cell(10, "-1/0"), MalformedInputError, "'-1/0' of sample tree-1 is no genotype"),
    (
        "high.vcf", cell(10, "0/2"), MalformedInputError,
        "'0/2' of sample tree-1 has an allele above 1, but there is one",
    ),
    ("eleven.vcf", cell(10, "0/11"), MalformedInputError, "'0/11' of sample tree-1 has an allele above 1"),
    ("triploid.vcf", cell(10, "0/0/1"), MalformedInputError, "'0/0/1' of sample .* more than two alleles.*lfmm2.run"),
    ("few.vcf", record(lambda c: c[:-1]), MalformedInputError, r"10 column\(s\) of 11 samples, the line has fewer"),
    (
        "many.vcf", record(lambda c: [*c, "0/0"]), MalformedInputError,
        r"12 column\(s\) of 11 samples, the line has more",
    ),
    ("short.vcf", record(lambda c: c[:5]), MalformedInputError, r"5 column\(s\), but there are 20 in the header"),
    ("spaces.vcf", record(lambda c: [" ".join(c)]), MalformedInputError, "has blanks in place of tabs"),
    ("cat.vcf", VCF + VCF, MalformedInputError, "is a line of a header amid the variants; were VCFs joined by cat"),
    ("hole.vcf", record(lambda c: c) + "\n" + FIRST + "\n", MalformedInputError, "is blank; remove it"),
    ("id.vcf", cell(2, "rs 1"), MalformedInputError, "the name 'rs 1' of a SNP, chromosome or allele .*blank"),
    ("truncated.vcf", VCF[:-10], MalformedInputError, r"line \d+: has no line end, so the file may be truncated"),
    ("no_end.vcf", VCF[:-1], MalformedInputError, r"line \d+: has no line end, so the file may be truncated there"),
    (
        "truncated.vcf.gz", gzip.compress(VCF.encode())[:-30], MalformedInputError,
        "compressed data are damaged or end too",
    ),
    ("damaged.vcf.gz", gzip.compress(VCF.encode())[:-8] + bytes(8), MalformedInputError, "is empty or damaged; check"),
    (
        "no_eof.vcf.gz", BGZF_END[:18] + b"x" * 20, MalformedInputError,
        "empty or damaged|lacks the end that bgzip writes",
    ),
    ("empty.bcf", bcf(b""), InconsistentInputError, "has no SNPs; check the file"),
    ("header.bcf", gzip.compress(b"BCF\x02\x02\xff\xff\x00\x00abc"), MalformedInputError, "the header: ends too soon"),
    (
        "huge.bcf", gzip.compress(b"BCF\x02\x02\xff\xff\xff\xffabc"), MalformedInputError,
        "a length of 4 294 967 295 bytes",
    ),
    ("cut.bcf", bcf(bcf_record()[:-3]), MalformedInputError, "record 1: ends too soon; the file looks truncated"),
    ("lengths.bcf", bcf(bcf_record()[:5]), MalformedInputError, "record 0: ends too soon"),
    ("samples.bcf", bcf(bcf_record(10)), MalformedInputError, "record 1: 10 samples, but 11 in the header"),
    ("contig.bcf", bcf(bcf_record(contig=77)), MalformedInputError, "record 1: is damaged; copy the file again"),
    ("fields.bcf", bcf(bcf_record(n_fields=9, gt=b"\x02" * 5)), MalformedInputError, "record 1: is damaged"),
    ("allele.bcf", bcf(bcf_record(gt=b"\x02\x06" * 11)), MalformedInputError, "sample tree-0 has an allele above 1"),
    ("letter.lfmm", lfmm_text(TRUTH).replace("9", "x", 1), MalformedInputError, "no format|genotype x in column"),
    (
        "minus.lfmm", lfmm_text(TRUTH, missing="-1"), MalformedInputError,
        "genotype -1 in column .* no 9 or -9 for missing",
    ),
    ("na.lfmm", "0 1 2\n1 NA 2\n", MalformedInputError, "line 2: genotype NA in column 2 is no 0, 1 or 2"),
    (
        "share.lfmm", "0.5 1\n1 0.25\n", MalformedInputError,
        "genotype 0.5 in column 1 .*frequencies.*lfmm2.run in Python",
    ),
    ("ragged.lfmm", "0 1 2\n1 2\n", MalformedInputError, "line 2: 2 genotypes, but 3 are expected; the file looks"),
    ("hole.lfmm", "0 1 2\n\n1 2 1\n", MalformedInputError, "line 2: is blank amid the genotypes; remove it"),
    ("marks.lfmm", "0 1 2\n1 ? 1\n", MalformedInputError, r"genotype \? in column 2"),
    ("ragged.geno", "0129\n012\n", MalformedInputError, "line 2: 3 genotypes, but 4 are expected"),
    ("digit.geno", "0129\n0123\n", MalformedInputError, "genotype 3 in column 4 is no 0, 1 or 2, and no 9 for missing"),
    ("truncated.geno", geno_text(TRUTH)[:-5], MalformedInputError, "genotypes, but 11 are expected"),
    ("no_SNPs.raw", "FID IID PAT MAT SEX PHENOTYPE\n", MalformedInputError, "no columns of SNPs after PHENOTYPE"),
    (
        "name.raw", raw_text(TRUTH).replace("_A", "", 1).replace("(/C)", "", 1), MalformedInputError,
        "has no _ and allele",
    ),
    (
        "nine.raw", raw_text(TRUTH).replace("NA", "9", 1), MalformedInputError,
        "genotype 9 in column .* no NA for missing",
    ),
    ("dosage.raw", raw_text(TRUTH).replace("NA", "0.31", 1), MalformedInputError, "genotype 0.31 in column"),
    ("truncated.raw", raw_text(TRUTH)[:-9], MalformedInputError, "genotypes, but 30 are expected"),
    (
        "twins.raw", raw_text(TRUTH).replace("tree-3", "tree-2"), InconsistentInputError,
        r"1 sample ID repeated \(tree-2\)",
    ),
    ("short.raw", raw_text(TRUTH) + "0 z 0\n", MalformedInputError, r"3 column\(s\), line 1 has 36"),
    ("nine.traw", traw_text(TRUTH).replace("NA", "-9", 1), MalformedInputError, "genotype -9 in column"),
    ("truncated.traw", traw_text(TRUTH)[:-9], MalformedInputError, "genotypes, but 11 are expected"),
    (
        "position.traw", traw_text(TRUTH).replace("\t201\t", "\t2e2\t"), MalformedInputError,
        "position '2e2' is no whole",
    ),
]  # fmt: skip


def check_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, error: type[Exception], match: str
) -> None:
    """Function and command fail in this way, and leave nothing."""
    before = sorted(folder.iterdir())
    with pytest.raises(error) as caught:
        lfmm2.convert(name, "out")
    message = str(caught.value)
    assert re.search(match, message), message
    assert re.search(r"[;,:] [a-z]", message), message  # a remedy
    assert len(message) < 600
    with pytest.raises(SystemExit) as ended:
        main(["convert", name, "--out", "out"])
    assert ended.value.code == error.exit_code
    assert capsys.readouterr().err == f"Error: {message}\n"
    assert sorted(folder.iterdir()) == before


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("name", "content", "error", "match"), CASES, ids=[case[0] for case in CASES])
def test_bad_file_is_refused(folder, capsys, name, content, error, match):
    if content is not None:
        Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    check_refused(folder, capsys, name, error, match)


# file that is changed, its new content (None removes it), error, what the message says
BESIDE = [
    ("a.012.indv", None, ReadError, r"a\.012\.indv: cannot be opened"),
    ("a.012.pos", None, ReadError, r"a\.012\.pos: cannot be opened"),
    ("a.012.indv", "one\ntwo\n", InconsistentInputError, r"11 samples, but a\.012\.indv has 2; find the \.indv"),
    (
        "a.012.pos",
        "1\t5\n",
        MalformedInputError,
        r"line 1 \(a\.012\.pos has 1 SNPs\): 30 genotypes, but 1 are expected",
    ),
    ("a.012.pos", "1\n" * 30, MalformedInputError, r"a\.012\.pos, line 1: 1 column\(s\), but a \.pos has chromosome"),
    ("a.map", None, ReadError, r"a\.map: cannot be opened"),
    ("a.map", "", MalformedInputError, r"a\.map: is empty; find the \.map of this \.ped"),
    ("a.map", "1 s 0 5\n", MalformedInputError, r"line 1: 66 columns, but 6 and two for each of the 1 SNPs of a\.map"),
    ("a.map", "1 s\n" * 30, MalformedInputError, r"a\.map, line 1: 2 columns, but a \.map has 4"),
    ("a.map", "1 s 0 x\n" * 30, MalformedInputError, "position 'x' is no whole number"),
]


@pytest.mark.parametrize(("name", "content", "error", "match"), BESIDE)
def test_bad_file_beside_the_genotypes_is_refused(folder, capsys, name, content, error, match):
    write_012(TRUTH, Path("a.012"))
    write_ped(TRUTH, Path("a.ped"))
    if content is None:
        Path(name).unlink()
    else:
        Path(name).write_text(content)
    check_refused(folder, capsys, "a.012" if name.startswith("a.012") else "a.ped", error, match)


def test_third_allele_of_a_ped_is_refused(folder, capsys):
    Path("a.ped").write_text("0 a 0 0 0 -9 A C\n0 b 0 0 0 -9 A G\n")
    Path("a.map").write_text("1 s 0 5\n")
    match = "line 2: SNP 1 has the third allele 'G' beside 'A' and 'C'; leave it out"
    check_refused(folder, capsys, "a.ped", MalformedInputError, match)


@pytest.mark.parametrize(
    ("array", "change", "match"),
    [
        (np.zeros((3, 4)), lambda b: b[:-1], "223 bytes, but an array of shape .* needs 224; the file looks truncated"),
        (np.zeros((3, 4)), lambda b: b[:20], "has a damaged header; write it again"),
        (np.zeros(4), lambda b: b, r"an array of shape \(4,\) and type float64; save real numbers"),
        (np.zeros((3, 4), bool), lambda b: b, "type bool; save real numbers"),
        (np.full((3, 4), 9), lambda b: b, r"9 at row 0, column 0 \(from 0\) is no 0, 1, 2 or NaN; say with"),
        (np.full((3, 4), 0.5, order="F"), lambda b: b, "0.5 at row 0, column 0"),
    ],
)
def test_bad_npy_is_refused(folder, capsys, array, change, match):
    Path("a.npy").write_bytes(change(npy(array)))
    check_refused(folder, capsys, "a.npy", MalformedInputError, match)


def test_options_that_do_not_apply_are_refused(folder):
    Path("a.geno").write_text("0129\n")
    Path("a.vcf").write_text(VCF)
    Path("ids").write_text("a\nb\n")
    with pytest.raises(
        UsageError, match=r"missing_genotype .* a\.geno is a \.geno of LEA, which has a code of its own"
    ):
        lfmm2.convert("a.geno", "out", missing_genotype=9)
    with pytest.raises(InconsistentInputError, match=r"ids: 2 sample IDs, but a\.geno has 4 samples; list them all"):
        lfmm2.convert("a.geno", "out", samples="ids")
    write_ped(TRUTH, Path("a.ped"))
    for name in ("a.vcf", "a.ped"):
        with pytest.raises(UsageError, match=r"--samples ids names samples, but a\.\w+ has names of its own; leave"):
            lfmm2.convert(name, "out", samples="ids")
    with pytest.raises(UsageError, match="out is 'folder/'"):
        lfmm2.convert("a.vcf", "folder/")


@pytest.mark.parametrize("name", ["a.vcf", "a.lfmm", "a.geno", "a.012", "a.raw", "a.traw", "a.ped"])
@pytest.mark.filterwarnings("ignore::lfmm2.errors.InputWarning")
def test_damaged_bytes_end_in_an_error_of_lfmm2_or_in_a_fileset(folder, name):
    write_012(TRUTH, Path("a.012"))
    write_ped(TRUTH, Path("a.ped"))
    texts = {"vcf": vcf_text, "lfmm": lfmm_text, "geno": geno_text, "raw": raw_text, "traw": traw_text}
    for end, make in texts.items():
        Path(f"a.{end}").write_text(make(TRUTH))
    data = np.frombuffer(Path(name).read_bytes(), np.uint8)
    rng = np.random.default_rng(3)
    letters = np.frombuffer(b"\0\t\n\r 019./-ANx\xff\xc3", np.uint8)
    for _ in range(60):
        changed = data.copy()
        changed[rng.integers(0, len(data), 2)] = letters[rng.integers(0, len(letters), 2)]
        Path(name).write_bytes(changed[: rng.integers(1, len(data))] if rng.random() < 0.3 else changed)
        with contextlib.suppress(lfmm2.LfmmError):
            made = lfmm2.convert(name, "out", overwrite=True)
            with lfmm2.open_bed(made.bed) as bed:
                assert (bed.n_samples, bed.n_snps) == (made.n_samples, made.n_snps)


def test_any_cut_of_a_file_is_an_error_or_whole_lines(folder):
    """No truncation gives other calls: what can be converted has the leading SNPs of the whole."""
    whole = Path("whole.vcf")
    whole.write_text(VCF)
    lfmm2.convert(whole, "whole")
    bed, data = Path("whole.bed").read_bytes(), VCF.encode()
    for end in range(len(HEAD), len(data), 97):
        Path("cut.vcf").write_bytes(data[:end])
        with pytest.raises((MalformedInputError, InconsistentInputError)):
            lfmm2.convert("cut.vcf", "cut", overwrite=True)
    lines = VCF.splitlines(keepends=True)
    Path("cut.vcf").write_text("".join(lines[:-5]))
    assert lfmm2.convert("cut.vcf", "cut").bed.read_bytes() == bed[: -5 * 3]


@pytest.mark.parametrize("size", [1, 2, 4])
def test_calls_of_a_bcf_may_be_wider_integers(folder, size):
    absent, missing = -(2 ** (8 * size - 1)) + 1, -(2 ** (8 * size - 1))
    calls = [
        (2, 2),
        (2, 4),
        (5, 5),
        (4, absent),
        (0, 4),
        (missing, missing),
        (2, absent),
        (3, 5),
        (4, 4),
        (2, 3),
        (1, 1),
    ]
    gt = b"".join(value.to_bytes(size, "little", signed=True) for call in calls for value in call)
    record = bcf_record(gt=gt).replace(b"\x11\x03\x21", bytes([0x11, 3, 0x20 + {1: 1, 2: 2, 4: 3}[size]]))
    Path("a.bcf").write_bytes(bcf(record))
    lfmm2.convert("a.bcf", "out")
    expected = [2, 1, 0, 0, np.nan, np.nan, 2, 1, 0, 2, np.nan]
    np.testing.assert_array_equal(read_dosages(Path("out.bed"), 11), [expected])


def test_damaged_bytes_of_a_bcf_are_no_crash(folder):
    rng = np.random.default_rng(1)
    data = np.frombuffer(gzip.decompress(bcf(bcf_record() * 20)), np.uint8)
    for _ in range(300):
        changed = data.copy()
        at = rng.integers(5, len(data), 3)
        changed[at] = rng.integers(0, 256, 3)
        Path("a.bcf").write_bytes(gzip.compress(changed.tobytes(), 1))
        with contextlib.suppress(lfmm2.MalformedInputError, lfmm2.InconsistentInputError):
            lfmm2.convert("a.bcf", "out", overwrite=True)
