"""The catalogue of bad files: one fault each in a good fileset and table, through the command line and the functions.

Every fault ends in under two seconds, before the first pass over the genotypes, with the class and exit code of its
kind, a message that says where, what and what to do, and no file.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from catalogue import check_refused
from input_cases import (
    MAGIC,
    N_BYTES,
    NUMBERS,
    Edit,
    N,
    P,
    cell,
    column,
    columns,
    line,
    more_samples,
    raw,
    repeat_line,
    text,
    without_line,
)

from lfmm2.errors import DegenerateProblemError, InconsistentInputError, MalformedInputError, ReadError, UsageError

# file, edit (None removes it), error, what the message says
FILE_CASES: list[tuple[str, str, Edit | None, type[Exception], str]] = [
    ("bed absent", "d.bed", None, ReadError, r"^d: cannot be opened \(No such file or directory\); check the path"),
    ("bed empty", "d.bed", raw(b""), MalformedInputError, "d.bed: begins with nothing, but a .bed with 6c 1b 01"),
    ("bed 1 byte", "d.bed", raw(MAGIC[:1]), MalformedInputError, "d.bed: begins with 6c, but a .bed with 6c 1b 01"),
    ("bed 2 bytes", "d.bed", raw(MAGIC[:2]), MalformedInputError, "d.bed: begins with 6c 1b, but a .bed with 6c 1b 01"),
    ("bed magic only", "d.bed", raw(MAGIC), InconsistentInputError, "3 bytes, .* need 3 003; .*with exactly 0 SNPs"),
    ("bed text", "d.bed", text("chr1 10 20\n"), MalformedInputError, "d.bed: begins with text, but a .bed with"),
    ("bed sample-major", "d.bed", lambda b: b"\x6c\x1b\x00" + b[3:], MalformedInputError, "plink2 --make-bed"),
    ("bed third byte", "d.bed", lambda b: b"\x6c\x1b\x55" + b[3:], MalformedInputError, "begins with 6c 1b 55, but"),
    ("bed pgen", "d.bed", lambda b: b"\x6c\x1b\x10" + b[3:], MalformedInputError, r"is a \.pgen; .*plink2 --pfile"),
    ("bed gzip", "d.bed", lambda b: b"\x1f\x8b\x08" + b, MalformedInputError, "compressed with gzip; decompress it"),
    ("bed zstd", "d.bed", lambda b: b"\x28\xb5\x2f\xfd" + b, MalformedInputError,
     r"no index of its frames at its end: .* decompress it with zstd -d"),
    ("bed vcf", "d.bed", text("##fileformat=VCFv4.3\n"), MalformedInputError, "is a VCF; .*plink2 --vcf"),
    ("bed byte short", "d.bed", lambda b: b[:-1], MalformedInputError, "3 002 bytes, .* need 3 003; .*truncated"),
    ("bed byte long", "d.bed", lambda b: b + b"\0", MalformedInputError, "3 004 bytes, .* need 3 003; .*too long"),
    ("bed SNP short", "d.bed", lambda b: b[:-N_BYTES], InconsistentInputError, "truncated, .*exactly 299 SNPs"),
    ("bed SNP long", "d.bed", lambda b: b + bytes(N_BYTES), InconsistentInputError, "too long, .*exactly 301 SNPs"),
    (
        "bed pad bits", "d.bed", lambda b: b[:52] + bytes([b[52] | 0x40]) + b[53:], MalformedInputError,
        r"d\.bed, byte 52 \(SNP 5\): has genotypes of samples that the \.fam lacks .*find its \.fam",
    ),
    ("bim absent", "d.bim", None, ReadError, r"d\.bim: cannot be opened \(No such file"),
    ("bim empty", "d.bim", raw(b""), MalformedInputError, r"d\.bim: is empty, but a \.bim has 6 columns"),
    ("bim line missing", "d.bim", without_line, InconsistentInputError, "too long, .*300 SNPs"),
    ("bim line extra", "d.bim", repeat_line, InconsistentInputError, "truncated, .*exactly 300 SNPs"),
    ("bim 4 columns", "d.bim", text("1 a 0 5\n" * P), MalformedInputError, r"d\.bim, line 1: 4 column\(s\), but"),
    (
        "bim ragged", "d.bim", line(9, lambda c: c[:-1]), MalformedInputError,
        r"d\.bim, line 9: 5 column\(s\), line 1 has 6",
    ),
    ("bim header", "d.bim", lambda b: b"CHR SNP CM BP A1 A2\n" + b, MalformedInputError, "line 1: .*remove the header"),
    ("bim position text", "d.bim", cell(7, 3, "x"), MalformedInputError, r"d\.bim, line 7: position x is no integer"),
    ("bim position 1e-6", "d.bim", cell(7, 3, "1e-6"), MalformedInputError, r"line 7: position 1e-6 is no integer"),
    (
        "bim position 2^31", "d.bim", cell(7, 3, str(2**31)), MalformedInputError,
        "line 7: .*0 to 2 147 483 646; correct",
    ),
    ("bim position huge", "d.bim", cell(7, 3, "9" * 40), MalformedInputError, "line 7: position 9+ is no integer"),
    ("bim position -0.5", "d.bim", cell(7, 3, "-0.5"), MalformedInputError, "7: position -0.5 is no integer from 0"),
    ("bim blank line", "d.bim", lambda b: b.replace(b"\n", b"\n\n", 1), MalformedInputError, "line 2: is blank amid"),
    ("bim NUL", "d.bim", cell(8, 1, "a\0"), MalformedInputError, r"d\.bim, line 8: a NUL byte"),
    ("bim UTF-16", "d.bim", lambda b: b.decode().encode("utf-16"), MalformedInputError, "line 1: a NUL byte: UTF-16"),
    (
        "bim Latin-1", "d.bim", lambda b: cell(8, 1, "é")(b).decode().encode("latin-1"), MalformedInputError,
        "line 8: .*UTF-8",
    ),
    ("bim long line", "d.bim", raw(b"A" * (21 << 20)), MalformedInputError, "over 16 MB in a line; give a table"),
    ("bim is the bed", "d.bim", raw(MAGIC + b"\0"), MalformedInputError, r"d\.bim: is a \.bed; give a text file"),
    ("bim huge position", "d.bim", cell(7, 3, "9" * 10**6), MalformedInputError, "line 7: position 9+… is no"),
    ("bim huge line", "d.bim", lambda b: b + b"\xff" * 10**6, MalformedInputError, "line 301: 1 column"),
    (
        "bim huge cell", "d.bim", lambda b: b.replace(b"\tsnp7\t", b"\t" + b"\xff" * 10**6 + b"\t"),
        MalformedInputError, "line 8: .*…' is not UTF-8",
    ),
    ("fam absent", "d.fam", None, ReadError, r"d\.fam: cannot be opened \(No such file"),
    ("fam empty", "d.fam", raw(b""), MalformedInputError, r"d\.fam: is empty, but a \.fam has 6 columns"),
    ("fam line missing", "d.fam", without_line, MalformedInputError, r"SNP \d+\): .*below 04 for 37 samples.*find its"),
    (
        "fam byte missing", "d.fam", lambda b: without_line(without_line(b)), MalformedInputError,
        "3 003 bytes, but 36 samples .* need 2 703",
    ),
    ("fam byte extra", "d.fam", more_samples(3), MalformedInputError, "3 003 bytes, but 41 samples .* need 3 303"),
    (
        "fam one column", "d.fam", text("i\n" * N), MalformedInputError,
        r"d\.fam, line 1: 1 column\(s\), but a \.fam has 6",
    ),
    ("fam ragged", "d.fam", line(3, lambda c: c[:4]), MalformedInputError, r"line 3: 4 column\(s\), line 1 has 6"),
    (
        "fam header", "d.fam", lambda b: b"FID IID PAT MAT SEX PHENO\n" + b, MalformedInputError,
        "line 1: is a header line",
    ),
    ("fam #header", "d.fam", lambda b: b"#FID IID PAT MAT SEX PHENO\n" + b, MalformedInputError, "1: is a header line"),
    (
        "fam twins", "d.fam", lambda b: without_line(b) + b.split(b"\n")[0] + b"\n", InconsistentInputError,
        "1 repeated FID IID",
    ),
    (
        "fam blank line", "d.fam", lambda b: b.replace(b"\n", b"\n \t\n", 1), MalformedInputError,
        "line 2: is blank amid",
    ),
    ("fam NUL", "d.fam", cell(4, 1, "i\0"), MalformedInputError, r"d\.fam, line 4: a NUL byte"),
    (
        "fam Latin-1", "d.fam", lambda b: cell(4, 1, "é")(b).decode().encode("latin-1"), MalformedInputError,
        "line 4: .*UTF-8",
    ),
    ("fam long line", "d.fam", raw(b"A" * (21 << 20)), MalformedInputError, "over 16 MB in a line"),
    (
        "fam ID case", "d.fam", cell(4, 1, "I03"), InconsistentInputError,
        r"\(I03\); .*1 would match but for upper and lower",
    ),
    ("env absent", "env.csv", None, ReadError, r"env\.csv: cannot be opened"),
    ("env empty", "env.csv", raw(b""), MalformedInputError, r"env\.csv: is empty; give a table with a header"),
    (
        "env header only", "env.csv", text("IID,x\n"), MalformedInputError,
        "has a header line only; add one line per sample",
    ),
    (
        "env ragged", "env.csv", line(5, lambda c: [*c, "1", "2"]), MalformedInputError,
        r"env\.csv, line 5: 4 cell\(s\), but",
    ),
    (
        "env semicolons and decimal commas", "env.csv", lambda b: b.replace(b",", b";").replace(b".", b","),
        MalformedInputError, r"line 2 .*, column 'x': '.*,.*' is not a number; .* or use --decimal , \(in Pyt",
    ),
    (
        "env semicolons and thousands", "env.csv", column(lambda k: f'"{k},{100 + k}.5"'), MalformedInputError,
        "is not a number; write decimals with a point, and nothing between thousands$",
    ),
    (
        "env pipes", "env.csv", lambda b: b.replace(b",", b"|"), MalformedInputError,
        "line 1: is one column; give variables",
    ),
    (
        "env mixed marks", "env.csv", lambda b: b[:5] + b[5:].replace(b",", b"\t"), MalformedInputError,
        r"line 2: 1 cell\(s\), but",
    ),
    (
        "env word", "env.csv", cell(6, 1, "warm"), MalformedInputError,
        r"line 6 \(sample i04\), column 'x': 'warm' is not a",
    ),
    (
        "env comma", "env.csv", cell(6, 1, '"1,5"'), MalformedInputError,
        "'1,5' is not a number; write decimals with a point",
    ),
    ("env huge cell", "env.csv", cell(6, 1, "w" * 10**5), MalformedInputError, r"line 6 .*: 'w+…' is not a number"),
    ("env huge name", "env.csv", columns("IID," + "/" * 10**5, lambda _: "1"), UsageError, "'/+…' cannot name an out"),
    ("env huge ID", "env.csv", cell(6, 0, "w" * 10**5), InconsistentInputError, r"1 rows are of no sample \(w+…\)"),
    ("env inf", "env.csv", cell(6, 1, "inf"), MalformedInputError, "line 6 .*: is infinite; correct it"),
    ("env overflow", "env.csv", cell(6, 1, "1e400"), MalformedInputError, "line 6 .*: is infinite; correct it"),
    (
        "env missing", "env.csv", cell(6, 1, ""), InconsistentInputError,
        "1 of 38 .*line 6 .*; use --missing drop or mean",
    ),
    (
        "env all missing", "env.csv", column(lambda _: "NA"), InconsistentInputError,
        "x: missing in all of 38 samples; leave",
    ),
    ("env constant", "env.csv", column(lambda _: "7"), DegenerateProblemError, "x: constant; leave out"),
    (
        "env nearly constant", "env.csv", column(lambda k: f"1.000000000000000{k % 2}"), DegenerateProblemError,
        "x: constant",
    ),
    (
        "env twins", "env.csv", columns("IID,a,b", lambda k: f"{NUMBERS[k]},{NUMBERS[k]}"), DegenerateProblemError,
        "a and b have the same",
    ),
    (
        "env collinear", "env.csv", columns("IID,a,b,c", lambda k: f"{NUMBERS[k]},{k},{3 * NUMBERS[k] - k}"),
        DegenerateProblemError, "[abc] is a linear function of [abc] and [abc]; leave out one",
    ),
    (
        "env collinear at far scales", "env.csv",
        columns("IID,a,b", lambda k: f"{1e-150 * NUMBERS[k]!r},{1e150 * NUMBERS[k] + 1e150!r}"),
        DegenerateProblemError, "is a linear function of",
    ),
    (
        "env same names", "env.csv", columns("IID,a,a", lambda k: f"{k},{NUMBERS[k]}"), MalformedInputError,
        r"repeated column names \(a\)",
    ),
    (
        "env no name", "env.csv", columns("IID,a,", lambda k: f"{k},{NUMBERS[k]}"), MalformedInputError,
        "no name for column 3",
    ),
    (
        "env slash", "env.csv", columns("IID,a/b", lambda k: f"{NUMBERS[k]}"), UsageError,
        "'a/b' cannot name an output file; rename",
    ),
    (
        "env reserved", "env.csv", columns("IID,joint", lambda k: f"{NUMBERS[k]}"), UsageError,
        "'joint' cannot name an output file",
    ),
    (
        "env IDs only", "env.csv", columns("FID,IID", lambda _: "a"), MalformedInputError,
        "no variables beside the sample IDs",
    ),
    ("env FID only", "env.csv", columns("FID,x", lambda _: "1"), MalformedInputError, "column FID but none IID"),
    ("env duplicate ID", "env.csv", repeat_line, InconsistentInputError, r"repeated IDs \(i37\); keep one row each"),
    ("env no ID", "env.csv", cell(6, 0, ""), MalformedInputError, "no sample ID in row 5"),
    (
        "env no overlap", "env.csv", lambda b: b.replace(b"i", b"zz"), InconsistentInputError,
        r"38 of 38 samples have no row \(i00, i01, .*check the IDs",
    ),
    (
        "env partial overlap", "env.csv", cell(2, 0, "other"), InconsistentInputError,
        r"1 of 38 .*\(i00\); 1 rows are of no sample \(other\)",
    ),
    ("env zeros lost", "env.csv", cell(6, 0, "i4"), InconsistentInputError, r"1 of 38 samples have no row \(i04\)"),
    ("env no header", "env.csv", lambda b: b.partition(b"\n")[2], MalformedInputError, "line 1: is data, not a header"),
    (
        "env Latin-1", "env.csv", lambda b: cell(5, 0, "é")(b).decode().encode("latin-1"), MalformedInputError,
        "line 5: is not UTF-8",
    ),
    ("env UTF-16", "env.csv", lambda b: b.decode().encode("utf-16"), MalformedInputError, "line 1: a NUL byte: UTF-16"),
    ("env gzip", "env.csv", raw(b"\x1f\x8b\x08"), MalformedInputError, "compressed with gzip, and damaged or cut off"),
    ("env is a bed", "env.csv", raw(MAGIC + b"\0"), MalformedInputError, r"is a \.bed; give a text file"),
    (
        "env open quote", "env.csv", cell(5, 1, '"1'), MalformedInputError,
        r"env\.csv, line 5: a quote is opened and not closed",
    ),
]  # fmt: skip


@pytest.mark.parametrize("way", ["command", "function"])
@pytest.mark.parametrize(
    ("name", "edit", "error", "match"), [c[1:] for c in FILE_CASES], ids=[c[0] for c in FILE_CASES]
)
@pytest.mark.filterwarnings("ignore::lfmm2.errors.InputWarning")
@pytest.mark.usefixtures("no_pass")
def test_fault_of_a_file(folder, capsys, name, edit, error, match, way):
    path = Path(name)
    if edit is None:
        path.unlink()
    else:
        path.write_bytes(edit(path.read_bytes()))
    check_refused(folder, capsys, way, error, match)


@pytest.mark.parametrize("way", ["command", "function"])
@pytest.mark.parametrize("name", ["d.bed", "d.bim", "d.fam", "env.csv"])
@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
@pytest.mark.usefixtures("no_pass")
def test_special_file(folder, capsys, name, make, way):
    Path(name).unlink()
    make(name)
    check_refused(folder, capsys, way, ReadError, f"{name}: is a directory, a pipe or a device; give the path")


@pytest.mark.parametrize("way", ["command", "function"])
@pytest.mark.parametrize("name", ["d.bed", "d.bim", "d.fam", "env.csv"])
@pytest.mark.usefixtures("no_pass")
def test_unreadable_file(folder, capsys, name, way):
    Path(name).chmod(0)
    if os.access(name, os.R_OK):
        pytest.skip("this user reads everything")
    check_refused(folder, capsys, way, ReadError, rf"{name}: cannot be opened \(Permission denied\)")
