"""Checks of the variables of the samples in use: what no model can tell apart, and what is probably no environment."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from lfmm2._words import some_of
from lfmm2.errors import DegenerateProblemError, InputWarning

# Distance of a variable from the span of the others, relative to its norm, up to which it is collinear: the limit of
# R's lm(). With a smaller limit, the effects of nearly collinear variables would be digits of rounding.
_COLLINEAR = 1e-7
# Range of a variable, relative to its largest magnitude, up to which it is constant: a few roundings of a double. A
# larger limit would refuse variables of large mean and small spread.
_CONSTANT = 16 * float(np.finfo(np.float64).eps)
# Range below which the square of a variable is near the smallest double and loses digits: at 1e-162, t is wrong in its
# second digit.
_SMALLEST_RANGE = 1e-151
# Number of samples up to which those that differ from all others are named, and least number of samples for this: among
# fewer, two are no small part.
_FEW_APART, _FEWEST_SAMPLES = 2, 10
_COORDINATE_NAMES = re.compile(r"(decimal)?[ _.]?(lon|long|longitude|lat|latitude|easting|northing|utm[ _.]?[xyen])")
_ID_NAMES = re.compile(
    r"id|objectid|oid|fid_?\d*|uid|index|row[ _.]?(name|num|number|id)?s?|sample([ _.]?(id|no|nr|number|name))?|"
    r"(individual|plant|tree|plot|site|pop|station)[ _.]?(id|no|nr|number)|no|nr|number|unnamed: ?\d+|barcode"
)
_CLASS_NAMES = re.compile(
    r".*(land[ _.]?(cover|use)|lulc|nlcd|corine|"
    r"(soil|vegetation|habitat|climate|forest|rock|bedrock)[ _.]?(type|class|code|unit)|"
    r"ecoregion|biome|k(oe|o|ö)ppen|geolog).*|lc|clc|class|category|batch|plate|lane|cluster|group|pop|population|race|"
    r"breed|ecotype|country|region|province|treatment|colou?r"
)
# Classes of the National Land Cover Database of the United States. Three of them in a column without any other value
# are hardly measurements.
_NLCD = (11, 12, 21, 22, 23, 24, 31, 41, 42, 43, 51, 52, 71, 72, 73, 74, 81, 82, 90, 95)
# Range of the number of classes. Two are the same as an indicator; with more than 60, a whole number is a measurement.
_FEWEST_CLASSES, _MOST_CLASSES = 3, 60


def check_variables(values: NDArray[np.float64], names: Sequence[str]) -> None:
    """Raise unless every variable varies and is independent of the others, whatever their scales.

    Parameters
    ----------
    values : ndarray of shape (n_samples, n_variables), float64
        Finite; scales may differ at will between 1e-151 and 1e151.
    names : sequence of str

    Raises
    ------
    DegenerateProblemError
        A variable is constant, varies too little for a double, is the same as another, or a linear function of others.
    """
    n_samples, n_variables = values.shape
    if n_variables >= n_samples:
        raise DegenerateProblemError(f"{n_samples} samples for {n_variables} variables; choose fewer")
    largest = np.abs(values).max(axis=0)
    scaled = values / np.where(largest > 0, largest, 1.0)
    if constant := [names[j] for j in np.flatnonzero(np.ptp(scaled, axis=0) <= _CONSTANT).tolist()]:
        raise DegenerateProblemError(f"{some_of(constant)}: constant; leave out")
    if tiny := [names[j] for j in np.flatnonzero(np.ptp(values, axis=0) < _SMALLEST_RANGE).tolist()]:
        raise DegenerateProblemError(f"{some_of(tiny)}: varies by less than {_SMALLEST_RANGE:g}; use another unit")
    first_of: dict[bytes, str] = {}
    for name, column in zip(names, values.T, strict=True):
        twin = first_of.setdefault((column + 0.0).tobytes(), name)
        if twin != name:
            raise DegenerateProblemError(f"{twin} and {name} have the same values; leave out one")
    _check_rank(scaled, names)


def _check_rank(scaled: NDArray[np.float64], names: Sequence[str]) -> None:
    """Raise DegenerateProblemError if a centred variable is a linear function of others, by QR with pivots."""
    from lfmm2._lapack import pivoted_qr, solve_triangular

    Z = scaled - scaled.mean(axis=0)
    Z /= np.linalg.norm(Z, axis=0)
    _, R, pivots = pivoted_qr(Z)
    rank = int(np.count_nonzero(np.abs(np.diagonal(R)) > _COLLINEAR))
    if rank == len(names):
        return
    weights = np.abs(solve_triangular(R[:rank, :rank], R[:rank, rank]))
    others = " and ".join(names[j] for j in sorted(pivots[:rank][weights > 1e-6 * weights.max()]))
    raise DegenerateProblemError(f"{names[pivots[rank]]} is a linear function of {others}; leave out one")


def warn_of_few_apart(values: NDArray[np.float64], names: Sequence[str], iids: Sequence[str]) -> None:
    """Warn of variables that have one value in all samples but one or two, which alone decide every test."""
    if len(values) < _FEWEST_SAMPLES:
        return
    # If all samples but two have one value, so have three of any five, whose median it is.
    middle: NDArray[np.float64] = np.median(values[: 2 * _FEW_APART + 1], axis=0)
    differs = values != middle
    for j in np.flatnonzero(np.count_nonzero(differs, axis=0) <= _FEW_APART).tolist():
        who = [iids[i] for i in np.flatnonzero(differs[:, j]).tolist()]
        fact = f"{names[j]}: all samples but {len(who)} ({some_of(who)}) have the value {middle[j]:.6g}"
        remedy = f"the tests compare {'this one' if len(who) == 1 else 'these two'} with all others, so leave it out"
        warnings.warn(f"{fact}; {remedy}", InputWarning, stacklevel=3)


def warn_of_no_environment(values: NDArray[np.float64], names: Sequence[str]) -> None:
    """Warn of coordinates and IDs among variables that the user has not chosen by name."""
    if coordinates := [name for name in names if _COORDINATE_NAMES.fullmatch(name.strip().casefold())]:
        fact = f"{some_of(coordinates)}: {'a coordinate is' if len(coordinates) == 1 else 'coordinates are'} tested"
        remedy = "if they are not meant to be, name them with --coords, or choose columns with --variables"
        warnings.warn(f"{fact} like the other variables of the table; {remedy}", InputWarning, stacklevel=3)
    for name, column in zip(names, values.T, strict=True):
        is_id = _ID_NAMES.fullmatch(name.strip().casefold()) is not None and not numbers_its_rows(column)
        if is_id and np.all(column == np.round(column)) and len(np.unique(column)) == len(column):
            fact = f"{name}: another whole number in every sample, as IDs are, is tested as a variable"
            warnings.warn(f"{fact}; choose columns with --variables", InputWarning, stacklevel=3)


def numbers_its_rows(column: NDArray[np.float64]) -> bool:
    """Return True if a column counts the rows of its table from 0 or 1 on."""
    n = len(column)
    return n >= _FEWEST_SAMPLES and column[0] in (0, 1) and bool(np.array_equal(column - column[0], np.arange(n)))


def warn_of_classes(values: NDArray[np.float64], names: Sequence[str], categories: Collection[str] = ()) -> None:
    """Warn of columns that are no categories, but look like codes of classes, such as 11, 21 and 41 of land cover."""
    found = []
    for name, column in zip(names, values.T, strict=True):
        if name in categories or not np.all(column == np.round(column)):
            continue
        classes, times = np.unique(column, return_counts=True)
        if not _FEWEST_CLASSES <= len(classes) <= min(_MOST_CLASSES, len(column) // 2):
            continue
        named = _CLASS_NAMES.fullmatch(name.strip().casefold())
        if named or (np.isin(classes, _NLCD).all() and times.min() > 1):
            found.append((name, [f"{value:.0f}" for value in classes.tolist()]))
    if found:
        shown = "; ".join(f"{name} ({some_of(classes)})" for name, classes in found[:3])
        which = ",".join(name for name, _ in found[:3])
        fact = f"{shown}: whole numbers that look like codes of classes are used as quantities"
        warnings.warn(f"{fact}; if they are classes, use --categorical {which}", InputWarning, stacklevel=3)
