"""The catalogue of genotypes in memory that cannot be used as they are: the error says what to write.

Each row goes through `lfmm2.run` and `lfmm2.estimate_factors`; the command line takes no arrays. A fault ends before
the first pass.
"""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
from input_cases import GENOTYPES, IIDS, N, P, X

import lfmm2
from lfmm2.errors import InconsistentInputError, MalformedInputError, UsageError

Y = GENOTYPES.T.copy()  # (N, P), values 0, 1 and 2
CALLS = Y.astype(np.int8)
HOLES = np.random.default_rng(4).random(Y.shape) < 0.05
HOLES[0] = False
FIRST_ROW, FIRST_COLUMN = (int(k) for k in np.argwhere(HOLES)[0])
PLACE = rf"first in row {FIRST_ROW + 1}, column {FIRST_COLUMN + 1}"
FRAME = pd.DataFrame(Y, index=IIDS, columns=[f"snp{j}" for j in range(P)])


def coded(code: float, values: np.ndarray = Y, dtype: type = float) -> np.ndarray:
    return np.where(HOLES, code, values).astype(dtype)


def changed(value: float, row: int = 3, column: int = 17, values: np.ndarray = Y) -> np.ndarray:
    values = values.copy()
    values[row, column] = value
    return values


class Like:
    """An object with the members of a class of a package that is not installed here."""

    def __init__(self, **members: object) -> None:
        self.__dict__ |= members


# what is given, options, error, what the message says
CASES: list[tuple[str, object, dict, type[Exception], str]] = [
    ("9 of LEA", coded(9, dtype=np.int64), {}, MalformedInputError,
     rf"genotypes: 9 \({HOLES.sum()} times\) beside 0, 1, 2, of 11 400 values, {PLACE}; "
     r"give missing_genotype=9 if a missing call is written so, or missing_genotype=\[\] if it is a value like"),
    ("9 of LEA, floats", coded(9), {}, MalformedInputError, rf"9 \(.*{PLACE}; give missing_genotype=9 "),
    ("-1 of scikit-allel", coded(-1, dtype=np.int8), {}, MalformedInputError, "give missing_genotype=-1 "),
    ("-9 of PLINK", coded(-9), {}, MalformedInputError, "give missing_genotype=-9 "),
    ("-127", coded(-127, dtype=np.int8), {}, MalformedInputError, "give missing_genotype=-127 "),
    ("3 of packed calls, or of triploids", coded(3, dtype=np.uint8), {}, MalformedInputError,
     "give missing_genotype=3 if a missing call is written so, ploidy=3 if dosages go up to 3, or"),
    ("255", coded(255, dtype=np.uint8), {}, MalformedInputError, "give missing_genotype=255 "),
    ("-1 and -2 of VCF Zarr", np.where(HOLES[:, ::-1], -2, coded(-1)), {}, MalformedInputError,
     r"-2 \(\d+ times\) and -1 \(\d+ times\) beside 0, 1, 2, .*give missing_genotype=\[-2, -1\] "),
    ("9 among tetraploids", coded(9, Y + (Y == 2) * (GENOTYPES.T[::-1] == 2) + (Y == 2) * (GENOTYPES.T[:, ::-1] == 2)),
     {}, MalformedInputError, r"9 \(\d+ times\) beside 0, 1, 2, 3, 4, .*give missing_genotype=9 "),
    ("-9 among allele frequencies", coded(-9, Y / 2.5), {}, MalformedInputError, "-9 .* unlike all other values"),
    ("-9999 among M values", coded(-9999, Y - 1 + 0.1 * X[:, None]), {}, MalformedInputError,
     "missing_genotype=-9999 "),
    ("a typing error", changed(22), {}, MalformedInputError, r"22 \(1 times\) .*first in row 4, column 18"),
    ("in a frame", pd.DataFrame(coded(9), FRAME.index, FRAME.columns), {}, MalformedInputError,
     rf"row {FIRST_ROW + 1} \(sample {IIDS[FIRST_ROW]}\), column {FIRST_COLUMN + 1} \(SNP snp{FIRST_COLUMN}\); give"),
    ("above the ploidy", changed(3), {"ploidy": 2}, MalformedInputError,
     r"row 4, column 18: 3 is no dosage of ploidy 2, which lies between 0 and 2 \(1 of 11 400 values are outside\); "
     "give missing_genotype=3 if"),
    ("below 0", changed(-0.01), {"ploidy": 2}, MalformedInputError, "-0.01 is no dosage of ploidy 2"),
    ("code beside another", np.where(HOLES[:, ::-1], 9, coded(-1)), {"ploidy": 2, "missing_genotype": -1},
     MalformedInputError, "9 is no dosage of ploidy 2.*give missing_genotype=9 if it means missing, correct it, or"),
    ("diploids as haploids", Y, {"ploidy": 1}, MalformedInputError, "2 is no dosage of ploidy 1.*another ploidy"),
    ("infinite", changed(np.inf), {}, MalformedInputError, "row 4, column 18: is infinite; use NaN for missing"),
    ("infinite, of no code", changed(-np.inf), {"missing_genotype": []}, MalformedInputError, "is infinite; use NaN"),
    ("beyond a double when squared", changed(1e200), {}, MalformedInputError,
     r"row 4, column 18: is 1e\+200, larger than anything that is measured; .*missing_genotype=1e\+200"),
    ("ploidy 0", Y, {"ploidy": 0}, UsageError, "ploidy is 0; it is a whole number from 1 to 128, or None for"),
    ("ploidy 2.5", Y, {"ploidy": 2.5}, UsageError, "ploidy is 2.5; it is a whole number"),
    ("ploidy of a word", Y, {"ploidy": "diploid"}, UsageError, "ploidy is 'diploid'; it is a whole number"),
    ("code of a word", Y, {"missing_genotype": "9"}, UsageError, "missing_genotype is '9'; give a number such as 9"),
    ("code NaN", Y, {"missing_genotype": np.nan}, UsageError, "missing_genotype is nan; .*NaN is missing anyway"),
    ("ploidy of a .bed", "d", {"ploidy": 4}, UsageError, "ploidy tell how to read an array .*; leave out"),
    ("code of a .bed", "d", {"missing_genotype": 9}, UsageError, "missing_genotype tell how .*; leave out"),
    ("variants in rows", GENOTYPES, {}, InconsistentInputError,
     r"300 rows and 38 columns, and X has 38 rows: samples must be rows; transpose the genotypes, as genotypes\.T"),
    ("variants in rows of a frame", FRAME.T, {}, InconsistentInputError, r"genotypes\.T"),
    ("alleles of each call", np.stack([Y, Y], axis=2), {}, InconsistentInputError, "alleles of each call added up"),
    ("a sparse vector", scipy.sparse.coo_array(Y[0]), {}, InconsistentInputError,
     r"sparse, of shape \(300,\); give \(n_samples, n_snps\)"),
    ("AnnData without X", Like(obs_names=IIDS, var_names=list("ab"), X=None, layers={"betas": Y}), {},
     InconsistentInputError, r"AnnData without X, with layers betas; give lfmm2\.named_array\(adata, layer="),
    ("sparse matrix on disk", Like(to_memory=0, backend="hdf5"), {}, InconsistentInputError,
     r"a sparse matrix on disk \(Like\); give \.to_memory\(\)"),
    ("a query of polars", Like(collect=0, lazy=0), {}, InconsistentInputError, "not computed .*; give .collect"),
    ("dataset of xarray", Like(data_vars={}, coords={}), {}, InconsistentInputError, "a dataset .*; give one array"),
    ("ragged lists", [[0, 1, 2], [0, 1]], {}, InconsistentInputError, "of type list are no array .*; give an array"),
    ("text in every column of a frame", FRAME.astype(str), {}, MalformedInputError,
     r"300 columns are not of numbers, .*convert it with \.astype\(float\)"),
    ("nothing", None, {}, UsageError, "the genotypes to test are not given; give Y=, a path, an array or a frame"),
    ("a dict", {"i00": 1}, {}, InconsistentInputError, "genotypes are of type dict; give a path, or an array"),
    ("three levels of the index", FRAME.set_axis(pd.MultiIndex.from_product([["a"], ["b"], IIDS])), {},
     InconsistentInputError, "the index of the frame has 3 levels; give it one, the sample IDs"),
    ("text", Y.astype(str), {}, InconsistentInputError, "type <U32; give real numbers"),
    ("presence as bool", Y > 0, {}, InconsistentInputError, r"type bool; give real numbers, .*\.astype\(int\)"),
    ("objects", Y.astype(object), {}, InconsistentInputError, r"type object; give real numbers, .*\.astype\(float\)"),
    ("time spans", CALLS.astype("timedelta64[s]"), {}, InconsistentInputError, "type timedelta64.*; give real numbers"),
    ("IDs in a column", FRAME.reset_index(names="ID"), {}, MalformedInputError,
     r"column 'ID' is of type \w+, not of numbers \('i00'\); .*give frame\.set_index\('ID'\) in pandas, else leave"),
    ("IDs and populations in columns", FRAME.assign(pop="a", site="b"), {}, MalformedInputError,
     r"2 columns are not of numbers, the first is 'pop' .*set_index\('pop'\)"),
    ("a column of dates", FRAME.assign(day=pd.Timestamp("2020-01-01")), {}, MalformedInputError,
     r"column 'day' is of type datetime64.*; leave it out"),
    ("text behind the numbers of a pyarrow table", pa.Table.from_pandas(FRAME.assign(pop=IIDS), preserve_index=False),
     {}, MalformedInputError, "column 'pop' of text, beside features; call the column with the sample IDs IID"),
    ("two columns called as IDs", pa.table({"ID": IIDS, "sample": IIDS, "snp1": Y[:, 0]}), {}, MalformedInputError,
     r"several columns of text \(column 'ID', column 'sample'\); call the column with the sample IDs IID"),
    ("row numbers of a pyarrow table", pa.table({"": range(N), "snp1": Y[:, 0]}), {}, InconsistentInputError,
     r"column 1 \(without a name\) may have IDs or numbers .*; call it IID if it has IDs, else leave it out"),
    ("numbers in IID of a frame", FRAME.reset_index(drop=True).assign(IID=range(7, 7 + N)), {}, InconsistentInputError,
     "column 'IID' may have IDs .*; make it the index, with set_index, if it has IDs, else leave it out or rename it"),
    ("fractions in IID of a table", pa.table({"IID": X, "snp1": Y[:, 0]}), {}, MalformedInputError,
     "column 'IID' holds neither text nor whole numbers; give IDs as text"),
    ("a list of Arrow", pa.chunked_array([Y[0]]), {}, InconsistentInputError, "no table of columns .*; give a frame"),
    ("IDs repeated", FRAME.set_axis(["i00", *IIDS[:-1]]), {}, InconsistentInputError,
     r"repeated sample IDs in the index \(i00\); keep one row of each"),
    ("no ID", FRAME.set_axis([*IIDS[:-1], None]), {}, MalformedInputError, "row 38: has no sample ID in the index"),
    ("a line break in a name", FRAME.rename(columns={"snp3": "snp\n3"}), {}, MalformedInputError,
     r"column 4: the SNP ID 'snp\\n3' has a tab or a line break; rename it"),
]  # fmt: skip


@pytest.mark.parametrize("function", ["run", "estimate_factors"])
@pytest.mark.parametrize(
    ("given", "options", "error", "match"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)
@pytest.mark.usefixtures("folder", "no_pass")
def test_array_that_cannot_be_used_as_it_is(function, given, options, error, match):
    arguments = (None, given, X) if function == "run" else (given, X)
    with pytest.raises(error, match=match) as caught:
        getattr(lfmm2, function)(*arguments, K=3, **options)
    message = str(caught.value)
    assert re.search(r"[;,] [a-z.]", message), message  # a remedy
    assert "\n" not in message
    assert len(message) < 500


# what is given, options: sound arrays that an eager check would refuse; their t is that of Y
SOUND: list[tuple[str, object, dict]] = [
    ("integers", CALLS, {}),
    ("ploidy", Y, {"ploidy": 2}),
    ("no code", Y, {"missing_genotype": []}),
    ("a code that does not occur", Y, {"missing_genotype": 9}),
    ("a higher ploidy", Y, {"ploidy": 4}),
    ("other units", 1000 * Y - 7.25, {}),
    ("lists", Y.tolist(), {}),
    ("columns first", np.asfortranarray(CALLS), {}),
    ("every other row of a larger array", np.repeat(CALLS, 2, axis=0)[::2], {}),
    ("coding -1, 0, 1", Y - 1, {"missing_genotype": []}),
    ("a mask without a masked value", np.ma.array(Y, mask=False), {}),
    ("rounded dosages", (Y * np.float32(1.0000001)).astype(np.float32), {"ploidy": 2}),
    ("frame", FRAME, {}),
    ("frame with a RangeIndex", FRAME.reset_index(drop=True), {}),
    ("frame of two levels", FRAME.set_axis(pd.MultiIndex.from_product([["pop"], IIDS])), {}),
    ("nullable frame", FRAME.astype("Int8"), {}),
    ("pyarrow table", pa.Table.from_pandas(FRAME, preserve_index=False), {}),
    ("CSR", scipy.sparse.csr_matrix(Y), {}),
    ("CSC of small integers", scipy.sparse.csc_array(CALLS), {}),
    ("COO", scipy.sparse.coo_array(Y), {}),
    ("pyarrow of pandas", FRAME.reset_index(drop=True).astype("int8[pyarrow]"), {}),
    ("half precision", Y.astype(np.float16), {}),
    ("big-endian", Y.astype(">f4"), {}),
    ("unaligned", np.frombuffer(b"x" + Y.tobytes(), np.uint8)[1:].view(Y.dtype).reshape(Y.shape), {}),
]


@pytest.mark.filterwarnings("ignore::lfmm2.errors.CalibrationWarning")
@pytest.mark.parametrize(("given", "options"), [row[1:] for row in SOUND], ids=[row[0] for row in SOUND])
def test_sound_arrays_have_the_right_t(given, options):
    expected = lfmm2.run(None, Y, X, 3).t
    np.testing.assert_allclose(lfmm2.run(None, given, X, 3, **options).t, expected, rtol=1e-5, atol=1e-6)
    assert len(X) == N
