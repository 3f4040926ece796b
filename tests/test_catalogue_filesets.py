"""The catalogue of bad input, filesets: what .fam and .bim may not hold, and rates of missing calls."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from catalogue import check_refused
from input_cases import Edit, N, P, cell, line, text

from lfmm2.errors import DegenerateProblemError, InconsistentInputError, MalformedInputError, UsageError
from lfmm2.files.zstd_frames import index_text


def fam(row: str) -> Edit:
    return text("".join(row.replace("{}", f"i{k:02d}") + "\n" for k in range(N)))


def bim(row: str) -> Edit:
    return text("".join(row.replace("{}", str(j + 1)) + "\n" for j in range(P)))


# file, edit, error, what the message says
FILE_CASES: list[tuple[str, str, Edit, type[Exception], str]] = [
    (
        "fam blank in FID", "d.fam", fam("Pop A\t{}\t0\t0\t0\t-9"), MalformedInputError,
        r"d\.fam, line 1: the ID 'Pop A' has a blank in it, so PLINK reads 7 columns where a \.fam has 6; put _",
    ),
    (
        "fam blank in IID", "d.fam", fam("0\tplant {}\t0\t0\t0\t-9"), MalformedInputError,
        r"line 1: the ID 'plant i00' has a blank .* 7 columns where a \.fam has 6; put _ .* in the tables too",
    ),
    (
        "fam blanks in both IDs", "d.fam", fam("Pop A 1\tplant {}\t0\t0\t0\t-9"), MalformedInputError,
        "the ID 'Pop A 1' has a blank in it, so PLINK reads 9 columns",
    ),
    (
        "fam blank in a later ID", "d.fam", line(4, lambda _: ["0", "i 03", "0", "0", "0", "-9"]), MalformedInputError,
        r"line 4: 7 column\(s\), line 1 has 6; if an ID has blanks, put _ in their place",
    ),
    (
        "fam blanks, split at blanks", "d.fam", fam("Pop A {} 0 0 0 -9"), InconsistentInputError,
        r"1 repeated FID IID \(Pop A\), and 7 columns where a \.fam has 6; if IDs have blanks, put _ in their place",
    ),
    (
        "fam IID all 0", "d.fam", fam("{} 0 0 0 0 -9"), InconsistentInputError,
        r"38 of 38 samples have no row \(0, 0, 0, .* 38 are FIDs; give IIDs; check the IDs",
    ),
    ("fam commas", "d.fam", fam("0,{},0,0,0,-9"), MalformedInputError, r"1 column\(s\), .*; write tabs .* of its"),
    (
        "fam no FID", "d.fam", fam("\t{}\t0\t0\t0\t-9"), MalformedInputError,
        r"d\.fam, line 1: has no FID or no IID between its tabs; write 0 where there is no FID",
    ),
    (
        "fam quotes of R", "d.fam", fam('"0" "{}" 0 0 0 -9'), MalformedInputError,
        r'd\.fam: the IDs are in quotes \("i00", .*; take them off, in R with write.table\(quote = FALSE\)',
    ),
    ("fam all 0", "d.fam", fam("0 0 0 0 0 -9"), InconsistentInputError, r"1 repeated FID IID \(0 0\); rename them"),
    ("bim position 1001.5", "d.bim", cell(7, 3, "1001.5"), MalformedInputError, "7: position 1001.5 is no integer"),
    ("bim position 1e-05", "d.bim", cell(7, 3, "1e-05"), MalformedInputError, "7: position 1e-05 is no integer from"),
    ("bim position 1e+10", "d.bim", cell(7, 3, "1e+10"), MalformedInputError, r"7: position 1e\+10 .*2 147 483 646"),
    ("bim position 1e+99", "d.bim", cell(7, 3, "1e+99"), MalformedInputError, r"7: position 1e\+99 is no integer"),
    ("bim position 1e9999", "d.bim", cell(7, 3, "1e9999"), MalformedInputError, "7: position 1e9999 is no integer"),
    ("bim position NA", "d.bim", cell(1, 3, "NA"), MalformedInputError, "line 1: position NA .*; correct it"),
    ("bim position nan", "d.bim", cell(7, 3, "nan"), MalformedInputError, "line 7: position nan .*; correct it"),
    ("bim position inf", "d.bim", cell(7, 3, "inf"), MalformedInputError, "line 7: position inf is no integer"),
    ("bim position 1,000", "d.bim", cell(7, 3, "1,000"), MalformedInputError, "line 7: position 1,000 is no integer"),
    ("bim position 1.5 first", "d.bim", cell(1, 3, "1.5"), MalformedInputError, "line 1: position 1.5 .*; correct it"),
    ("bim position +5", "d.bim", cell(7, 3, "+5"), MalformedInputError, r"line 7: position \+5 is no integer"),
    ("bim odd and bad", "d.bim", lambda b: cell(9, 3, "x")(cell(7, 3, "7e2")(b)), MalformedInputError, "9: position x"),
    (
        "bim header of R", "d.bim", lambda b: b"V1 V2 V3 V4 V5 V6\n" + b, MalformedInputError,
        "line 1: position V4 is no integer .*; remove the header line",
    ),
    ("bim commas", "d.bim", bim("1,snp{},0,{},A,C"), MalformedInputError, r"1 column\(s\), .* in place of its commas"),
    (
        "bim columns of a pvar", "d.bim", bim("1\t{}\tsnp{}\tA\tC"), MalformedInputError,
        r"line 1: position snp1 .*; columns are CHROM ID POS A1 A2, convert a \.pvar with plink2 --pfile … --make-bed",
    ),
    (
        "bim blank in an ID", "d.bim", cell(7, 1, "snp 7"), MalformedInputError,
        r"d\.bim, line 7: 7 column\(s\), line 1 has 6; if an ID has blanks, put _",
    ),
    (
        "bim all negative", "d.bim", bim("1\tsnp{}\t0\t-{}\tA\tC"), InconsistentInputError,
        r"d\.bim: no SNP to use has a position from 0 on; correct the positions",
    ),
    (
        "bim negative but two", "d.bim", lambda b: b"".join(
            row if j < 2 else row.replace(b"\t0\t", b"\t0\t-", 1) for j, row in enumerate(b.splitlines(True))
        ),
        DegenerateProblemError, "K = 3 .* 2 SNPs to estimate from; .* lower K",
    ),
]  # fmt: skip


def in_frames(*sizes: tuple[int, int]) -> Edit:
    """Compress a .bed as one frame, whose index gives so many packed and unpacked bytes more than it has."""

    def edit(data: bytes) -> bytes:
        frame = pa.Codec("zstd").compress(data, asbytes=True)
        own = [(len(frame) + packed, len(data) + unpacked) for packed, unpacked in sizes or [(0, 0)]]
        return frame + index_text(own)

    return edit


FILE_CASES += [
    (
        "bed.zst made by zstd", "d.bed", lambda b: pa.Codec("zstd").compress(b, asbytes=True), MalformedInputError,
        r"d\.bed: has no index of its frames .*; copy it again, or decompress it with zstd -d and make it with lfmm2",
    ),
    (
        "bed.zst cut off", "d.bed", lambda b: in_frames()(b)[:-7], MalformedInputError,
        "has no index of its frames at its end: it is cut off, or was made by zstd alone; copy it again",
    ),
    (
        "bed.zst without its middle", "d.bed", lambda b: in_frames()(b)[:99] + in_frames()(b)[110:],
        MalformedInputError, "the index at its end makes .* bytes, but the file has .*; the file is damaged, copy it",
    ),
    (
        "bed.zst damaged", "d.bed", lambda b: in_frames()(b)[:20] + b"damaged" + in_frames()(b)[27:],
        MalformedInputError, r"d\.bed: frame 1 \(from byte 0 on\) is damaged, or has not the 3 003 bytes .*; copy it",
    ),
    (
        "bed.zst of fewer SNPs", "d.bed", lambda b: in_frames()(b[:-10]), InconsistentInputError,
        r"2 993 unpacked bytes, but 38 samples .* × 300 SNPs .* need 3 003; .*; or it is another fileset's",
    ),
    (
        "bed.zst of a text", "d.bed", lambda b: in_frames()(b"0 i00 0 0 0 -9\n"), MalformedInputError,
        r"d\.bed: begins with text, but a \.bed with 6c 1b 01; give one",
    ),
    (
        "bed.zst bomb in a frame", "d.bed", in_frames((0, 1 << 31)), MalformedInputError,
        "frame 1 of 1 unpacks to 2 049 MiB, and at most 64 MiB are unpacked as a whole; decompress it with zstd -d",
    ),
    (
        "bed.zst bomb behind an index", "d.bed", lambda b: in_frames((0, 3003 - (1 << 22)))(bytes(1 << 22)),
        MalformedInputError, "frame 1 .* has not the 3 003 bytes that the index gives it .*; copy it again",
    ),
]  # fmt: skip

# options, parameters, error, what the message says
OPTION_CASES: list[tuple[str, list[str], dict[str, Any], type[Exception], str]] = [
    ("mind below 0", ["--mind", "-0.1"], {"mind": -0.1}, UsageError, "mind is -0.1; a missing rate lies between"),
    ("mind in percent", ["--mind", "10"], {"mind": 10}, UsageError, "mind is 10(.0)?; a missing rate lies between"),
    ("mind NaN", ["--mind", "nan"], {"mind": float("nan")}, UsageError, "mind is nan; a missing rate lies between"),
    (
        "mind and means", ["--mind", "0.1", "--missing", "mean"], {"mind": 0.1, "missing": "mean"}, UsageError,
        "--mind leaves out samples after --missing mean has taken means with them; give one of them",
    ),
]  # fmt: skip


@pytest.mark.parametrize("way", ["command", "function"])
@pytest.mark.parametrize(
    ("name", "edit", "error", "match"), [c[1:] for c in FILE_CASES], ids=[c[0] for c in FILE_CASES]
)
@pytest.mark.filterwarnings("ignore::lfmm2.errors.InputWarning")
@pytest.mark.usefixtures("no_pass")
def test_fault_of_a_fileset(folder, capsys, name, edit, error, match, way):
    path = Path(name)
    path.write_bytes(edit(path.read_bytes()))
    check_refused(folder, capsys, way, error, match)


@pytest.mark.parametrize("way", ["command", "function"])
@pytest.mark.parametrize(
    ("options", "parameters", "error", "match"), [c[1:] for c in OPTION_CASES], ids=[c[0] for c in OPTION_CASES]
)
@pytest.mark.usefixtures("no_pass")
def test_fault_of_an_option(folder, capsys, options, parameters, error, match, way):
    check_refused(folder, capsys, way, error, match, options=options, **parameters)
