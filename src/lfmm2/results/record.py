"""The record of a run: everything that is needed to repeat and to judge it.

The dataclasses here are the only description of ``<out>.lfmm2.json``: `RunRecord.to_json` and `RunRecord.from_json`
follow their fields and types, and the names of the fields are the keys, in this order.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from os import PathLike
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from lfmm2._words import shortened, some_of
from lfmm2.errors import MalformedInputError
from lfmm2.genotypes import PassRecord
from lfmm2.statistics import CalibrationSummary, FlatStretch, SurrogateTail

# Marks a dict whose entries stand in the JSON beside the other fields, without the name of this one.
_INLINE = {"inline": True}


@dataclass(frozen=True)
class InputFile:
    """A file that the run has read; `bytes` is None where it was removed before the run ended."""

    path: str
    bytes: int | None


@dataclass(frozen=True)
class GenotypesUsed:
    """Numbers of samples and SNPs of a genotype source that were used, and what its `describe` returns."""

    n_samples_used: int
    n_snps_used: int
    source: dict[str, Any] = field(metadata=_INLINE)

    @property
    def noun(self) -> str:
        """Return what the columns are called: "feature" if the ploidy is stored as not known, else "SNP"."""
        return "feature" if self.source.get("ploidy", 2) is None else "SNP"


@dataclass(frozen=True)
class FactorFacts:
    """How the factors were estimated.

    Attributes
    ----------
    K : int
        Number of factors with which the tables are made.
    n_estimated : int
        Number of factors that were estimated, and of entries of `singular_values` and `residuals`.
    solver, reason : str
        The solver, and the reason for it.
    n_passes : int
        Passes over the genotypes.
    converged : bool
        True if the residuals reached the tolerance, see `LatentFactors`.
    singular_values : list of float
        Singular values of P Y, decreasing.
    residuals : list of float
        Relative residual of each factor, see `LatentFactors`.
    gap : float
        (s²_K - s²_{K+1}) / s²_K; NaN where no next eigenvalue was seen.
    angle_bound : float
        Upper bound on the sine of the angle between the estimated and the exact span of the factors; infinite, or NaN
        once read from JSON, if there is none.
    """

    K: int
    n_estimated: int
    solver: str
    reason: str
    n_passes: int
    converged: bool
    singular_values: list[float]
    residuals: list[float]
    gap: float
    angle_bound: float


@dataclass(frozen=True)
class CollinearityFacts:
    """How far the other variables of the run explain one, see `lfmm2.pipeline.collinearity`.

    Attributes
    ----------
    vif : float
        Variance inflation factor; of the indicators of a category the generalised one of the category.
    others : list of str
        The few variables that explain it, the most important first; none if it is small.
    correlation : float
        Correlation with the first of them; NaN for a category, or if there is none.
    """

    vif: float
    others: list[str]
    correlation: float

    def describe(self) -> str:
        """Return the factor with what explains it: ``VIF 26, r = 0.980 with rain``."""
        text = f"VIF {self.vif:.3g}"
        if len(self.others) == 1 and math.isfinite(self.correlation):
            return f"{text}, r = {self.correlation:.3f} with {shortened(self.others[0])}"
        return f"{text}, explained by {some_of(self.others)}" if self.others else text


@dataclass(frozen=True)
class StructureFacts:
    """How far a variable follows structure.

    Attributes
    ----------
    r2_factors : float
        R² of the variable on the K factors.
    r2_pcs : float
        R² of the variable on the leading axes of the genotypes, which know nothing of the variables; NaN if unknown.
    n_pcs : int
        Number of these axes.
    """

    r2_factors: float
    r2_pcs: float
    n_pcs: int


@dataclass(frozen=True)
class FilterFacts:
    """Numbers of SNPs to which --maf and --geno were applied, that failed for each reason, and that passed."""

    n_snps: int
    no_call: int
    below_maf: int
    above_geno: int
    n_passed: int


@dataclass(frozen=True)
class SampleFilterFacts:
    """Largest missing rate of --mind, numbers of samples before and after it, and IIDs of those left out."""

    mind: float
    n_samples: int
    n_kept: int
    left_out: list[str]


@dataclass(frozen=True)
class ComparisonFacts:
    """Samples that repeat the genotype of another, and first-degree relatives; ``<out>.samples.tsv`` lists them.

    Attributes
    ----------
    n_samples, n_snps : int
        Numbers of samples and SNPs that were compared.
    mean_difference, repeat_difference : float
        Share of calls at which two samples differ on average, and at which two repeats differ at most; NaN for numbers
        that are no calls of haploids or diploids.
    decided : bool
        False if two samples differ at so few of these SNPs that repeats cannot be told from chance.
    n_groups, n_repeated : int
        Groups of samples with the same genotype, and samples in them beside one of each.
    largest : list of str
        IIDs of the largest group, 20 at most.
    n_first_degree : int
        Pairs of parent and child or full siblings, by KING-robust kinship.
    left_out : list of str
        IIDs of the repeats that --drop-duplicates has left out.
    """

    n_samples: int
    n_snps: int
    mean_difference: float
    repeat_difference: float
    decided: bool
    n_groups: int
    n_repeated: int
    largest: list[str]
    n_first_degree: int
    left_out: list[str]

    @property
    def n_in_use(self) -> int:
        """Number of repeats that the run has used."""
        return 0 if self.left_out else self.n_repeated


@dataclass(frozen=True)
class MissingCallFacts:
    """Missing rates of the samples in use over the SNPs that were tested.

    Attributes
    ----------
    n_snps : int
        Number of these SNPs.
    median, highest : float
        Median and largest rate.
    sample : str
        IID of a sample with the largest rate.
    samples : list of str
        IIDs of the samples with a rate above one half, those with the largest first.
    rates : list of float
        Their rates.
    """

    n_snps: int
    median: float
    highest: float
    sample: str
    samples: list[str]
    rates: list[float]


@dataclass(frozen=True)
class ThinningFacts:
    """Threshold and window of --est-thin or --k-thin, and numbers of SNPs before and after it."""

    r2: float
    window: str
    n_snps: int
    n_kept: int


@dataclass(frozen=True)
class CalibrationFacts:
    """The method of calibration asked for, and the calibration of each test; `joint` is None with one variable."""

    method: str
    variables: dict[str, CalibrationSummary]
    joint: CalibrationSummary | None

    @property
    def tests(self) -> dict[str, CalibrationSummary]:
        """Return the calibrations by table: those of the variables, then "joint" if there is a joint test."""
        return self.variables | ({} if self.joint is None else {"joint": self.joint})


@dataclass(frozen=True)
class CarrierFacts:
    """Tests from which no null distribution is estimated: the SNP has too few effective carriers for the variable.

    Attributes
    ----------
    fewest : float
        Effective carriers from which tests are calibrated (--min-carriers).
    n_few : dict of str to int
        SNPs with a statistic and fewer of them: of each variable, and of "joint" if there is a joint test.
    n_tests : int
        SNPs with a statistic.
    spa : bool
        True if the SNPs of `n_few` of single variables were tested by the saddlepoint approximation.
    unevenness : dict of str to float
        Unevenness of each variable, as far as others and factors leave it: effective carriers are the number of samples
        over this and over the unevenness of the SNP.
    """

    fewest: float
    n_few: dict[str, int]
    n_tests: int
    spa: bool
    unevenness: dict[str, float]


@dataclass(frozen=True)
class JointFacts:
    """The joint test of several variables beside the smallest p over them.

    Attributes
    ----------
    scatter : list of list of float or None
        Scatter of the t of the variables, by which the joint test is calibrated, see `JointScatter`; None if it is
        calibrated by one inflation factor.
    n_sampled : int
        SNPs from which the scatter was estimated.
    n_joint, n_smallest : int
        SNPs with Q and with MIN_Q below 0.05.
    """

    scatter: list[list[float]] | None
    n_sampled: int
    n_joint: int
    n_smallest: int


@dataclass(frozen=True)
class SurrogateFacts:
    """What surrogate variables say of the tails of the tests.

    Attributes
    ----------
    n_surrogates : int
        Surrogates of each kind.
    kinds : list of str
        "samples", and "places" if samples share their values.
    n_snps : int
        SNPs that were tested with them.
    reason : str
        Why they were drawn.
    tails : dict of str to SurrogateTail
        Null distribution of each variable, and of "joint" if there are several.
    """

    n_surrogates: int
    kinds: list[str]
    n_snps: int
    reason: str
    tails: dict[str, SurrogateTail]


@dataclass(frozen=True)
class ScreeFacts:
    """Axes of structure by Tracy-Widom, and the SNPs whose eigenvalues were tested.

    Attributes
    ----------
    n_axes, effective_snps, bulk_edge : int, float, float
        As of `Scree`.
    is_hidden : bool
        True where too few factors were estimated to count the axes.
    n_snps : int
        Number of SNPs that the eigenvalues are of.
    thinning : ThinningFacts or None
        How these SNPs were thinned to suggest K; None if they are those that the factors were estimated from.
    n_axes_unthinned : int or None
        Number of axes of all SNPs that the factors were estimated from; None without this thinning.
    """

    n_axes: int
    effective_snps: float
    bulk_edge: float
    is_hidden: bool
    n_snps: int
    thinning: ThinningFacts | None
    n_axes_unthinned: int | None


@dataclass(frozen=True)
class SweepFacts:
    """What a sweep compared, and what speaks for some of its numbers of factors.

    Attributes
    ----------
    K : list of int
        Numbers of factors.
    suggested : int or None
        The number that the scree suggests; None if it suggests none.
    reason : str
        Reason for the suggestion, in words.
    flat : dict of str to FlatStretch or None
        The numbers over which the GIF of each variable is flat; None if it is flat nowhere.
    penalty : str
        Ridge penalty λ of the run, with which its tables are made, as the sweep table has it.
    penalties : dict of str to float
        Every λ that was compared, ascending, by its text in the sweep table.
    """

    K: list[int]
    suggested: int | None
    reason: str
    flat: dict[str, FlatStretch | None]
    penalty: str
    penalties: dict[str, float]


@dataclass(frozen=True)
class ImputationFacts:
    """Number of held-out calls, and root mean squared errors of their predictions, in dosage.

    `ratio` is `rmse_factors` / `rmse_mean`; `n_left_at_mean` is the number of SNPs whose missing calls could not be
    filled from the factors. See `lfmm2.genotypes.imputation.HeldOutError`.
    """

    method: str
    n_held_out: int
    rmse_mean: float
    rmse_factors: float
    ratio: float
    n_left_at_mean: int


@dataclass(frozen=True)
class WrittenFile:
    """Size and SHA-256 of a file of the results."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class RunRecord:
    """All that is needed to repeat a run and to judge it.

    Attributes
    ----------
    command : str
        Command line, or name of the public function.
    finished : str
        Date and time in ISO 8601, UTC.
    software : dict of str to str
        Versions of lfmm2 and of the software that it uses.
    parameters : dict
        All options by name.
    inputs : list of InputFile
    estimation, tested : GenotypesUsed
        Genotypes from which the factors were estimated, and those that were tested.
    variables, nuisance_variables : list of str
        Names of the variables that were tested, and of the others.
    categories : dict of str to dict of str to int
        Number of samples of each level of each category; the first level is the reference of the indicators.
    collinearity : dict of str to CollinearityFacts
        Variance inflation of each variable by the others; empty where there is one variable alone.
    factors : FactorFacts
    structure : dict of str to StructureFacts
        How far each variable follows structure.
    df : int
        Residual degrees of freedom of t.
    gif : dict of str to float
        Genomic inflation factor of each variable, as in `calibration`.
    n_environments : int
        Number of different rows among the values of the variables.
    comparison : ComparisonFacts or None
        None where pairs of samples were not compared.
    sample_filter, missing_calls : optional
        Samples left out by --mind, and missing rates of the samples in use; None without --mind, or where genotypes do
        not count missing calls by sample.
    filters, thinning, joint, surrogates, scree, sweep, imputation : optional
        None where the run had no such thing.
    calibration : CalibrationFacts
    carriers : CarrierFacts
    discoveries : dict of str to int
        Number of SNPs with Q below 0.05 of each variable.
    status : dict of str to int
        Number of SNPs of each `Status`.
    plan : dict
        The plan of the run, as `lfmm2.pipeline` makes it.
    passes : list of PassRecord
    warnings : list of str
    identity : dict
        Facts that a resumed run must have in common with this one.
    files : dict of str to WrittenFile
        The other files of the results, by name.
    others : dict
        Entries that this version does not know, which are kept as they are.
    """

    command: str
    finished: str
    software: dict[str, str]
    parameters: dict[str, Any]
    inputs: list[InputFile]
    estimation: GenotypesUsed
    tested: GenotypesUsed
    variables: list[str]
    nuisance_variables: list[str]
    categories: dict[str, dict[str, int]]
    collinearity: dict[str, CollinearityFacts]
    factors: FactorFacts
    structure: dict[str, StructureFacts]
    df: int
    gif: dict[str, float]
    n_environments: int
    comparison: ComparisonFacts | None
    sample_filter: SampleFilterFacts | None
    missing_calls: MissingCallFacts | None
    filters: FilterFacts | None
    thinning: ThinningFacts | None
    calibration: CalibrationFacts
    carriers: CarrierFacts
    discoveries: dict[str, int]
    joint: JointFacts | None
    surrogates: SurrogateFacts | None
    scree: ScreeFacts | None
    sweep: SweepFacts | None
    imputation: ImputationFacts | None
    status: dict[str, int]
    plan: dict[str, Any]
    passes: list[PassRecord]
    warnings: list[str]
    identity: dict[str, Any]
    files: dict[str, WrittenFile] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict, metadata=_INLINE)

    def to_json(self) -> dict[str, Any]:
        """Return the record as values of strict JSON: NaN and infinity become null, numbers of NumPy plain numbers."""
        entries: dict[str, Any] = _to_json(self)
        return entries

    @classmethod
    def from_json(cls, entries: dict[str, Any], origin: str | PathLike[str] = "the record") -> RunRecord:
        """Return the record whose `to_json` is `entries`; null in place of a float becomes NaN.

        Raises
        ------
        MalformedInputError
            If an entry is absent or of another type; the message names it, and `origin`.
        """
        try:
            record: RunRecord = from_json(cls, entries, "")
        except ValueError as error:
            raise MalformedInputError(f"{origin}: {error}; no record as lfmm2 writes it, run again") from error
        return record


def _to_json(value: Any) -> Any:
    """Return a dataclass, or any value in one, as values of strict JSON."""
    if is_dataclass(value):
        entries: dict[str, Any] = {}
        for of in fields(value):
            entry = _to_json(getattr(value, of.name))
            entries |= entry if of.metadata == _INLINE else {of.name: entry}
        return entries
    if isinstance(value, dict):
        return {str(name): _to_json(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


# Largest number that is accepted in a record. No run has larger ones, and an integer of JSON may not fit in a double.
_LARGEST_NUMBER = 1e300
# Names of types in messages.
_TYPE_WORDS = {
    str: "text",
    int: "a whole number from 0 on",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "an object",
}


def from_json(kind: Any, value: Any, where: str = "") -> Any:
    """Return a value of JSON as `kind`, the type of a field; raise ValueError with its place `where` if it is not."""
    if kind is Any:
        return value
    if isinstance(kind, UnionType):
        # Every union in these dataclasses is of one type and None.
        return None if value is None else from_json(get_args(kind)[0], value, where)
    if kind is float and value is None:
        return math.nan
    plain = dict if is_dataclass(kind) else get_origin(kind) or kind
    fits = isinstance(value, (int, float) if plain is float else plain) and isinstance(value, bool) == (plain is bool)
    if not fits or (plain is int and value < 0):
        raise ValueError(f"{where} is {shortened(json.dumps(value, ensure_ascii=False))}, not {_TYPE_WORDS[plain]}")
    if plain in (int, float) and not abs(value) <= _LARGEST_NUMBER:
        raise ValueError(f"{where} is {shortened(str(value))}, beyond any that a run has")
    if is_dataclass(kind):
        return _dataclass_of(kind, value, where)
    if plain is list:
        return [from_json(get_args(kind)[0], item, f"{where}[{i}]") for i, item in enumerate(value)]
    if plain is dict:
        return {
            name: from_json(get_args(kind)[1], entry, f"{where}.{shortened(name)}") for name, entry in value.items()
        }
    return value


def _dataclass_of(kind: Any, entries: dict[str, Any], where: str) -> Any:
    """Return an object of JSON as the dataclass `kind`; entries that are not its fields go to its inline field."""
    values, rest = {}, dict(entries)
    for name, of in _named_fields(kind).items():
        inside = f"{where}.{name}" if where else name
        if name not in entries:
            raise ValueError(f"{inside} is absent")
        values[name] = from_json(of, rest.pop(name), inside)
    inline = {of.name: rest for of in fields(kind) if of.metadata == _INLINE}
    return kind(**values, **inline)


@cache
def _named_fields(kind: Any) -> dict[str, Any]:
    """Return the types of the fields that are not inline, by name."""
    types = get_type_hints(kind)
    return {of.name: types[of.name] for of in fields(kind) if of.metadata != _INLINE}
