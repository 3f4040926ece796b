"""The catalogue of arguments of another type: a UsageError before anything is read, and never a TypeError.

On the command line an option that is no number is refused by the same rule, so each row goes both ways where both
exist. The rows of `FUNCTION_ROWS` can only be given in Python.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from catalogue import check_refused

import lfmm2
from lfmm2.cli.program import main
from lfmm2.errors import UsageError

# parameter, value, what the message says
FUNCTION_ROWS: list[tuple[str, Any, str]] = [
    ("maf", "0.1", "^maf is '0.1'; a minor allele frequency lies between 0 and 0.5"),
    ("maf", True, "^maf is True; a minor allele frequency"),
    ("geno", [0.1], r"^geno is \[0.1\]; a missing rate lies between 0 and 1"),
    ("est_rate", "half", "^est_rate is 'half'; it is a share of the SNPs"),
    ("lambda_", [1e-5], r"^lambda_ is \[1e-05\]; give a number, or a multiple such as 1x"),
    ("tol", None, "^tol is None; give a number"),
    ("tol", 10**400, "^tol is 1000+…; give a number"),
    ("seed", 1.5, "^seed is 1.5; give a whole number"),
    ("seed", "1", "^seed is '1'; give a whole number"),
    ("n_power_iter", True, "^n_power_iter is True; give a whole number"),
    ("n_threads", True, "^n_threads is True; give a whole number"),
    ("n_threads", "2", "^n_threads is '2'; give a whole number"),
    ("memory", object(), "^memory is <object object at .*>; give a positive number of bytes"),
    ("solver", np.array(["exact", "power"]), r"^solver is array\(\['exact', 'power'\].*\); it is one of"),
    ("calibrate", pd.NA, "^calibrate is <NA>; it is one of student"),
    ("df", b"paper", "^df is b'paper'; "),
    ("loadings", "no", "^loadings is 'no'; give True or False"),
    ("overwrite", "false", "^overwrite is 'false'; give True or False"),
    ("intersect", 1, "^intersect is 1; give True or False"),
    ("keep", 3, "^keep is 3; give the name of a file"),
    ("keep", ["a", 1], r"^keep is \['a', 1\]; give the name of a file"),
    ("remove", "a\0b", r"^remove is 'a\\x00b'; give the name of a file as text or pathlib.Path, without NUL"),
    ("extract", 5, "^extract is 5; give a file of SNP IDs, or the IDs"),
    ("exclude", [None], r"^exclude is \[None\]; give a file of SNP IDs, or the IDs"),
    ("est_extract", {"a": 1.5}.values(), r"^est_extract is dict_values.*; give a file of SNP IDs"),
    ("variables", 2, "^variables is 2; give names as text"),
    ("missing_code", [[-9]], r"^missing_code is \[\[-9\]\]; give a number or a text, or several in a list"),
    ("missing_code", "\ud800", r"^missing_code is '\\ud800'; give a number or a text"),
    ("sweep", np.array(3), r"^sweep is array\(3\); .*, or give a sequence of numbers of factors"),
    ("progress", "yes", "^progress is 'yes'; give True, False or an lfmm2.Progress"),
    ("covar", "a\0b", r"^'a\\x00b' is no name of a file; give it as text or pathlib.Path, without NUL"),
    ("covar", "\ud800", r"^'\\ud800' is no name of a file; give it as text"),
]
COMMAND_ROWS: list[tuple[str, str]] = [
    ("--maf", "a tenth"), ("--geno", "x"), ("--tol", "1e-4x"), ("--seed", "1.5"),
    ("--threads", "two"), ("--power-iter", "1e3"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "match"), FUNCTION_ROWS, ids=lambda part: repr(part)[:20])
def test_argument_of_another_type(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, value: Any, match: str
) -> None:
    check_refused(folder, capsys, "function", UsageError, match, **{name: value})


@pytest.mark.parametrize("out", [5, b"r", "a\0b", "\ud800", ["r"], object(), True])
def test_out_that_is_no_name(folder: Path, out: Any) -> None:
    with pytest.raises(UsageError, match=r"^out is .*; give the name of a file as text or pathlib.Path, without NUL"):
        lfmm2.run(None, "d", "env.csv", 3, out=out)
    with pytest.raises(UsageError, match=r"^out is .*; give the name of a file"):
        lfmm2.simulate(out, n_samples=20, n_snps=30, n_causal=2)


@pytest.mark.parametrize(("flag", "value"), COMMAND_ROWS)
def test_option_of_another_type(folder: Path, capsys: pytest.CaptureFixture[str], flag: str, value: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["run", "--bed", "d", "--env", "env.csv", "-K", "3", "--out", "result", flag, value])
    assert ended.value.code == UsageError.exit_code
    match = rf"^Error: Invalid value for '.*{flag}': '{value}' is not a valid .* \(see lfmm2 run --help\)"
    err = capsys.readouterr().err
    assert re.search(match, err), err
