"""Are the environments of an offset in the units of the run? Warnings where their values say that they are not.

Climates are compared with the variables of the samples in units of the standard deviation over these. A unit is guessed
only where the values do not fit as they are, and do fit after a conversion; a real change, even a large one, does
not look like a conversion and leaves the spread nearly as it is.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lfmm2._typing import Floats
from lfmm2._words import some_of
from lfmm2.errors import InputWarning

# Distance from mean 0 and standard deviation 1 up to which a variable is standardised, which allows for numbers that
# were rounded to three digits, and the least number of places for which this is no chance.
_NEARLY, _FEWEST_PLACES = 2e-3, 10
# The same distance where samples have been left out after the variables were standardised. Only climates that do not
# fit anyway are looked at with it.
_ROUGHLY = 0.3
# Least number of places whose standard deviation is compared: of fewer it is a matter of chance.
_FEWEST_SPREAD = 5
# Changes at the median place, in standard deviations of the run. From the first on a change is many times the spread;
# with half of it, +4 °C would be warned of where samples differ by 0.8 °C. From the second on, the spread of the new
# climate, or a conversion of units, may show that it is no change of climate.
_FAR, _DOUBTFUL = 10.0, 3.0
# Ratio of standard deviations of both climates from which on a doubtful change is no change of climate, and from which
# on a conversion of units is looked for whatever the change.
_OTHER_SPREAD, _OTHER_UNIT = 2.5, 5.0
# Largest distance at the median place, in standard deviations of the run, at which a converted climate fits, and the
# factor by which it must fit better than as it is. A larger distance would take a warm place for one in other units.
_FITS, _BETTER = 2.0, 5.0
# °C of any place on land. Variables far from these are no temperatures, and twice the rain is no Fahrenheit.
_COLDEST, _WARMEST = -90.0, 60.0


@dataclass(frozen=True)
class _Conversion:
    """A conversion x -> slope x + shift between units, with how a message calls it.

    `celsius` is "from" or "to" where that side must be a temperature in °C.
    """

    slope: float
    shift: float
    name: str
    celsius: str = ""


_CONVERSIONS = (
    _Conversion(10.0, 0.0, "times 10"),
    _Conversion(0.1, 0.0, "divided by 10"),
    _Conversion(100.0, 0.0, "times 100"),
    _Conversion(0.01, 0.0, "divided by 100"),
    _Conversion(1000.0, 0.0, "times 1000"),
    _Conversion(0.001, 0.0, "divided by 1000"),
    _Conversion(25.4, 0.0, "in mm instead of inches"),
    _Conversion(1 / 25.4, 0.0, "in inches instead of mm"),
    _Conversion(86400.0, 0.0, "in mm per day instead of mm per second"),
    _Conversion(1 / 86400.0, 0.0, "in mm per second instead of mm per day"),
    _Conversion(1.0, 273.15, "in kelvin instead of °C", "from"),
    _Conversion(1.0, -273.15, "in °C instead of kelvin", "to"),
    _Conversion(10.0, 2731.5, "in tenths of a kelvin instead of °C", "from"),
    _Conversion(0.1, -273.15, "in °C instead of tenths of a kelvin", "to"),
    _Conversion(1.8, 32.0, "in degrees Fahrenheit instead of °C", "from"),
    _Conversion(1 / 1.8, -32 / 1.8, "in °C instead of degrees Fahrenheit", "to"),
)


@dataclass(frozen=True)
class Climate:
    """Values (m, d) of the variables at some places, and the name of their table."""

    label: str
    values: Floats

    @cached_property
    def standardised(self) -> list[bool]:
        """Return for each variable whether it has mean 0 and standard deviation 1, over ten places or more."""
        return self.find_standardised(_NEARLY)

    def find_standardised(self, most: float) -> list[bool]:
        """Return for each variable whether it is at most `most` from mean 0 and from standard deviation 1."""
        if len(self.values) < _FEWEST_PLACES:
            return [False] * self.values.shape[1]
        means = np.abs(self.values.mean(axis=0))
        deviations = np.min([np.abs(self.values.std(axis=0, ddof=k) - 1) for k in (0, 1)], axis=0)
        found: list[bool] = ((means < most) & (deviations < most)).tolist()
        return found


def warn_of_units(run: Climate, old: Climate | None, new: Climate, variables: Sequence[str]) -> None:
    """Warn if climates are in other units than the variables of the samples, or standardised where these are not.

    Parameters
    ----------
    run : Climate
        Variables of the samples of the run.
    old : Climate or None
        First environment; None if it is that of the run.
    new : Climate
        Second environment, with the places in the same order.
    variables : sequence of str
    """
    measured = [j for j in range(len(variables)) if len(np.unique(run.values[:, j])) > 2]
    first = old or run
    looks_scaled = run.find_standardised(_ROUGHLY)
    told = _warn_of_own_scales(first, new, variables)
    pairs = [(run, old, False)] if old is not None else []
    for reference, climate, is_paired in [*pairs, (first, new, True)]:
        rest = [j for j in measured if j not in told]
        told |= _warn_of_lost_scale(run, climate, rest, variables)
        compared = {
            j: _compare(reference.values[:, j], climate.values[:, j], run.values[:, j], is_paired, looks_scaled[j])
            for j in rest
            if j not in told
        }
        odd = {j: misfit for j, misfit in compared.items() if misfit is not None}
        told |= set(odd)
        _warn_of_odd(looks_scaled, reference, climate, odd, variables)


def _have(items: Sequence[int]) -> str:
    """Return the verb for one variable, or for several."""
    return "has" if len(items) == 1 else "have"


def _warn_of_own_scales(old: Climate, new: Climate, variables: Sequence[str]) -> set[int]:
    """Warn if both environments have mean 0 and standard deviation 1; return the numbers of these variables."""
    both = [j for j in range(len(variables)) if old.standardised[j] and new.standardised[j]]
    if both:
        names = some_of([variables[j] for j in both])
        fact = f"{old.label} and {new.label}: {names} {_have(both)} mean 0 and standard deviation 1 in both"
        remedy = "if each was standardised by itself, the change of the mean is lost: scale both by the first"
        warnings.warn(f"{fact}; {remedy}", InputWarning, stacklevel=5)
    return set(both)


def _warn_of_lost_scale(run: Climate, climate: Climate, rest: Sequence[int], variables: Sequence[str]) -> set[int]:
    """Warn if variables are standardised that are not so in the run; return their numbers."""
    lost = [j for j in rest if climate.standardised[j] and not run.standardised[j]]
    if lost:
        names = some_of([variables[j] for j in lost])
        column = run.values[:, lost[0]]
        fact = f"{climate.label}: {names} {_have(lost)} mean 0 and standard deviation 1"
        other = f"but {column.mean():.4g} and {column.std():.4g} in the run"
        warnings.warn(
            f"{fact}, {other}; give the values in the unit of the run, not standardised", InputWarning, stacklevel=5
        )
    return set(lost)


@dataclass(frozen=True)
class _Misfit:
    """What is odd of one variable: its change in standard deviations of the run, and a conversion that explains it."""

    change: float
    conversion: str


def _compare(
    reference: Floats, values: Floats, samples: Floats, is_paired: bool, is_standardised: bool
) -> _Misfit | None:
    """Compare a variable of a climate with that of a reference; None if it fits.

    Both are at the same places if `is_paired`. Otherwise they are different places, whose climates may truly differ, so
    they are judged by a conversion alone, or by their distance if the run `is_standardised`.
    """
    unit = float(samples.std())
    spreads = (float(reference.std()), float(values.std()))
    # Of a few places, or where one climate is the same everywhere, spreads tell nothing.
    are_spread = min(len(reference), len(values)) >= _FEWEST_SPREAD and min(spreads) > 0
    ratio = spreads[1] / spreads[0] if are_spread else 1.0
    if not is_paired:
        reference, values = np.array([np.median(reference)]), np.array([np.median(values)])
    change = float(np.median(np.abs(values - reference))) / unit
    least = _DOUBTFUL if are_spread and is_paired else _FAR
    is_doubtful = change > least or max(ratio, 1 / ratio) > _OTHER_UNIT
    if is_doubtful and (conversion := _find_conversion(reference, values, unit, ratio if are_spread else None)):
        return _Misfit(change, conversion)
    if is_paired:
        is_odd = change > _FAR or (change > _DOUBTFUL and ratio > _OTHER_SPREAD)
    else:
        is_odd = is_standardised and (change > _FAR or ratio > _OTHER_UNIT)
    return _Misfit(change, "") if is_odd else None


def _find_conversion(reference: Floats, values: Floats, unit: float, ratio: float | None) -> str:
    """Return the conversion after which `reference` is like `values`, in words; empty if there is none.

    `ratio` is that of the standard deviations of both, which a conversion multiplies by its slope; None if unknown.
    """
    best, words = np.inf, ""
    as_is = float(np.median(np.abs(values - reference))) / unit
    for conversion in _CONVERSIONS:
        celsius = {"from": reference, "to": values}.get(conversion.celsius, np.zeros(1))
        if not _COLDEST < np.median(celsius) < _WARMEST:
            continue
        if ratio is not None and not 1 / _OTHER_SPREAD < ratio / conversion.slope < _OTHER_SPREAD:
            continue
        distance = float(np.median(np.abs((values - conversion.shift) / conversion.slope - reference))) / unit
        if distance <= _FITS and _BETTER * distance < as_is and distance < best:
            best, words = distance, conversion.name
    return words


def _warn_of_odd(
    looks_scaled: Sequence[bool],
    reference: Climate,
    climate: Climate,
    odd: dict[int, _Misfit],
    variables: Sequence[str],
) -> None:
    """Warn of the variables that do not fit, by kind: standardised in the run, in another unit, or far."""
    raw = [j for j in odd if looks_scaled[j]]
    units = [j for j in odd if j not in raw and odd[j].conversion]
    far = [j for j in odd if j not in raw and j not in units]
    if raw:
        names = some_of([variables[j] for j in raw])
        medians = ", ".join(f"{np.median(climate.values[:, j]):.4g}" for j in raw[:5])
        fact = f"{climate.label}: {names} {'looks' if len(raw) == 1 else 'look'} standardised in the run"
        other = f"but here the {'median is' if len(raw) == 1 else 'medians are'} {medians}"
        remedy = "standardise by the mean and standard deviation with which the variables of the run were standardised"
        warnings.warn(f"{fact}, {other}; {remedy}", InputWarning, stacklevel=5)
    if units:
        facts = [
            f"{variables[j]} ({np.median(climate.values[:, j]):.4g}) is about that of {reference.label} "
            f"({np.median(reference.values[:, j]):.4g}) {odd[j].conversion}"
            for j in units[:3]
        ]
        fact = f"{climate.label}: at the median place {', '.join(facts)}"
        warnings.warn(f"{fact}; give the values in the units of the run", InputWarning, stacklevel=5)
    if far:
        facts = [f"{variables[j]} changes by {odd[j].change:.3g} standard deviations of the run" for j in far[:3]]
        remedy = "check the units; if they are right, effects are extrapolated far beyond the range of the run"
        warnings.warn(f"{climate.label}: at the median place {', '.join(facts)}; {remedy}", InputWarning, stacklevel=5)
