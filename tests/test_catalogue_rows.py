"""The catalogue of tables whose rows seem to belong to other samples: row numbers, other IDs, decorated IDs."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from catalogue import check_refused
from input_cases import GENOTYPES, IIDS, Edit, N, X, apply, text

import lfmm2
from lfmm2.errors import InconsistentInputError, InputWarning, MalformedInputError

# Samples that are called 1 to 38, in another order than that of the .fam.
NUMBERS = (np.random.default_rng(7).permutation(N) + 1).tolist()
ORDER = np.random.default_rng(8).permutation(N).tolist()


def fam(iids: Sequence[object], fids: Sequence[object] | None = None) -> Edit:
    fids = ["0"] * N if fids is None else fids
    return text("".join(f"{f} {i} 0 0 0 -9\n" for f, i in zip(fids, iids, strict=True)))


def table(header: str, *columns: Sequence[object], order: Sequence[int] = ORDER) -> Edit:
    """A table of the columns, each in .fam order, with its rows in another order."""
    rows = [",".join(str(column[k]) for column in columns) for k in order]
    return text("\n".join([header, *rows]) + "\n")


def in_rows(values: Sequence[object]) -> list[object]:
    """Values that stand one after the other in the rows of a table, such as row numbers, given by sample."""
    by_sample: list[object] = [None] * N
    for value, k in zip(values, ORDER, strict=True):
        by_sample[k] = value
    return by_sample


FROM_0, FROM_1 = in_rows(range(N)), in_rows(range(1, N + 1))
SHUFFLED = np.random.default_rng(9).permutation(FROM_1).tolist()
COUNT, HALVES = list(range(1, N + 1)), [k // 2 + 1 for k in range(N)]
HUNDREDS = [k * 100_000 for k in range(1, 10)] + IIDS[9:]
POPULATIONS = [f"P{k % 3}" for k in range(N)]


def decorated(make: str, iids: Sequence[object] = IIDS) -> Edit:
    return table("ID,x", [make.format(i) for i in iids], X)


# name, edits, error, what the message says
ROWS: list[tuple[str, dict[str, Edit], type[Exception], str]] = [
    (
        "row numbers of write.csv alone", {"d.fam": fam(NUMBERS), "env.csv": table('"",x', FROM_1, X)},
        InconsistentInputError,
        r"env\.csv: column 1 \(without a name\) only counts rows, though 38 of 38 samples .*; call the column that has",
    ),
    (
        "row numbers of to_csv alone", {"d.fam": fam(NUMBERS), "env.csv": table(",x", FROM_0, X)},
        InconsistentInputError, r"column 1 \(without a name\) only counts rows, though 37 of 38 samples have such IDs",
    ),
    (
        "row numbers of a sorted frame alone", {"d.fam": fam(NUMBERS), "env.csv": table(",x", SHUFFLED, X)},
        InconsistentInputError, r"column 1 \(without a name\) only counts rows",
    ),
    (
        "row numbers of a frame that lost rows",
        {"d.fam": fam(NUMBERS), "env.csv": table(",x", [2 * k - 2 for k in NUMBERS], X)},
        InconsistentInputError, r"column 1 \(without a name\) only counts rows, though 19 of 38",
    ),
    (
        "OBJECTID alone", {"d.fam": fam(NUMBERS), "env.csv": table("OBJECTID,x", FROM_1, X)}, InconsistentInputError,
        "column 'OBJECTID' only counts rows, though 38 of 38 samples have such IDs; call the column",
    ),
    (
        "X of read.csv alone", {"d.fam": fam(NUMBERS), "env.csv": table("X,x", FROM_1, X)}, InconsistentInputError,
        "column 'X' only counts rows, though 38 of 38",
    ),
    (
        "OBJECTID and IDs with a letter",
        {"d.fam": fam(NUMBERS), "env.csv": table("OBJECTID,name,x", FROM_1, [f"T{k}" for k in NUMBERS], X)},
        InconsistentInputError, r"in column 'name' 38 would match but for 'T' at the beginning \(T\d+ and \d+\); call",
    ),
    (
        "two columns of IDs", {"d.fam": fam(NUMBERS), "env.csv": table("a,b,x", NUMBERS, SHUFFLED, X)},
        InconsistentInputError,
        r"several columns hold IDs .*, in different rows: column 'a' \(38 of 38\), column 'b' .*; call the one",
    ),
    (
        "two columns called as IDs", {"d.fam": fam(NUMBERS), "env.csv": table("ID,sample,x", SHUFFLED, NUMBERS, X)},
        InconsistentInputError, r"several columns .*: column 'ID' \(38 of 38\), column 'sample' \(38 of 38\); call",
    ),
    (
        "ID that counts beside other IDs", {"d.fam": fam(NUMBERS), "env.csv": table("ID,nr,x", FROM_1, NUMBERS, X)},
        InconsistentInputError, r"several columns .*: column 'ID' \(38 of 38\), column 'nr' \(38 of 38\); call the one",
    ),
    (
        "a row per population", {"env.csv": text("pop,x\n1,3.5\n2,4.5\n3,1.5\n"), "d.fam": fam(NUMBERS)},
        InconsistentInputError,
        r"35 of 38 samples have no row .*; column 'pop' may only count rows; check that it has the sample IDs",
    ),
    (
        "IDs of another table in IID",
        {"env.csv": table("IID,sample,x", range(100, 100 + N), IIDS, X)}, InconsistentInputError,
        "38 of 38 samples have no row .*; column 'sample' has the IDs of 38 samples; check the IDs in column 'IID'",
    ),
    (
        "families for individuals", {"d.fam": fam(IIDS, POPULATIONS), "env.csv": table("FID,x", POPULATIONS, X)},
        MalformedInputError, "has a column FID but none IID; add it, or rename FID",
    ),
    (
        "no IDs", {"env.csv": table("x,y", X, X**2)}, InconsistentInputError,
        "38 of 38 samples have no row .*; check the IDs in column 'x', or call the column that has them IID",
    ),
    (
        "a sample twice", {"env.csv": lambda b: table("y,sample,x", X**2, IIDS, X)(b) + b"1,i07,2\n"},
        InconsistentInputError, r"repeated IDs \(i07\); keep one row each",
    ),
    (
        "row names of write.table",
        {"env.csv": text("ID x\n" + "".join(f'"{k}" "{i}" 1\n' for k, i in enumerate(IIDS)))}, MalformedInputError,
        r"line 2: 3 cell\(s\), but the header has 2; in R use write.csv\(…, row.names = FALSE\)",
    ),
    (
        "IID_IID", {"env.csv": decorated("{0}_{0}")}, InconsistentInputError,
        r"38 would match but for the ID written twice with '_' \(i00_i00 and i00\); check the IDs in column 'ID'",
    ),
    (
        "FID_IID",
        {"d.fam": fam(IIDS, POPULATIONS), "env.csv": table("ID,x", [f"P{k % 3}_{i}" for k, i in enumerate(IIDS)], X)},
        InconsistentInputError, r"38 would match but for the FID put before the IID with '_' \(P0_i00 and i00\); check",
    ),
    (
        "FID_IID in the .fam", {"d.fam": fam([f"P{k % 3}_{i}" for k, i in enumerate(IIDS)])}, InconsistentInputError,
        r"38 would match but for the part before the first '_' \(i00 and P0_i00\); check",
    ),
    (
        "alignments", {"env.csv": decorated("/data/{}.sorted.bam")}, InconsistentInputError,
        r"38 would match but for a file name around the ID \(/data/i00\.sorted\.bam and i00\); check",
    ),
    (
        "calls", {"env.csv": decorated("{}.g.vcf.gz")}, InconsistentInputError,
        r"38 would match but for a file name around the ID \(i00\.g\.vcf\.gz and i00\); check",
    ),
    (
        "reads", {"env.csv": decorated("{}_S1_L001_R1_001.fastq.gz")}, InconsistentInputError,
        "38 would match but for a file name around the ID",
    ),
    (
        "X of R", {"d.fam": fam(NUMBERS), "env.csv": decorated("X{}", NUMBERS)}, InconsistentInputError,
        r"38 would match but for the X that R puts before a number \(X\d+ and \d+\)",
    ),
    (
        "decimals of a spreadsheet", {"d.fam": fam(NUMBERS), "env.csv": decorated("{}.0", NUMBERS)},
        InconsistentInputError, r"38 would match but for the form of numbers \(\d+\.0 and \d+\)",
    ),
    (
        "exponents of R",
        {"d.fam": fam(HUNDREDS), "env.csv": table("ID,x", [f"{k}e+05" for k in range(1, 10)] + IIDS[9:], X)},
        InconsistentInputError, r"9 of 38 .*; 9 would match but for the form of numbers \(1e\+05 and 100000\)",
    ),
    (
        "other marks", {"env.csv": decorated("{0[0]}-{0[1]}{0[2]}")}, InconsistentInputError,
        r"38 would match but for the marks between parts of the ID \(i-00 and i00\)",
    ),
    (
        "a prefix and a suffix", {"env.csv": decorated("Qlob-{}/2019")}, InconsistentInputError,
        "38 would match but for 'Qlob-' at the beginning and '/2019' at the end",
    ),
    (
        "quotes within quotes", {"env.csv": decorated("'{}'")}, InconsistentInputError,
        r"38 would match but for quotes \('i00' and i00\)",
    ),
    (
        "characters that cannot be seen", {"env.csv": decorated("{0[0]}\u200b{0[1]}{0[2]}")}, InconsistentInputError,
        "38 would match but for blanks or characters that cannot be seen",
    ),
    (
        "two changes at a time",
        {"d.fam": fam([f"s-{k}" for k in COUNT]), "env.csv": table("ID,x", [f"S_{k}" for k in COUNT], X)},
        InconsistentInputError, r"38 would match but for upper and lower case, and the marks .* \(S_1 and s-1\)",
    ),
]  # fmt: skip


@pytest.mark.parametrize("way", ["command", "function"])
@pytest.mark.parametrize(("edits", "error", "match"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
@pytest.mark.filterwarnings("ignore::lfmm2.errors.InputWarning")
@pytest.mark.usefixtures("no_pass")
def test_rows_of_other_samples(folder, capsys, edits, error, match, way):
    apply(edits)
    message = check_refused(folder, capsys, way, error, match)
    assert "use --intersect" not in message or "form of numbers" in message


# What looks alike and is sound: name, edits, what is said (nothing if empty), and the variables beside x
SOUND: list[tuple[str, dict[str, Edit], str, int]] = [
    ("IDs that are numbers", {"d.fam": fam(NUMBERS), "env.csv": table("ID,x", NUMBERS, X)}, "", 0),
    ("IDs that count rows", {"d.fam": fam(COUNT), "env.csv": table("ID,x", COUNT, X, order=range(N))}, "", 0),
    ("IDs without a name", {"d.fam": fam(range(101, 139)), "env.csv": table('"",x', range(101, 139), X)}, "", 0),
    ("row names of R that are IDs", {"env.csv": table('"",x', IIDS, X)}, "", 0),
    (
        "row numbers of R", {"d.fam": fam(NUMBERS), "env.csv": table('"",ID,x', FROM_1, NUMBERS, X)},
        r"IDs are in column 'ID' \(38 of 38 samples\), and column 1 \(without a name\) only counts rows; call", 0,
    ),
    (
        "row numbers of pandas", {"d.fam": fam(NUMBERS), "env.csv": table(",tree,x", FROM_0, NUMBERS, X)},
        r"IDs are in column 'tree' \(38 of 38 samples\), and column 1 \(without a name\) only counts rows; call", 0,
    ),
    (
        "the key of a GIS", {"d.fam": fam(NUMBERS), "env.csv": table("OBJECTID,sample,x", FROM_1, NUMBERS, X)},
        "OBJECTID taken for other IDs or row numbers, not for variables; rename a column that is a variable", 0,
    ),
    ("the FID of a GIS", {"d.fam": fam(NUMBERS), "env.csv": table("FID,ID,x", FROM_0, NUMBERS, X)}, "", 0),
    (
        "IDs behind coordinates", {"env.csv": table("lon,sample,x", X**2, IIDS, X)},
        r"the sample IDs are in column 'sample' \(38 of 38 samples\); call the right column IID", 1,
    ),
    ("IID last", {"env.csv": table("OBJECTID,x,IID", FROM_1, X, IIDS)}, "OBJECTID taken for other IDs", 0),
    ("mothers", {"d.fam": fam(NUMBERS), "env.csv": table("ID,mother,x", NUMBERS, HALVES, X)}, "", 1),
    (
        "a transect", {"d.fam": fam(COUNT), "env.csv": table("ID,metre,x", COUNT, COUNT, X, order=range(N))},
        "numbers the", 1,
    ),
    ("whole degrees", {"d.fam": fam(NUMBERS), "env.csv": table("ID,t,x", NUMBERS, [k % 12 for k in COUNT], X)}, "", 1),
    ("empty columns of a spreadsheet", {"env.csv": lambda b: b.replace(b"\n", b",,\n")}, "", 0),
    ("rows of others", {"env.csv": lambda b: table("ID,x", IIDS, X)(b) + b"j1,3\nj2,4\n"}, "", 0),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
@pytest.mark.parametrize(("edits", "said", "n_others"), [row[1:] for row in SOUND], ids=[row[0] for row in SOUND])
@pytest.mark.usefixtures("folder")
def test_rows_that_are_sound(edits, said, n_others):
    apply(edits)
    expected = lfmm2.run(None, GENOTYPES.T, X, 3)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", InputWarning)
        found = lfmm2.run(None, "d", "env.csv", 3, variables="x")
        everything = lfmm2.run(None, "d", "env.csv", 3)
    np.testing.assert_allclose(found.t, expected.t, rtol=1e-7, atol=1e-9)
    assert everything.t.shape[1] == 1 + n_others
    texts = [str(warning.message) for warning in told if warning.category is InputWarning]
    assert bool(texts) == bool(said)
    assert any(re.search(said, line) for line in texts) or not said


@pytest.mark.parametrize(
    ("lines", "hint"),
    [
        (
            [f"{k + 1} {i}" for k, i in enumerate(IIDS)],
            "38 are IIDs in the second column alone; list IIDs only, or FID",
        ),
        ([f"{i} 0" for i in IIDS], "38 are IIDs in the first column alone; list IIDs only"),
        ([f"{k},{i}" for k, i in enumerate(IIDS)], "columns of a list are separated by blanks or tabs, not by commas"),
        ([f'"{i}"' for i in IIDS], "38 would match but for quotes"),
        ([f"0_{i}" for i in IIDS], "38 would match but for the FID put before the IID with '_'"),
        ([f"{i}.bam" for i in IIDS], "38 would match but for a file name around the ID"),
    ],
)
@pytest.mark.filterwarnings("ignore::lfmm2.errors.InputWarning")
@pytest.mark.parametrize("way", ["command", "function"])
@pytest.mark.usefixtures("no_pass")
def test_lists_of_other_ids(folder, capsys, way, lines, hint):
    Path("keep.txt").write_text("\n".join(lines) + "\n")
    match = f"--keep and --remove leave none of 38 samples; keep.txt: 38 IDs are not in the .fam .*; {hint}.*; check"
    check_refused(folder, capsys, way, InconsistentInputError, match, options=["--keep", "keep.txt"], keep="keep.txt")
