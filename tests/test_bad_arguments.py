"""Bad options, parameters and arrays: an error before the first pass, soon, and no file."""

from __future__ import annotations

import re
import time

import numpy as np
import pandas as pd
import pytest
from catalogue import MOST_SECONDS
from input_cases import GENOTYPES, IIDS, N, X

import lfmm2
import lfmm2.pipeline.run  # imported before the clock runs
from lfmm2.cli.program import main
from lfmm2.errors import DegenerateProblemError, InconsistentInputError, MalformedInputError, ReadError, UsageError

RUN = ["run", "--bed", "d", "--env", "env.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*RUN, "-K", "3", "--out", "r", "--formt", "tsv"], "--formt.*--format"),
        ([*RUN, "-K", "3", "--out", "r", "--overwite"], "--overwite.*--overwrite"),
        (
            [*RUN, "-K", "3", "--out", "r", "--missing", "median"],
            "'error', 'drop', 'mean'",
        ),
        (
            [*RUN, "-K", "3", "--out", "r", "--solver", "svd"],
            "'auto', 'exact', 'krylov'",
        ),
        (
            [*RUN, "-K", "3", "--out", "r", "--seed", "1.5"],
            "'1.5' is not a valid integer",
        ),
        ([*RUN, "-K", "three", "--out", "r"], "'three' is not a valid integer"),
        (
            [*RUN, "-K", "3", "--out", "r", "--lambda", "x"],
            "lambda is x; the ridge penalty must be a positive number",
        ),
        ([*RUN, "-K", "3"], "Missing option '--out'"),
        ([*RUN, "-K", "3", "--out", "r", "surplus"], "unexpected extra argument"),
        (["rnu", "--bed", "d"], "No such command 'rnu'.* run"),
    ],
)
@pytest.mark.usefixtures("no_pass")
def test_wrong_usage_ends_the_command_with_2(folder, capsys, arguments, message):
    before = sorted(folder.iterdir())
    start = time.process_time()
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert time.process_time() - start < MOST_SECONDS
    assert ended.value.code == 2
    assert re.search(f"Error: .*{message}", capsys.readouterr().err, re.DOTALL)
    assert sorted(folder.iterdir()) == before


Y = np.random.default_rng(5).integers(0, 3, (N, 60)).astype(float)


def changed(array: np.ndarray, place: object, value: float) -> np.ndarray:
    array = array.copy()
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"full_bed": changed(Y, (3, 17), np.inf)}, MalformedInputError, "row 4, column 18: is infinite; use NaN"),
        ({"full_bed": changed(Y, (3, 17), -np.inf)}, MalformedInputError, "row 4, column 18: is infinite; use NaN"),
        ({"est_bed": changed(Y, (37, 59), np.inf)}, MalformedInputError, "row 38, column 60: is infinite"),
        ({"full_bed": Y[:, 0]}, InconsistentInputError, r"genotypes of shape \(38,\); give an array"),
        ({"full_bed": Y[None]}, InconsistentInputError, r"genotypes of shape \(1, 38, 60\); give"),
        ({"full_bed": Y[:0]}, InconsistentInputError, r"genotypes of shape \(0, 60\); give an array"),
        ({"full_bed": Y[:, :0]}, InconsistentInputError, "there is no feature to test"),
        (
            {"full_bed": Y.T},
            InconsistentInputError,
            r"60 rows and 38 columns, and X has 38 rows: .* transpose the genotypes, as genotypes\.T",
        ),
        ({"full_bed": Y + 1j}, InconsistentInputError, "type complex128; give real numbers"),
        ({"full_bed": Y.astype(str)}, InconsistentInputError, "type <U32; give real numbers"),
        ({"full_bed": Y.astype(object)}, InconsistentInputError, "type object; give real numbers"),
        ({"full_bed": Y > 0}, InconsistentInputError, "type bool; give real numbers"),
        ({"est_bed": Y[1:]}, InconsistentInputError, "has 37 rows, but the tested genotypes have 38"),
        (
            {"X": changed(X, 5, np.nan)},
            InconsistentInputError,
            r"1 of 38 .*row 6 \(sample 6\), column 'env1'; use --missing",
        ),
        ({"X": X * np.nan}, InconsistentInputError, "env1: missing in all of 38 samples"),
        ({"X": changed(X, 5, np.inf)}, MalformedInputError, r"row 6 \(sample 6\), column 'env1': is infinite"),
        ({"X": X[1:]}, InconsistentInputError, "array of 37 rows, but there are 38 samples"),
        ({"X": np.c_[X, X]}, DegenerateProblemError, "env1 and env2 have the same values"),
        ({"X": pd.DataFrame({"x": X}, index=IIDS)}, InconsistentInputError, "are only numbered; give genotypes with"),
        ({"X": "x"}, ReadError, "x: cannot be opened"),
        ({"K": 0}, UsageError, "K is 0"),
        ({"K": 3.0}, UsageError, "K is 3.0; .* whole number"),
        ({"K": True}, UsageError, "K is True"),
        ({"K": None}, UsageError, "K is not given; give it, or a sweep"),
        ({"K": 36}, DegenerateProblemError, "K = 36 with 38 samples, 1 variables; at most 35"),
        ({"lambda_": 0.0}, UsageError, "lambda is 0"),
        ({"lambda_": -1.0}, UsageError, "lambda is -1"),
        ({"lambda_": np.nan}, UsageError, "lambda is nan"),
        ({"missing": "median"}, UsageError, "missing is 'median'; it is one of error, drop, mean"),
        ({"missing": "mean", "intersect": True}, UsageError, "give one of them"),
        ({"seed": 1.5}, UsageError, "seed is 1.5"),
        ({"n_threads": 1.5}, UsageError, "n_threads is 1.5"),
        ({"memory": 0}, UsageError, "memory is 0"),
        ({"memory": np.nan}, UsageError, "memory is nan"),
        ({"memory": 1 << 16}, lfmm2.InsufficientMemoryError, r"need (at least )?[0-9]+ MiB; raise --memory"),
        ({"solver": "svd"}, UsageError, "solver is 'svd'"),
        ({"df": "n"}, UsageError, "df is 'n'"),
        ({"format": "csv"}, UsageError, "format is 'csv'"),
        ({"count_allele": "a1"}, UsageError, "count_allele applies to a .bed"),
        ({"scale": "hwe"}, UsageError, "scale applies to a .bed"),
    ],
)
@pytest.mark.usefixtures("no_pass")
def test_fault_of_an_array_or_parameter(folder, arguments, error, match):
    before = sorted(folder.iterdir())
    start = time.process_time()
    with pytest.raises(error, match=match):
        lfmm2.run(**({"est_bed": None, "full_bed": Y, "X": X, "K": 3, "out": "result"} | arguments))
    assert time.process_time() - start < MOST_SECONDS
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("solver", ["krylov", "power"])
@pytest.mark.filterwarnings("ignore::lfmm2.errors.LfmmWarning")
def test_oversampling_beyond_the_sizes_is_cut(solver):
    exact = lfmm2.estimate_factors(GENOTYPES.T, X, 3, solver="exact")
    factors = lfmm2.estimate_factors(GENOTYPES.T, X, 3, solver=solver, oversampling=10**6)
    np.testing.assert_allclose(factors.singular_values, exact.singular_values, rtol=1e-10)
