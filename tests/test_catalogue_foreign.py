"""The catalogue of bad input, PLINK 2 filesets and BGEN: the command ends with the exit code and one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from made_bgen import bgen_of, data_of, snp
from made_genotypes import simulate
from made_pgen import write_pgen

import lfmm2
from lfmm2.cli.program import main
from lfmm2.errors import InconsistentInputError, LfmmError, MalformedInputError, ReadError, UsageError

N = 30
GOOD = data_of([2] * N, 8, [255, 0, 0, 255, 0, 51] * (N // 3))
Edit = Callable[[bytes], bytes]
# File, how it is changed, options, error, message.
CASES: dict[str, tuple[str, Edit, list[str], type[LfmmError], str]] = {
    "pgen cut off": (
        "x.pgen", lambda b: b[:-5], ["--pfile", "x"], MalformedInputError,
        r"x\.pgen: .* bytes, but 90 SNPs of 30 samples, as its header says, need .*; the file looks truncated, copy it",
    ),
    "pgen is a VCF": (
        "x.pgen", lambda b: b"##fileformat=VCFv4.2\n", ["--pfile", "x"], MalformedInputError, r"x\.pgen: is a VCF;",
    ),
    "pgen of other samples": (
        "x.psam", lambda b: b[: b.rindex(b"\n", 0, -1) + 1], ["--pfile", "x"], InconsistentInputError,
        r"x\.pgen: 30 samples, but 29 in x\.psam; the files do not belong together, find its own",
    ),
    "pvar without REF": (
        "x.pvar", lambda b: b.replace(b"REF", b"A0"), ["--pfile", "x"], MalformedInputError,
        r"x\.pvar: the last line of the header is '#CHROM POS ID A0 ALT', but a \.pvar has columns #CHROM POS ID REF",
    ),
    "pgen records damaged": (
        "x.pgen", lambda b: b[: int.from_bytes(b[12:20], "little")] + b"\xff" * 9999, ["--pfile", "x"],
        MalformedInputError, r"x\.pgen: .*; the file looks damaged, copy it again",
    ),
    "hard calls of a bgen": (
        "x.bgen", lambda b: b, ["--bgen", "x.bgen", "--hard-calls"], UsageError,
        r"--hard-calls tells how to read a \.pgen, and none is given; leave it out, or give one",
    ),
    "bgen cut off": (
        "x.bgen", lambda b: b[:-1], ["--bgen", "x.bgen"], MalformedInputError, r"x\.bgen, SNP 60 of 60: ends after the",
    ),
    "bgen is a gzip": (
        "x.bgen", lambda b: b"\x1f\x8b" + bytes(99), ["--bgen", "x.bgen"], MalformedInputError,
        r"x\.bgen: is no BGEN, or its header is damaged; check the file",
    ),
    "bgen probabilities above 1": (
        "x.bgen", lambda b: b.replace(GOOD, GOOD[:-2] + b"\xff\xff"), ["--bgen", "x.bgen"], MalformedInputError,
        r"x\.bgen, SNP 1 \(sample 30\): has probabilities that add up to more than 1; write the file again",
    ),
    "sample file absent": (
        "x.bgen", lambda b: b, ["--bgen", "x.bgen", "--sample", "none"], ReadError, "none: cannot be opened",
    ),
    "maf of a bgen": (
        "x.bgen", lambda b: b, ["--bgen", "x.bgen", "--maf", "0.1"], UsageError,
        r"maf applies to hard calls, but x\.bgen has probabilities, read as dosages; leave it out",
    ),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    truth = simulate(N)
    write_pgen(truth, Path("x"))
    Path("x.bgen").write_bytes(bgen_of([snp(GOOD, j) for j in range(60)], truth.iid))
    rows = (f"{iid},{k * k % 17}\n" for k, iid in enumerate(truth.iid))
    Path("env.csv").write_text("IID,rain\n" + "".join(rows))
    return tmp_path


@pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
@pytest.mark.parametrize("name", CASES)
def test_fault_of_a_foreign_file(folder: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    file, edit, options, error, message = CASES[name]
    path = folder / file
    path.write_bytes(edit(path.read_bytes()))
    before = sorted(folder.iterdir())
    with pytest.raises(SystemExit) as ended:
        main(["run", *options, "--env", "env.csv", "-K", "2", "--out", "result"])
    err = capsys.readouterr().err
    (said,) = re.findall(r"^Error: (.*)", err, re.MULTILINE | re.DOTALL)
    assert ended.value.code == error.exit_code, err
    assert re.search(message, said), said
    assert "Traceback" not in err
    left = [path for path in folder.iterdir() if path not in before and path.name != "result.state"]
    assert left == []


@pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
@pytest.mark.parametrize("genotypes", ["x.pgen", "x.bgen"])
def test_untouched_files_are_sound(folder: Path, genotypes: str) -> None:
    result = lfmm2.run(None, folder / genotypes, folder / "env.csv", K=1)
    assert len(result.table()) == (90 if genotypes == "x.pgen" else 60)
