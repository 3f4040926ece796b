"""Bad input through the command line and the functions: the same error, before the first pass, and no file left."""

import contextlib
import os
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from catalogue import MOST_SECONDS

import lfmm2
import lfmm2.pipeline.run  # imported before the clock runs
from lfmm2.cli.program import main
from lfmm2.genotypes.bed_matrix import BedMatrix
from lfmm2.genotypes.plink_writer import write_plink

N, P = 40, 300
IIDS = [f"i{k:02d}" for k in range(N)]
SNPS = [f"snp{k}" for k in range(P)]

# option -> parameter of `run`
PARAMETERS = {
    "--bed": "full_bed", "--env": "X", "-K": "K", "--est-bed": "est_bed", "--power-iter": "n_power_iter",
    "--threads": "n_threads", "--lambda": "lambda_",
}  # fmt: skip


@pytest.fixture(scope="module")
def genotypes():
    rng = np.random.default_rng(1)
    return rng.binomial(2, rng.uniform(0.2, 0.8, (P, 1)), (P, N)).astype(float)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory, genotypes):
    """Good and bad inputs, made once."""
    made = tmp_path_factory.mktemp("inputs")
    with contextlib.chdir(made):
        write_inputs(genotypes)
    return made


@pytest.fixture
def folder(tmp_path, inputs, monkeypatch):
    """A folder of good and bad inputs, which is the current one."""
    shutil.copytree(inputs, tmp_path, symlinks=True, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_inputs(genotypes):
    write_plink(Path("good"), genotypes, iid=IIDS, snp_ids=SNPS)
    write_plink(Path("fewer"), genotypes[:, :-2], iid=IIDS[:-2])
    write_plink(Path("other"), genotypes, iid=[f"x{k}" for k in range(N)])
    write_plink(Path("upper"), genotypes, iid=[name.upper() for name in IIDS])
    write_plink(Path("tiny"), genotypes[:2], iid=IIDS)
    write_plink(Path("twins"), genotypes, iid=["same", "same", *IIDS[2:]], fid=[f"f{k}" for k in range(N)])
    x = np.random.default_rng(2).standard_normal(N)
    table("env.csv", "IID,x", [f"{i},{v}" for i, v in zip(IIDS, x, strict=True)])
    table("plink.txt", "FID IID x", [f"0 {i} {v}" for i, v in zip(IIDS, x, strict=True)])
    table("twice.csv", "IID,x", [f"{i},{v}" for i, v in zip([*IIDS, "i00"], [*x, 1.0], strict=True)])
    table("part.csv", "IID,x", [f"{i},{v}" for i, v in zip(IIDS[3:], x, strict=False)])
    table("gap.csv", "IID,x", [f"{i},{'NA' if i == 'i05' else v}" for i, v in zip(IIDS, x, strict=True)])
    table("collinear.csv", "IID,a,b,c", [f"{i},{v},{w},{v + w}" for i, v, w in zip(IIDS, x, x**2, strict=True)])
    table("double.csv", "IID,a,b", [f"{i},{v},{v}" for i, v in zip(IIDS, x, strict=True)])
    table("constant.csv", "IID,x", [f"{i},1.5" for i in IIDS])
    table("noheader.csv", f"i00,{x[0]}", [f"{i},{v}" for i, v in zip(IIDS[1:], x[1:], strict=True)])
    table("words.csv", "IID,x", [f"{i},warm" for i in IIDS])
    table("log.csv", "IID,log", [f"{i},{v}" for i, v in zip(IIDS, x, strict=True)])
    table("long.csv", f"IID,{'v' * 245}", [f"{i},{v}" for i, v in zip(IIDS, x, strict=True)])
    table("empty.csv", "", [])
    table("ids", "snp1", ["snp2", "snp3"])
    table("unknown", "zz1", ["zz2"])
    table("everyone", "i00", IIDS[1:])
    table("shouted", "I00", [name.upper() for name in IIDS[1:]])
    for name, change in (
        ("short", lambda raw: raw[:-7]), ("long", lambda raw: raw + b"1234567"), ("text", lambda _: b"hello"),
        ("sample_major", lambda raw: raw[:2] + b"\0" + raw[3:]), ("nobim", bytes), ("nofam", bytes), ("blank", bytes),
    ):  # fmt: skip
        Path(f"{name}.bed").write_bytes(change(Path("good.bed").read_bytes()))
        for kind in ("bim", "fam"):
            if name != f"no{kind}":
                Path(f"{name}.{kind}").write_bytes(Path(f"good.{kind}").read_bytes())
    Path("blank.fam").write_text("")
    Path("file").touch()
    Path("r.x.tsv").write_bytes(Path("env.csv").read_bytes().replace(b",", b"\t"))
    Path("r.lfmm2.log").symlink_to("everyone")


def table(path, header, rows):
    Path(path).write_text("\n".join([header, *rows]) + "\n")


CASES = [
    ({"--bed": "absent"}, lfmm2.ReadError, "absent: cannot be opened"),
    ({"--bed": "nobim"}, lfmm2.ReadError, "nobim.bim"),
    ({"--bed": "nofam"}, lfmm2.ReadError, "nofam.fam"),
    ({"--bed": "blank"}, lfmm2.MalformedInputError, "blank.fam: is empty"),
    ({"--bed": "short"}, lfmm2.MalformedInputError, "truncated"),
    ({"--bed": "long"}, lfmm2.MalformedInputError, "too long"),
    ({"--bed": "text"}, lfmm2.MalformedInputError, "begins with text"),
    ({"--bed": "sample_major"}, lfmm2.MalformedInputError, "plink2 --make-bed"),
    ({"--bed": "."}, lfmm2.ReadError, "directory"),
    ({"--env": "absent.csv"}, lfmm2.ReadError, "absent.csv"),
    ({"--env": "empty.csv"}, lfmm2.MalformedInputError, "empty"),
    ({"--env": "words.csv"}, lfmm2.MalformedInputError, r"column 'x': has words \(warm\), not numbers; name it with"),
    ({"--env": "noheader.csv"}, lfmm2.MalformedInputError, "is data, not a header"),
    ({"--env": "twice.csv"}, lfmm2.InconsistentInputError, "repeated IDs .i00."),
    ({"--env": "part.csv"}, lfmm2.InconsistentInputError, "3 of 40 samples have no row .i00, i01, i02."),
    ({"--env": "gap.csv"}, lfmm2.InconsistentInputError, "1 of 40 samples have missing variables: .*i05"),
    ({"--bed": "twins", "--env": "env.csv"}, lfmm2.InconsistentInputError, "2 of 40 samples have no row"),
    ({"--env": "constant.csv"}, lfmm2.DegenerateProblemError, "x: constant"),
    ({"--env": "double.csv"}, lfmm2.DegenerateProblemError, "a and b have the same values"),
    ({"--env": "collinear.csv"}, lfmm2.DegenerateProblemError, "is a linear function of"),
    ({"--env": "log.csv"}, lfmm2.UsageError, "rename the variable"),
    ({"--env": "long.csv"}, lfmm2.WriteError, "name"),
    ({"--covar": "absent.csv"}, lfmm2.ReadError, "absent.csv"),
    ({"--covar": "env.csv"}, lfmm2.UsageError, "both a variable and a nuisance variable"),
    ({"--covar": "collinear.csv", "--env": "double.csv"}, lfmm2.UsageError, "a, b: both a variable"),
    ({"--est-bed": "absent"}, lfmm2.ReadError, "absent"),
    ({"--est-bed": "fewer"}, lfmm2.InconsistentInputError, "2 of 40 samples in use are not in it .i38, i39."),
    ({"--est-bed": "other"}, lfmm2.InconsistentInputError, "40 of 40 samples in use"),
    ({"--est-bed": "tiny"}, lfmm2.DegenerateProblemError, "2 SNPs to estimate from"),
    ({"--est-bed": "short"}, lfmm2.MalformedInputError, "truncated"),
    ({"--est-rate": 0}, lfmm2.UsageError, "est_rate is 0"),
    ({"--est-rate": 1.5}, lfmm2.UsageError, "est_rate is 1.5"),
    ({"--est-rate": "nan"}, lfmm2.UsageError, "est_rate is nan"),
    ({"--est-rate": 0.01, "-K": 8}, lfmm2.DegenerateProblemError, "3 SNPs to estimate from"),
    ({"--est-extract": "absent"}, lfmm2.ReadError, "absent"),
    ({"--est-extract": "unknown"}, lfmm2.InconsistentInputError, "none of 2 IDs"),
    ({"--est-extract": "ids", "--exclude": "ids"}, lfmm2.InconsistentInputError, "names none of the SNPs"),
    ({"--est-extract": "ids", "--est-rate": 0.5}, lfmm2.UsageError, "give one of them"),
    ({"--extract": "unknown"}, lfmm2.InconsistentInputError, "none of 2 IDs"),
    ({"--extract": "ids", "--exclude": "ids"}, lfmm2.InconsistentInputError, "leave no SNP"),
    ({"--extract": "absent"}, lfmm2.ReadError, "absent"),
    ({"--keep": "absent"}, lfmm2.ReadError, "absent"),
    ({"--remove": "everyone"}, lfmm2.InconsistentInputError, "leave none of 40 samples"),
    ({"--maf": 0.6}, lfmm2.UsageError, "maf is 0.6"),
    ({"--maf": "nan"}, lfmm2.UsageError, "maf is nan"),
    ({"--geno": -1}, lfmm2.UsageError, "geno is -1"),
    ({"--keep": "shouted"}, lfmm2.InconsistentInputError, "40 IDs are not in the .fam .*; 40 would match but for"),
    ({"--missing": "mean", "--intersect": None}, lfmm2.UsageError, "give one of them"),
    ({"--env": "gap.csv", "--missing": "error"}, lfmm2.InconsistentInputError, "1 of 40 samples have missing"),
    ({"--env": "part.csv", "--missing": "mean"}, lfmm2.InconsistentInputError, "3 of 40 samples have no row"),
    ({"--est-bed": "upper"}, lfmm2.InconsistentInputError, "40 of 40 .*40 would match but for upper and lower case"),
    ({"-K": 0}, lfmm2.UsageError, "K is 0"),
    ({"-K": -3}, lfmm2.UsageError, "K is -3"),
    ({"-K": 38}, lfmm2.DegenerateProblemError, "at most 37 factors"),
    ({"-K": 40}, lfmm2.DegenerateProblemError, "lower K"),
    ({"-K": 10**12}, lfmm2.DegenerateProblemError, "lower K"),
    ({"--lambda": 0}, lfmm2.UsageError, "lambda is 0"),
    ({"--lambda": "inf"}, lfmm2.UsageError, "lambda is inf"),
    ({"--tol": 0}, lfmm2.UsageError, "tol is 0"),
    ({"--power-iter": -1}, lfmm2.UsageError, "n_power_iter is -1"),
    ({"--oversampling": -1}, lfmm2.UsageError, "oversampling is -1"),
    ({"--seed": -1}, lfmm2.UsageError, "seed is -1"),
    ({"--threads": 0}, lfmm2.UsageError, "n_threads is 0"),
    ({"--threads": -2}, lfmm2.UsageError, "n_threads is -2"),
    ({"--memory": "lots"}, lfmm2.UsageError, "memory is 'lots"),
    ({"--memory": "-5"}, lfmm2.UsageError, "memory is"),
    ({"--memory": "0GB"}, lfmm2.UsageError, "memory is"),
    ({"--memory": "2MB"}, lfmm2.InsufficientMemoryError, "memory budget of 2 MiB"),
    ({"--out": "absent/r"}, lfmm2.WriteError, "there is no folder absent"),
    ({"--out": "file/r"}, lfmm2.WriteError, "file"),
    ({"--out": "results/"}, lfmm2.UsageError, "beginning of a file name"),
    ({"--out": ".."}, lfmm2.UsageError, "beginning of a file name"),
    ({"--out": "n" * 300}, lfmm2.WriteError, "name"),
    ({"--out": "r", "--env": "r.x.tsv", "--format": "tsv", "--overwrite": None}, lfmm2.UsageError, "input of this run"),
    ({"--out": "r", "--keep": "everyone", "--overwrite": None}, lfmm2.UsageError, "lfmm2.log is an input of this run"),
    ({"--out": "r"}, lfmm2.OutputExistsError, "r.lfmm2.log"),
]  # fmt: skip
CASE_IDS = ["".join(f"{k}={str(v)[:15]}" for k, v in change.items()) for change, *_ in CASES]


@pytest.fixture
def no_pass(monkeypatch):
    """Any look at the genotypes fails."""

    def blocks(*_):
        raise AssertionError("a pass over the genotypes has begun")

    monkeypatch.setattr(BedMatrix, "_blocks", blocks)


@pytest.mark.parametrize(("change", "error", "match"), CASES, ids=CASE_IDS)
@pytest.mark.usefixtures("no_pass")
@pytest.mark.filterwarnings("ignore::lfmm2.errors.InputWarning")
def test_bad_input_ends_the_command_with_its_exit_code_and_no_file(folder, capsys, change, error, match):
    before = sorted(folder.iterdir())
    options = {"--bed": "good", "--env": "env.csv", "-K": 3, "--out": "result"} | change
    arguments = [str(part) for item in options.items() for part in item if part is not None]
    start = time.process_time()
    with pytest.raises(SystemExit) as ended:
        main(["run", *arguments])
    assert time.process_time() - start < MOST_SECONDS
    _, err = capsys.readouterr()
    assert ended.value.code == error.exit_code, err
    assert re.search(rf"^Error: .*{match}", err, re.MULTILINE), err
    assert "Traceback" not in err
    assert sorted(folder.iterdir()) == before


def as_parameters(change):
    """Keyword arguments of `run` for options of the command."""
    arguments = {PARAMETERS.get(k, k.removeprefix("--").replace("-", "_")): v for k, v in change.items()}
    numbers = {"est_rate", "maf", "geno", "lambda_", "tol"}
    return {k: True if v is None else float(v) if k in numbers else v for k, v in arguments.items()}


@pytest.mark.parametrize(("change", "error", "match"), CASES, ids=CASE_IDS)
@pytest.mark.usefixtures("no_pass")
@pytest.mark.filterwarnings("ignore::lfmm2.errors.InputWarning")
def test_bad_input_raises_its_error_and_leaves_no_file(folder, change, error, match):
    before = sorted(folder.iterdir())
    arguments = {"est_bed": None, "full_bed": "good", "X": "env.csv", "K": 3, "out": "result"} | as_parameters(change)
    start = time.process_time()
    with pytest.raises(error, match=match):
        lfmm2.run(**arguments)
    assert time.process_time() - start < MOST_SECONDS
    assert sorted(folder.iterdir()) == before


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
@pytest.mark.usefixtures("folder")
def test_good_inputs_are_good():
    """What the cases above change is all that is wrong with them; `FID IID x` tables are no table of IID and x."""
    expected = lfmm2.run(None, "good", "env.csv", 3)
    assert lfmm2.run(None, "good", "plink.txt", 3, out="result").variables == ("x",)
    assert np.array_equal(lfmm2.run(None, "good", "plink.txt", 3).t, expected.t)
    assert not [path for path in Path().iterdir() if path.suffix in (".part", ".spool")]


@pytest.mark.parametrize("command", ["run", "demo"])
def test_folder_that_cannot_be_written_is_an_error_at_the_start(folder, capsys, monkeypatch, command):
    Path("locked").mkdir()
    real = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked" and real(path, mode))
    arguments = ["--bed", "good", "--env", "env.csv", "-K", "3"] if command == "run" else []
    with pytest.raises(SystemExit) as ended:
        main([command, *arguments, "--out", "locked/r"])
    assert ended.value.code == 7
    assert "no permission" in capsys.readouterr().err
    assert list(Path("locked").iterdir()) == []


@pytest.mark.usefixtures("folder")
def test_full_disk_is_an_error_at_the_start(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 100))
    with pytest.raises(lfmm2.WriteError, match="100 are free"):
        lfmm2.run(None, "good", "env.csv", 3, out="result")


@pytest.mark.parametrize("out", [None, "result"])
def test_filters_that_leave_nothing_leave_nothing(folder, genotypes, out):
    before = sorted(folder.iterdir())
    uneven = [name for name, row in zip(SNPS, genotypes, strict=True) if row.sum() != N][:200]
    with pytest.raises(lfmm2.InconsistentInputError, match="leave none of 200 SNPs"):
        lfmm2.run(None, "good", "env.csv", 3, maf=0.5, extract=uneven, out=out)
    assert sorted(folder.iterdir()) == before


@pytest.mark.usefixtures("folder")
def test_list_with_unknown_ids_warns_once():
    table("mixed", "zz", SNPS[:200])
    with pytest.warns(lfmm2.InputWarning, match="1 IDs are not in") as seen:
        lfmm2.run(None, "good", "env.csv", 3, extract="mixed", maf=0.01)
    assert len([w for w in seen if issubclass(w.category, lfmm2.InputWarning)]) == 1
