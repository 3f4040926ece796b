"""Options from a file: TOML, or the record of a run; the command line wins, and what is wrong is said."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lfmm2.cli.program import cli, main
from lfmm2.simulation import simulate


class Stopped(Exception):
    """Carries the arguments that the command was called with, and its command line."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the command where its options are gathered."""

    def stop(arguments: dict[str, object], command: str) -> None:
        raise Stopped(arguments, command)

    monkeypatch.setattr("lfmm2.pipeline.RunOptions.from_arguments", stop)


def arrived(*arguments: str) -> tuple[dict[str, object], str]:
    with pytest.raises(Stopped) as of:
        cli.main(["run", *arguments], "lfmm2", standalone_mode=False)
    return of.value.args[0], of.value.args[1]


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["run", *arguments])
    return int(str(ended.value.code)), capsys.readouterr().err


CONFIG = """
bed = ["a", "b"]
env = "climate.csv"
K = 5
maf = 0.05
categorical = ["sex", "batch"]
no_standardize = true
marginal = false
out = "r"
"""


@pytest.mark.usefixtures("stopped")
def test_file_gives_options_as_the_command_line_does() -> None:
    Path("run.toml").write_text(CONFIG)
    values, command = arrived("--config", "run.toml")
    assert values["full_bed"] == [Path("a"), Path("b")]
    assert (values["K"], values["maf"], values["standardize"]) == (5, 0.05, False)
    assert (values["categorical"], values["marginal"], values["out"]) == ("sex,batch", False, "r")
    assert command == (
        "lfmm2 run --bed a --bed b --env climate.csv --factors 5 --maf 0.05 --categorical sex,batch "
        "--no-standardize --out r"
    )


@pytest.mark.usefixtures("stopped")
def test_command_line_wins_over_the_file() -> None:
    Path("run.toml").write_text(CONFIG)
    values, command = arrived("--config=run.toml", "-K", "2", "--bed", "c", "--out", "other")
    assert (values["full_bed"], values["K"], values["out"], values["maf"]) == (Path("c"), 2, "other", 0.05)
    assert "--config" not in command
    assert command.endswith("--factors 2 --bed c --out other")


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("mfa = 0.1", 2, "run.toml: 'mfa' is no option of lfmm2 run; the nearest name is maf"),
        ("bfile = 'a'", 2, "run.toml: 'bfile' is no option of lfmm2 run; give genotypes with --bed PREFIX"),
        ("zzzz = 1", 2, "run.toml: 'zzzz' is no option of lfmm2 run; lfmm2 run --help shows all options"),
        ("config = 'a'", 2, "run.toml: 'config' is no option of lfmm2 run; a file of options cannot name another"),
        ("K = 2\nfactors = 3", 2, "run.toml: factors is given twice, by two of its names"),
        ("maf = true", 2, "run.toml: maf is True; write a number, or a text in quotes"),
        ("overwrite = 'yes'", 2, "run.toml: overwrite is 'yes'; it is a flag, write true or false"),
        ("maf = [0.1, 0.2]", 2, "run.toml: maf is a list; give one value"),
        ("[run]\nmaf = 0.1", 2, "run.toml: 'run' is no option of lfmm2 run"),
        ("maf = 'low'", 2, "run.toml: Invalid value for '--maf': 'low' is not a valid float"),
        ("maf = ", 3, "run.toml: is no TOML, Invalid value .*; write lines such as maf = 0.05"),
        ('{"command": 3}', 3, "run.toml: begins as JSON, but is no record of a run; give <out>.lfmm2.json"),
        ('{"command": "lfmm2.run"}', 2, "was written by 'lfmm2.run', not by the command lfmm2 run; .* a TOML file"),
    ],
)
def test_wrong_files_are_refused(capsys: pytest.CaptureFixture[str], text: str, code: int, message: str) -> None:
    Path("run.toml").write_text(text)
    ended, err = error_of(capsys, "--bed", "d", "--env", "e", "--out", "r", "--config", "run.toml")
    assert ended == code
    assert re.match(f"Error: .*{message}", err), err


def test_absent_file_folder_and_two_files_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert error_of(capsys, "--config", "none.toml") == (
        6, "Error: none.toml: cannot be read (No such file or directory); check the path of --config\n",
    )  # fmt: skip
    code, err = error_of(capsys, "--config", ".")
    assert (code, err) == (6, "Error: .: is a directory, a pipe or a device; give the path of a regular file\n")
    code, err = error_of(capsys, "--config", "a", "--config", "b")
    assert (code, err) == (2, "Error: --config is given twice, as a and b; give it once\n")


def test_run_is_repeated_from_its_record_and_ends_with_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    simulate("d", n_samples=60, n_snps=400, n_variables=2, n_causal=3, seed=3)
    fixed = ["--surrogates", "0", "--seed", "4"]
    Path("run.toml").write_text('bed = "d"\nenv = "d.env.csv"\nK = 2\nformat = "tsv"\n')
    with pytest.raises(SystemExit) as ended:
        main(["run", "--config", "run.toml", *fixed, "--out", "my results", "--verbose"])
    shown = capsys.readouterr()
    assert ended.value.code == 0, shown.err
    answer = shown.out.rpartition("\n\n")[2].splitlines()
    assert answer[0].split() == ["K:", "2"]
    assert [line.split(":")[0] for line in answer] == ["K", "env1", "env2", "joint", "time", "next"]
    assert answer[-1].endswith("lfmm2 hits 'my results'") or answer[-1].endswith("lfmm2 report 'my results'")
    assert "singular values:" in shown.out
    assert "numpy" in shown.out
    record = json.loads(Path("my results.lfmm2.json").read_text())
    for name, count in record["discoveries"].items():
        head, *rows = [line.split("\t") for line in Path(f"my results.{name}.tsv").read_text().splitlines()]
        q = [float(row[head.index("Q")]) for row in rows if row[head.index("Q")] not in ("", "NA")]
        assert sum(value < 0.05 for value in q) == count
        assert any(f"{count} SNP" in line for line in answer if line.startswith(f"{name}:"))

    with pytest.raises(SystemExit) as ended:
        main(["run", "--config", "my results.lfmm2.json", "--out", "again", "--quiet", "--log-json"])
    shown = capsys.readouterr()
    assert (ended.value.code, shown.out) == (0, "")
    for name in ("env1", "env2", "joint"):
        assert Path(f"my results.{name}.tsv").read_bytes() == Path(f"again.{name}.tsv").read_bytes()
    events = [json.loads(line) for line in shown.err.splitlines()]
    assert {"plan", "pass begins", "pass ends", "answer"} <= {event["event"] for event in events}
    assert events[-1]["K"] == 2
    assert events[-1]["tests"]["env1"]["discoveries"] == record["discoveries"]["env1"]

    with pytest.raises(SystemExit) as ended:
        main(["run", "--config", "run.toml", "--out", "again", "--log-json"])
    error = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert (ended.value.code, error["event"], error["exit_code"]) == (9, "error", 9)


def test_quiet_and_verbose_are_opposites(capsys: pytest.CaptureFixture[str]) -> None:
    code, err = error_of(capsys, "--bed", "d", "--env", "e", "--out", "r", "--quiet", "--verbose")
    assert (code, err) == (2, "Error: --quiet and --verbose are the opposite of each other; give one of them\n")
