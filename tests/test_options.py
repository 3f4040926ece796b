"""Options from end to end: each one is set, by the command line and by every function that has it, and arrives."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import signal
import sys
import typing
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

import lfmm2
from lfmm2._choices import DISCOVERY_RATES, EFFECTS, TABLE_FORMATS
from lfmm2.cli.option_command import OptionCommand
from lfmm2.cli.program import cli, main
from lfmm2.downstream.hits import RATES
from lfmm2.downstream.offset import EFFECTS as COLUMN_OF_EFFECTS
from lfmm2.errors import UsageError
from lfmm2.model import SolverOptions
from lfmm2.pipeline.options import ALL_FUNCTIONS, FLAG, NUMBER, OPTIONS, SECTIONS, TABLE, WHOLE, Option, Range
from lfmm2.pipeline.plan import ROW_BYTES

DOCS = Path(__file__).parent.parent / "docs"
COMMANDS = {name: command for name, command in cli.commands.items() if isinstance(command, OptionCommand)}
# Options that the command uses itself, which reach no run.
OF_COMMAND = {"config", "report", "dry_run", "quiet", "verbose", "log_json"}
DATA = ("est_bed", "full_bed", "X", "K", "covar")

# A value of each option that is not its default: as the command line has it, and as it arrives.
SET: dict[str, tuple[str, Any]] = {
    "full_bed": ("other.bed", Path("other.bed")),
    "pfile": ("plants", Path("plants")),
    "hard_calls": ("", True),
    "bgen": ("plants.bgen", Path("plants.bgen")),
    "sample": ("plants.sample", Path("plants.sample")),
    "bed_list": ("filesets.txt", Path("filesets.txt")),
    "vcf": ("plants.vcf.gz", Path("plants.vcf.gz")),
    "zarr": ("plants.vcz", Path("plants.vcz")),
    "vcf_dosage": ("DS", "DS"),
    "keep_bed": ("", True),
    "X": ("other.csv", Path("other.csv")),
    "variables": ("rain,snow", "rain,snow"),
    "env_by": ("FID", "FID"),
    "coords": ("lon,lat", "lon,lat"),
    "covar": ("age.csv", Path("age.csv")),
    "covar_variables": ("age,sex", "age,sex"),
    "missing_code": ("-99", "-99"),
    "decimal": (",", ","),
    "categorical": ("sex,batch", "sex,batch"),
    "count_allele": ("a1", "a1"),
    "ploidy": ("4", 4),
    "missing_genotype": ("9", 9),
    "matrix": ("betas.parquet", Path("betas.parquet")),
    "samples_are": ("rows", "rows"),
    "features": ("manifest.csv", Path("manifest.csv")),
    "sample_ids": ("ids.txt", Path("ids.txt")),
    "layer": ("counts", "counts"),
    "keep": ("some", Path("some")),
    "remove": ("others", Path("others")),
    "missing": ("mean", "mean"),
    "intersect": ("", True),
    "mind": ("0.1", 0.1),
    "drop_duplicates": ("", True),
    "extract": ("snps", Path("snps")),
    "exclude": ("bad_snps", Path("bad_snps")),
    "maf": ("0.03", 0.03),
    "geno": ("0.07", 0.07),
    "K": ("7", 7),
    "sweep": ("1:4", "1:4"),
    "lambda_": ("0.5x", "0.5x"),
    "sweep_lambda": ("1e-5,1x", "1e-5,1x"),
    "standardize": ("", False),
    "est_bed": ("pruned", Path("pruned")),
    "est_bed_list": ("pruned.txt", Path("pruned.txt")),
    "est_rate": ("0.25", 0.25),
    "est_extract": ("pruned_snps", Path("pruned_snps")),
    "est_thin": ("r2=0.3,window=50", "r2=0.3,window=50"),
    "k_thin": ("off", "off"),
    "solver": ("power", "power"),
    "tol": ("0.002", 0.002),
    "n_power_iter": ("9", 9),
    "oversampling": ("23", 23),
    "scale": ("hwe", "hwe"),
    "seed": ("11", 11),
    "df": ("paper", "paper"),
    "calibrate": ("none", "none"),
    "min_carriers": ("3", 3),
    "spa": ("", True),
    "surrogates": ("3", 3),
    "marginal": ("", True),
    "impute": ("factors", "factors"),
    "out": ("results", "results"),
    "format": ("tsv.gz", "tsv.gz"),
    "loadings": ("", True),
    "overwrite": ("", True),
    "resume": ("", True),
    "n_threads": ("3", 3),
    "memory": ("4GB", "4GB"),
    "workers": ("2", 2),
    "executor": ("", ThreadPoolExecutor),
    "dask": ("local:2", "local:2"),
    "dask_slurm": ("cores=2,memory=4GB,jobs=2", "cores=2,memory=4GB,jobs=2"),
    "progress": ("", True),
}
# What the command line cannot do without, and what `resume` needs
BASE: dict[str, Any] = {"full_bed": Path("d.bed"), "X": Path("x.csv"), "K": 2, "out": "r"}


class Arrived(Exception):
    """Carries what a run was asked to prepare."""


def flatten(est_bed: Any, full_bed: Any, X: Any, K: Any, options: Any, covar: Any) -> dict[str, Any]:
    """Return every value that a run received, by the name of its option."""
    values = dict(zip(DATA, (est_bed, full_bed, X, K, covar), strict=True))
    for item in fields(options):
        value = getattr(options, item.name)
        if item.name in ("test", "solver", "samples", "snps", "output"):
            for inner in fields(value):
                values.setdefault(inner.name, getattr(value, inner.name))
                assert values[inner.name] == getattr(value, inner.name), f"{inner.name} of two groups differs"
        else:
            values[item.name] = value
    return values


@pytest.fixture
def arrivals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop every run where the pipeline receives its options."""

    def prepare_run(*arguments: Any) -> None:
        raise Arrived(arguments)

    monkeypatch.setattr("lfmm2.api.prepare_run", prepare_run)
    monkeypatch.setattr("lfmm2.pipeline.run.prepare_run", prepare_run)


def arrived(call: Any, *arguments: Any, **keywords: Any) -> dict[str, Any]:
    """Return what arrives when a function is called."""
    with pytest.raises(Arrived) as stopped:
        call(*arguments, **keywords)
    return flatten(*stopped.value.args[0])


def command_line(values: dict[str, Any]) -> list[str]:
    """Return the arguments of `lfmm2 run` that set these options."""
    return ["run", *(str(part) for name, value in values.items() for part in (flag(OPTIONS[name]), value) if part)]


def arrived_by_command(arguments: list[str]) -> dict[str, Any]:
    """Return what arrives from the command line."""
    return arrived(cli.main, arguments, "lfmm2", standalone_mode=False)


def flag(option: Option) -> str:
    return option.flags.split(", ")[-1]


def defaults() -> dict[str, Any]:
    return {option.name: option.default for option in TABLE if option.name not in OF_COMMAND}


def test_every_option_is_tried() -> None:
    assert SET.keys() == defaults().keys()
    assert all(value != OPTIONS[name].default for name, (_, value) in SET.items())


@pytest.mark.parametrize("name", [name for name in SET if OPTIONS[name].flags])
@pytest.mark.usefixtures("arrivals")
def test_option_arrives_from_the_command_line(name: str) -> None:
    text, value = SET[name]
    values = arrived_by_command(command_line(BASE | {name: text}))
    wanted = defaults() | BASE | {"progress": True, name: value}
    assert {key: values[key] for key in wanted} == wanted


@pytest.mark.parametrize("name", ["report", "dry_run"])
def test_option_of_the_command_alone_is_heeded(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def stop(*arguments: Any, **keywords: Any) -> None:
        raise Arrived(name)

    monkeypatch.setattr("lfmm2.pipeline.run.execute_run", stop)
    monkeypatch.setattr("lfmm2.report.check_report", stop)
    arguments = command_line({"full_bed": "d", "X": "age.csv", "K": 2, "out": "r"})
    if name == "report":
        with pytest.raises(Arrived):
            cli.main([*arguments, "--dry-run", "--report"], "lfmm2", standalone_mode=False)
    else:
        cli.main([*arguments, "--dry-run"], "lfmm2", standalone_mode=False)
    with pytest.raises(Arrived):
        cli.main(arguments, "lfmm2", standalone_mode=False)


@pytest.mark.parametrize(
    ("function", "name"), [(function, option.name) for option in TABLE for function in option.functions]
)
@pytest.mark.usefixtures("arrivals")
def test_option_arrives_from_python(function: str, name: str) -> None:
    factors = object()
    base = {"est_bed": None, "full_bed": "d.bed", "X": "x.csv", "K": 2}
    given = {name: SET[name][1]} | ({"out": "r"} if name == "resume" else {})
    wanted = defaults() | base | given
    keywords = base | given
    if function != "run":
        keywords["bed"] = keywords.pop("full_bed")
        del keywords["est_bed"]
    if function == "test_associations":
        del keywords["K"]
        wanted["K"] = keywords["factors"] = factors
    values = arrived(getattr(lfmm2, function), **keywords)
    assert {key: values[key] for key in wanted} == wanted


@pytest.mark.parametrize("function", ALL_FUNCTIONS)
def test_signature_has_names_defaults_and_words_of_the_table(function: str) -> None:
    call = getattr(lfmm2, function)
    parameters = inspect.signature(call).parameters
    wanted = {option.name for option in TABLE if function in option.functions}
    assert parameters.keys() - {"bed", "factors", "Y"} == wanted
    hints = typing.get_type_hints(call)
    for name in wanted:
        option, parameter = OPTIONS[name], parameters[name]
        if parameter.kind is parameter.KEYWORD_ONLY:
            assert parameter.default == option.default, name
            assert type(parameter.default) is type(option.default), name
        if isinstance(option.kind, tuple):
            words = typing.get_args(hints[name])
            words = typing.get_args(words[0]) if type(None) in words else words
            assert words == option.kind, name


def test_every_parameter_is_documented() -> None:
    documented = re.findall(r"^(\w+(?:, \w+)*) : ", inspect.getdoc(lfmm2.run) or "", re.MULTILINE)
    names = [name for names in documented for name in names.split(", ")]
    assert sorted(names) == sorted(inspect.signature(lfmm2.run).parameters)
    for function in (lfmm2.estimate_factors, lfmm2.test_associations):
        assert "parameters as in `run`" in (function.__doc__ or "")
        assert inspect.signature(function).parameters.keys() - {"bed", "factors"} <= set(names)


def test_solver_options_have_the_defaults_of_the_table() -> None:
    theirs = {item.name: item.default for item in fields(SolverOptions)}
    del theirs["max_passes"]
    assert theirs == {name: OPTIONS[name].default for name in theirs}


def test_identity_leaves_out_what_changes_no_result() -> None:
    assert {option.name for option in TABLE if not option.changes_results} == {
        "memory", "n_threads", "out", "overwrite", "resume", "keep", "remove", "missing", "missing_code", "intersect",
        "extract", "exclude", "est_extract", "variables", "categorical", "report", "dry_run", "progress", "decimal",
        "covar_variables", "env_by", "vcf", "zarr", "vcf_dosage", "keep_bed", "matrix", "samples_are", "features",
        "sample_ids", "layer", "pfile", "bgen", "sample", "bed_list", "est_bed_list", "workers",
        "executor", "dask", "dask_slurm", "config", "quiet", "verbose", "log_json",
    }  # fmt: skip


def test_rows_of_the_table_make_sense() -> None:
    for name, command in COMMANDS.items():
        flags = [flag for option in command.options for flag in option.flags.split(", ")]
        assert len(set(flags)) == len(flags), name
        for option in command.options:
            option.check(option.default)
            assert (option.kind == FLAG) == isinstance(option.default, bool), (name, option.name)
            assert not option.repeatable or option.kind not in (FLAG, NUMBER, WHOLE)
            assert not isinstance(option.kind, tuple) or option.default in (None, *option.kind)
    assert [option.section for option in TABLE] == sorted((o.section for o in TABLE), key=SECTIONS.index)


def test_words_are_those_that_the_modules_know() -> None:
    assert set(TABLE_FORMATS) == ROW_BYTES.keys()
    assert list(DISCOVERY_RATES) == list(RATES)
    assert set(EFFECTS) == COLUMN_OF_EFFECTS.keys()


@pytest.mark.parametrize(
    ("interval", "inside", "outside", "words"),
    [
        (Range(0, 0.5), (0, 0.5, np.float32(0.2)), (-0.1, 0.51, float("nan"), "0.1", None), "from 0 to 0.5"),
        (Range(0, 1, above=True), (0.1, 1, np.int64(1)), (0, 1.1), "above 0 to 1"),
        (Range(0, 1, above=True, below=True), (0.5,), (0, 1), "above 0 to below 1"),
        (Range(0, above=True), (1e-300, 1e300), (0, -1), "above 0"),
        (Range(1), (1, 10**9), (0,), "at least 1"),
    ],
)
def test_range_holds_its_numbers(interval: Range, inside: Any, outside: Any, words: str) -> None:
    assert all(value in interval for value in inside)
    assert not any(value in interval for value in outside)
    assert str(interval) == words


def test_words_and_ranges_are_checked() -> None:
    with pytest.raises(UsageError, match=r"^maf is 0\.6; a minor allele frequency lies between 0 and 0\.5$"):
        OPTIONS["maf"].check(0.6)
    with pytest.raises(UsageError, match="missing is 'no'; it is one of error, drop, mean"):
        OPTIONS["missing"].check("no")
    with pytest.raises(UsageError, match="missing is None; it is one of"):
        OPTIONS["missing"].check(None)
    OPTIONS["maf"].check(None)


def test_values_are_plain_in_the_record() -> None:
    plain = {
        "maf": [(np.float64(0.25), 0.25)],
        "keep": [(Path("a"), "a"), ([Path("a"), "b"], ["a", "b"])],
        "extract": [(Path("a"), "a"), ([Path("a"), Path("b")], ["a", "b"]), (["rs1", "rs2"], "2 IDs")],
        "variables": [("rain", "rain"), (["rain", "snow"], "rain,snow")],
        "missing_code": [([-9, "bad"], [-9, "bad"])],
    }
    for name, pairs in plain.items():
        for value, shown in pairs:
            assert OPTIONS[name].plain(value) == shown
            json.dumps(OPTIONS[name].plain(value))


# --- given twice ----------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def restored_signals() -> Any:
    """`main` is for a process of its own; what it sets is put back after each test."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before, hook = [signal.getsignal(s) for s in numbers], sys.unraisablehook
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    sys.unraisablehook = hook


def two_values(option: Option) -> tuple[str, str]:
    if isinstance(option.kind, tuple):
        return option.kind[0], option.kind[-1]
    return ("3", "4") if option.kind in (NUMBER, WHOLE) else ("one", "two")


@pytest.mark.parametrize(
    ("command", "option"),
    [
        pytest.param(name, option, id=f"{name} {flag(option)}")
        for name, command in COMMANDS.items()
        for option in command.options
        if option.kind != FLAG and not option.repeatable
    ],
)
def test_option_given_twice_is_an_error(
    command: str, option: Option, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = two_values(option)
    with pytest.raises(SystemExit) as ended:
        main([command, flag(option), first, option.flags.split(", ")[0], second])
    assert ended.value.code == 2
    shown = (str(float(first)), str(float(second))) if option.kind == NUMBER else (first, second)
    assert f"{flag(option)} is given twice, as {shown[0]} and {shown[1]}; give it once" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("arrivals")
def test_options_that_may_be_repeated_arrive_as_lists() -> None:
    repeated = {option.name: option for option in TABLE if option.repeatable}
    assert repeated.keys() == {
        "X", "covar", "variables", "covar_variables", "categorical", "missing_code", "keep", "remove", "extract",
        "exclude", "est_extract", "missing_genotype", "full_bed", "est_bed",
    }  # fmt: skip
    for name, option in repeated.items():
        base = command_line({key: value for key, value in BASE.items() if key not in ("X", name)})
        needed = [] if name == "X" else ["--env", "x.csv"]
        if name == "missing_genotype":
            assert arrived_by_command([*base, *needed, flag(option), "9", flag(option), "-1"])[name] == [9, -1]
            continue
        values = arrived_by_command([*base, *needed, flag(option), "b", flag(option), "a"])
        names = name in ("variables", "covar_variables", "categorical")
        text = names or name == "missing_code"
        assert values[name] == ("b,a" if names else ["b", "a"] if text else [Path("b"), Path("a")])


@pytest.mark.usefixtures("arrivals")
def test_flag_given_twice_is_harmless() -> None:
    assert arrived_by_command([*command_line(BASE), "--overwrite", "--overwrite"])["overwrite"] is True


def test_opposite_flags_are_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["offset", "r", "--new-env", "x", "--out", "o", "--scale", "--no-scale"])
    assert ended.value.code == 2
    assert "--scale and --no-scale are the opposite of each other" in capsys.readouterr().err


# --- from the command line to the result ----------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sixty samples, 300 SNPs; two tables of variables, two of covariates, and lists."""
    monkeypatch.chdir(tmp_path)
    lfmm2.simulate("d", n_samples=60, n_snps=300, n_variables=1, n_causal=2, seed=3)
    iids = [line.split()[1] for line in Path("d.fam").read_text().splitlines()]
    values = np.random.default_rng(2).standard_normal((60, 4)).round(3)
    names = ["rain", "soil", "age", "height"]
    frame = pd.DataFrame(values, index=pd.Index(iids, name="IID"), columns=names).astype(str)
    frame.loc[iids[0], "rain"], frame.loc[iids[1], "soil"] = "-99", "none"
    for name in names:
        frame[[name]].sample(frac=1, random_state=1).to_csv(f"{name}.csv")
    for name, rows in {"a": iids[:40], "b": iids[30:58], "c": iids[50:52], "d": iids[51:53]}.items():
        Path(f"{name}.list").write_text("\n".join(rows))
    snps = [line.split()[1] for line in Path("d.bim").read_text().splitlines()]
    for name, rows in {"s": snps[:150], "t": snps[100:200], "u": snps[:10], "v": snps[5:15]}.items():
        Path(f"{name}.snps").write_text("\n".join(rows))
    return tmp_path


@pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
def test_run_takes_all_of_what_is_given_twice(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    twice = {
        "--env": ("rain.csv", "soil.csv"), "--covar": ("age.csv", "height.csv"), "--missing-code": ("-99", "None"),
        "--keep": ("a.list", "b.list"), "--remove": ("c.list", "d.list"), "--extract": ("s.snps", "t.snps"),
        "--exclude": ("u.snps", "v.snps"), "--est-extract": ("s.snps", "t.snps"),
    }  # fmt: skip
    options = [part for name, values in twice.items() for value in values for part in (name, value)]
    with pytest.raises(SystemExit) as ended:
        main(["run", "--bed", "d", *options, "-K", "2", "--missing", "drop", "--out", "r", "--loadings"])
    assert ended.value.code == 0, capsys.readouterr().err
    record = json.loads(Path("r.lfmm2.json").read_text())
    assert record["variables"] == ["rain", "soil"]
    assert record["nuisance_variables"] == ["age", "height"]
    assert record["tested"]["n_samples_used"] == 58 - 3 - 2
    assert record["tested"]["n_snps_used"] == 200 - 15
    assert record["parameters"]["keep"] == ["a.list", "b.list"]
    assert {Path(item["path"]).name for item in record["inputs"]} == {
        "d.bed", "d.bim", "d.fam", *(value for name, values in twice.items() for value in values if "." in value)
    }  # fmt: skip
    assert lfmm2.read_results("r").paths["loadings"].exists()
    # the same from Python, and nothing left to do for it
    tables = [pd.read_csv(name, index_col="IID", dtype=str) for name in twice["--env"]]
    paths = {name: [Path(value) for value in twice[f"--{name}"]] for name in ("keep", "remove", "extract", "exclude")}
    result = lfmm2.run(
        None, "d", tables, 2, covar=list(twice["--covar"]), missing_code=[-99.0, "none"], missing="drop",
        est_extract=[Path(value) for value in twice["--est-extract"]], **paths,
    )  # fmt: skip
    assert np.array_equal(result.t, lfmm2.read_results("r").t, equal_nan=True)


# --- the page -------------------------------------------------------------------------------------------------


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_page_of_options_is_current() -> None:
    page = load(DOCS / "build_options.py").make_page()
    assert (DOCS / "options.md").read_text(encoding="utf-8") == page, "make options"
    for command in COMMANDS.values():
        assert all(f"`{part}`" in page for option in command.options for part in option.flags.split(", "))


def test_help_has_the_sections_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--help"])
    text = capsys.readouterr().out
    headings = re.findall(r"^(\w+):$", text, re.MULTILINE)
    assert headings == [*SECTIONS, "Help", "Examples"]
    after = text.split("Resources:")[1].split("Examples:")[0]
    assert "--threads" in after
    assert "[from 1 to 1024]" in after
    assert "--bed" not in after
