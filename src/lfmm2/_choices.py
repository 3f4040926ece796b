"""The words that options take, each set as a type for signatures and as a tuple for checks and help."""

from __future__ import annotations

from typing import Literal, get_args

Solver = Literal["auto", "exact", "krylov", "power"]
Scale = Literal["hwe"]
DegreesOfFreedom = Literal["paper", "intercept"]
Calibration = Literal["student", "chi2", "empirical-null", "none"]
Imputation = Literal["mean", "factors"]
Missing = Literal["error", "drop", "mean"]
DecimalMark = Literal[".", ","]
Allele = Literal["a2", "a1"]
DosageField = Literal["DS", "GP"]
Side = Literal["rows", "columns"]
TableFormat = Literal["parquet", "tsv", "tsv.gz", "tsv.zst"]
DiscoveryRate = Literal["q", "q_storey", "lfdr"]
Effects = Literal["ridge", "ols"]
OffsetNoise = Literal["auto", "keep", "subtract"]

SOLVERS: tuple[Solver, ...] = get_args(Solver)
SCALES: tuple[Scale, ...] = get_args(Scale)
DEGREES_OF_FREEDOM: tuple[DegreesOfFreedom, ...] = get_args(DegreesOfFreedom)
CALIBRATIONS: tuple[Calibration, ...] = get_args(Calibration)
IMPUTATIONS: tuple[Imputation, ...] = get_args(Imputation)
MISSING: tuple[Missing, ...] = get_args(Missing)
DECIMAL_MARKS: tuple[DecimalMark, ...] = get_args(DecimalMark)
ALLELES: tuple[Allele, ...] = get_args(Allele)
DOSAGE_FIELDS: tuple[DosageField, ...] = get_args(DosageField)
SIDES: tuple[Side, ...] = get_args(Side)
TABLE_FORMATS: tuple[TableFormat, ...] = get_args(TableFormat)
DISCOVERY_RATES: tuple[DiscoveryRate, ...] = get_args(DiscoveryRate)
EFFECTS: tuple[Effects, ...] = get_args(Effects)
NOISES: tuple[OffsetNoise, ...] = get_args(OffsetNoise)

#: End of the message that refuses a word not in `CALIBRATIONS`, with the name that one of them had before.
CALIBRATIONS_RULE = f"it is one of {', '.join(CALIBRATIONS)}; what was 'gif' is 'chi2' now"
#: End of the message that refuses a word not in `DEGREES_OF_FREEDOM`, with what the two words stand for.
DEGREES_OF_FREEDOM_RULE = "it is 'paper' (n - d - K) or 'intercept' (n - 1 - d - K)"
