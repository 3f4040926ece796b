"""Inputs that are unusual but sound are read right; those that are legal but doubtful are said once."""

from __future__ import annotations

import re
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pytest
from input_cases import GENOTYPES, IIDS, NUMBERS, X, apply, cell, column, columns, more_samples

import lfmm2
from lfmm2.cli.program import main
from lfmm2.errors import InconsistentInputError, InputWarning, ReadError


def crlf_bom(data: bytes) -> bytes:
    return b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n")


# file -> edit of inputs that are unusual but sound
SOUND = {
    "nothing": {},
    "Windows": {"d.bim": crlf_bom, "d.fam": crlf_bom, "env.csv": crlf_bom},
    "trailing blank lines": dict.fromkeys(["d.bim", "d.fam", "env.csv"], lambda b: b + b"\n \n\n"),
    "no last newline": dict.fromkeys(["d.bim", "d.fam", "env.csv"], lambda b: b[:-1]),
    "spaces": {"d.bim": lambda b: b.replace(b"\t", b"  "), "d.fam": lambda b: b.replace(b"\t", b"  ")},
    "sex and phenotype": {"d.fam": lambda b: b.replace(b"\n", b" NA\n").replace(b"-9", b"NA")},
    "no IDs of SNPs": {"d.bim": lambda b: re.sub(rb"snp\d+", b".", b)},
    "SNP IDs that differ by case": {"d.bim": lambda b: b.replace(b"snp1\t", b"SNP2\t")},
    "quoted table": {"env.csv": lambda b: re.sub(rb"(\w+),(\S+)", rb'"\1","\2"', b)},
    "semicolons": {"env.csv": lambda b: b.replace(b",", b";")},
    "semicolons and a comma in a name": {"env.csv": lambda b: b.replace(b",", b";").replace(b"x\n", b'"y, m"\n', 1)},
    "a comma in a name between semicolons": {
        "env.csv": lambda b: b.replace(b",", b";").replace(b"x\n", b"mean, x\n", 1)
    },
    "semicolons in a name between commas": {"env.csv": lambda b: b.replace(b"x\n", b"a;b;c\n", 1)},
    "tabs": {"env.csv": lambda b: b.replace(b",", b"\t")},
    "FID IID": {"env.csv": lambda b: b"FID IID x\n" + re.sub(rb"(i\d\d),", rb"0 \1 ", b.split(b"\n", 1)[1])},
    "Unicode": dict.fromkeys(["d.fam", "env.csv"], lambda b: re.sub(rb"i(\d\d)", "Ünïcødé日本\\1".encode(), b)),
    "IDs that differ by case": dict.fromkeys(["d.fam", "env.csv"], lambda b: b.replace(b"i01", b"I00")),
    "IDs that differ by zeros": dict.fromkeys(
        ["d.fam", "env.csv"], lambda b: b.replace(b"i01", b"7").replace(b"i02", b"007")
    ),
    "IDs that differ by normal form": dict.fromkeys(
        ["d.fam", "env.csv"],
        lambda b: b.replace(b"i01", "é".encode()).replace(b"i02", unicodedata.normalize("NFD", "é").encode()),
    ),
    "rows of others": {"env.csv": lambda b: b + b"other,NA\n"},
    "rows in another order": {"env.csv": lambda b: b"IID,x\n" + b"\n".join(b.split(b"\n")[:0:-1]).lstrip() + b"\n"},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("edits", SOUND.values(), ids=SOUND.keys())
def test_unusual_inputs_are_read_right(edits):
    apply(edits)
    expected = lfmm2.run(None, GENOTYPES.T, X, 3)
    found = lfmm2.run(None, "d", "env.csv", 3)
    np.testing.assert_allclose(found.t, expected.t, rtol=1e-7, atol=1e-9)


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
@pytest.mark.parametrize("scale", [1e-150, 1e-12, 1e12, 1e150])
@pytest.mark.usefixtures("folder")
def test_units_do_not_matter(scale):
    expected = lfmm2.run(None, "d", "env.csv", 3)
    Path("env.csv").write_bytes(column(lambda k: repr(NUMBERS[k] * scale))(b""))
    found = lfmm2.run(None, "d", "env.csv", 3)
    np.testing.assert_allclose(found.t, expected.t, rtol=1e-7, atol=1e-9)


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
@pytest.mark.parametrize("scales", [(1e-150, 1e150), (1e150, 1e150), (1e-150, 1e-150)])
@pytest.mark.usefixtures("folder")
def test_far_units_beside_each_other_have_an_answer(scales):
    rows = columns("IID,a,b", lambda k: f"{NUMBERS[k] * scales[0]!r},{NUMBERS[k] ** 2 * scales[1]!r}")
    Path("env.csv").write_bytes(rows(b""))
    result = lfmm2.run(None, "d", "env.csv", 3)
    assert np.isfinite(result.t).all()
    assert np.isfinite(result.gif).all()


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
@pytest.mark.usefixtures("folder")
def test_only_the_last_suffix_of_a_prefix_is_replaced():
    for kind in ("bed", "bim", "fam"):
        Path(f"d.{kind}").rename(f"data.chr1.{kind}")
    expected = lfmm2.run(None, "data.chr1", "env.csv", 3)
    assert np.array_equal(lfmm2.run(None, "data.chr1.bed", "env.csv", 3).t, expected.t)
    Path("data.chr1.bim").unlink()
    with pytest.raises(ReadError, match=r"data\.chr1\.bim: cannot be opened"):
        lfmm2.run(None, "data.chr1.bed", "env.csv", 3)


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
@pytest.mark.usefixtures("folder")
def test_iids_of_several_families_are_matched_by_both_ids():
    fam = [row.split() for row in Path("d.fam").read_text().splitlines()]
    for k, row in enumerate(fam):
        row[:2] = f"f{k}", "i00" if k == 1 else row[1]
    Path("d.fam").write_text("".join(" ".join(row) + "\n" for row in fam))
    with pytest.raises(InconsistentInputError, match="IID i00 stands for several samples; add FID"):
        lfmm2.run(None, "d", "env.csv", 3)
    Path("env.csv").write_text(
        "FID IID x\n" + "".join(f"{row[0]} {row[1]} {v}\n" for row, v in zip(fam, X, strict=True))
    )
    expected = lfmm2.run(None, GENOTYPES.T, X, 3)
    np.testing.assert_allclose(lfmm2.run(None, "d", "env.csv", 3).t, expected.t, rtol=1e-7, atol=1e-9)


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
@pytest.mark.parametrize(
    ("name", "edit", "options", "message"),
    [
        ("d.bim", cell(9, 0, "2"), {}, r"d\.bim: is not sorted \(line 10: chromosome 1 comes again after 2\)"),
        ("d.bim", cell(9, 3, "2147483646"), {}, r"d\.bim: is not sorted \(line 10: position \d+ after 2147483646"),
        ("d.bim", cell(9, 1, "snp0"), {}, r"d\.bim: 1 IDs stand for several SNPs \(snp0\)"),
        (
            "d.fam",
            more_samples(2),
            {"intersect": True},
            r"d\.bed: the last of 40 samples has two copies of A1 in all 300",
        ),
        (
            "env.csv",
            column(lambda k: "-9" if k < 4 else f"{NUMBERS[k]}"),
            {},
            "column 'x': 4 values are exactly -9",
        ),
        ("env.csv", cell(6, 1, "NA"), {"missing": "drop"}, r"1 of 38 samples .* are left out \(x 1\)"),
        (
            "env.csv",
            cell(6, 1, "NA"),
            {"missing": "mean"},
            r"1 of 38 samples .* are given the mean of the others \(x 1\)",
        ),
    ],
)
@pytest.mark.usefixtures("folder")
def test_doubtful_inputs_are_said_once(capsys, name, edit, options, message):
    apply({name: edit})
    with pytest.warns(InputWarning, match=message) as seen:
        lfmm2.run(None, "d", "env.csv", 3, **options)
    assert len([w for w in seen if w.category is InputWarning]) == 1
    arguments = [part for k, v in options.items() for part in (f"--{k}", *([] if v is True else [v]))]
    with warnings.catch_warnings(), pytest.raises(SystemExit) as ended:
        main(["run", "--bed", "d", "--env", "env.csv", "-K", "3", "--out", "result", *arguments])
    assert ended.value.code == 0
    assert len(re.findall(f"^Warning: .*{message}", capsys.readouterr().err, re.MULTILINE)) == 1


@pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
@pytest.mark.usefixtures("folder")
def test_missing_values_are_dropped_or_filled_as_if_by_hand():
    x = X.copy()
    x[[4, 11]] = np.nan
    Path("env.csv").write_bytes(column(lambda k: f"{x[k]}")(b""))
    complete = ~np.isnan(x)
    dropped = lfmm2.run(None, "d", "env.csv", 3, missing="drop")
    assert dropped.sample_ids == tuple(np.array(IIDS)[complete])
    np.testing.assert_allclose(
        dropped.t, lfmm2.run(None, GENOTYPES.T[complete], x[complete], 3).t, rtol=1e-7, atol=1e-9
    )
    filled = np.where(complete, x, x[complete].mean())
    mean = lfmm2.run(None, "d", "env.csv", 3, missing="mean")
    np.testing.assert_allclose(mean.t, lfmm2.run(None, GENOTYPES.T, filled, 3).t, rtol=1e-7, atol=1e-9)
    factors = lfmm2.estimate_factors("d", "env.csv", 3, missing="mean")
    assert np.array_equal(lfmm2.test_associations("d", "env.csv", factors, missing="mean").t, mean.t)
