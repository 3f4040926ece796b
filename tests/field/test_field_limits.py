"""Limits of the machine that a run meets: closed streams, few open files, long alleles, a wrong file of 3 GB."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from field_data import genotypes, sample_ids, write_fileset, write_text

import lfmm2
from lfmm2.cli.program import main
from lfmm2.errors import MalformedInputError, OutputExistsError, WriteError
from lfmm2.files import table_files
from lfmm2.pipeline import result_writer
from lfmm2.process import limits

pytestmark = pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
N, P = 60, 200
MIB = 1 << 20


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the fileset w and a table of 15 variables."""
    monkeypatch.chdir(tmp_path)
    G, _ = genotypes(N, P)
    write_fileset("w", G)
    X = np.random.default_rng(0).standard_normal((N, 15)).round(4)
    rows = [f"{iid},{','.join(map(str, row))}" for iid, row in zip(sample_ids(N), X.tolist(), strict=True)]
    write_text("w.csv", ["IID," + ",".join(f"v{j}" for j in range(15)), *rows])


def ended(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        main(list(arguments))
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.usefixtures("data")
def test_standard_error_that_is_closed_does_not_end_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert ended("run", "--bed", "w", "--env", "w.csv", "--variables", "v0", "-K", "2", "--out", "o") == 0
    assert ended("hits", "o", "--fdr", "1") == 0
    assert ended("offset", "o", "--new-env", "w.csv", "--out", "f") == 0
    assert ended("run", "--bed", "w", "--env", "w.csv", "--variables", "v0", "-K", "2", "--out", "o") == (
        OutputExistsError.exit_code
    )


@pytest.mark.usefixtures("data")
def test_standard_output_that_is_closed_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    code = ended("run", "--bed", "w", "--env", "w.csv", "-K", "2", "--out", "o")
    assert code == WriteError.exit_code
    assert "standard output is closed; send it to a file" in capsys.readouterr().err
    assert not list(Path().glob("o*"))


def test_a_file_never_takes_the_number_of_a_closed_stream() -> None:
    code = (
        "import os; os.close(0); os.close(2)\n"
        "from lfmm2.cli.terminal import occupy_standard_streams\n"
        "occupy_standard_streams(); print(os.open('/dev/null', os.O_RDONLY) > 2)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.fixture
def few_files() -> Iterator[int]:
    """Let this process open 12 more files, fewer than the 16 of a run; yield the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = limits.count_open_files() + 12
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    yield few
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("data")
def test_the_limit_of_open_files_is_raised_for_the_time_of_a_run(few_files: int) -> None:
    lfmm2.run(None, "w", "w.csv", 2, out="o")
    assert len(list(Path().glob("o.v*.parquet"))) == 15
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == few_files


@pytest.mark.usefixtures("data", "few_files")
@pytest.mark.parametrize(("sweep", "n_files"), [(None, 16), ("1:2", 31)])
def test_too_few_open_files_are_told_before_the_passes(
    monkeypatch: pytest.MonkeyPatch, sweep: str | None, n_files: int
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    before = sorted(Path().iterdir())
    message = r"^(\d+) files must be open .* allows \d+ .* test fewer variables at a time with --variables, or raise"
    with monkeypatch.context() as patch:
        patch.setattr(resource, "setrlimit", refuse)
        with pytest.raises(WriteError, match=message) as error:
            lfmm2.run(None, "w", "w.csv", 2, out="o", sweep=sweep)
        needed = int(str(error.value).split(" ")[0])
        assert abs(needed - n_files - 48 - limits.count_open_files()) < 10
        dry = ["--sweep", sweep, "--dry-run"] if sweep else ["--dry-run"]
        assert ended("run", "--bed", "w", "--env", "w.csv", "-K", "2", "--out", "o", *dry) == WriteError.exit_code
        assert sorted(Path().iterdir()) == before
    # sound neighbours: few variables, or results in memory
    lfmm2.run(None, "w", "w.csv", 2, variables="v0", out="few")
    lfmm2.run(None, "w", "w.csv", 2)


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize("form", ["parquet", "tsv"])
def test_long_alleles_are_written_in_small_groups_whatever_the_blocks(
    monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    bim = [line.split("\t") for line in Path("w.bim").read_text().splitlines()]
    for j, row in enumerate(bim):
        row[4] = "ACGT" * (500 if j % 3 == 0 else 1)
    write_text("w.bim", ["\t".join(row) for row in bim])

    def write(name: str, group_text: int, block_text: int) -> bytes:
        monkeypatch.setattr(table_files, "GROUP_TEXT", group_text)
        monkeypatch.setattr(result_writer, "BLOCK_TEXT", block_text)
        lfmm2.run(None, "w", "w.csv", 2, variables="v3", out=name, format=form)
        return Path(f"{name}.v3.{form}").read_bytes()

    usual = write("usual", 1 << 23, 1 << 22)
    small = write("small", 10_000, 3_000)
    assert small == write("other", 10_000, 1 << 22)
    if form == "tsv":
        assert small == usual
    else:
        from pyarrow import parquet

        assert parquet.ParquetFile("usual.v3.parquet").num_row_groups == 1
        assert parquet.ParquetFile("small.v3.parquet").num_row_groups == 17  # four long alleles in each
        assert parquet.read_table("small.v3.parquet").equals(parquet.read_table("usual.v3.parquet"))


@pytest.mark.usefixtures("data")
def test_a_wrong_file_of_3_gb_is_refused_by_its_first_bytes() -> None:
    with Path("big.csv").open("wb") as file:
        file.write(b"##fileformat=VCFv4.2\n")
        file.truncate(3 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MalformedInputError, match=r"^big.csv: is a VCF"):
        lfmm2.run(None, "w", "big.csv", 2)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10
    assert os.path.getsize("big.csv") == 3 << 30  # noqa: PTH202


@pytest.mark.usefixtures("data")
@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel of Linux")
def test_columns_that_are_not_asked_for_take_no_memory() -> None:
    import pyarrow as pa

    from lfmm2.files.table_text import read_text_table

    n_columns = 20_000
    cells = ",".join(f"{j % 97}.{j % 89 + 1}" for j in range(n_columns))
    write_text("wide.csv", ["IID,env1," + ",".join(f"bio{j}" for j in range(n_columns)),
                            *(f"{iid},{k}.5,{cells}" for k, iid in enumerate(sample_ids(N)))])  # fmt: skip
    before = pa.total_allocated_bytes()
    table = read_text_table("wide.csv", sample_ids(N), ["env1"])
    assert pa.total_allocated_bytes() - before < MIB
    columns = table.columns
    assert len(table.layout.names) == len(columns) == n_columns + 2
    assert columns[1].to_pylist() == [f"{k}.5" for k in range(N)]
    assert columns[5].null_count == N
