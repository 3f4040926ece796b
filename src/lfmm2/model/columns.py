"""Columns of the result tables, each declared once: name, type, meaning, tables that have it, and where it comes from.

The model of a test declares its columns (`AssociationTest.columns`). The stores of a run, the tables that are written
and read, the hits and docs/files.md take names, types and meanings from this declaration.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from functools import partial

import numpy as np

from lfmm2._typing import Floats


class Status(IntEnum):
    """The reason why the statistics of a SNP are missing; OK if they are not."""

    OK = 0
    #: All called samples have the same genotype.
    NO_VARIATION = 1
    #: No sample is called.
    ALL_MISSING = 2
    #: Variables and factors explain the SNP to the last digit, so that t would be a ratio of rounding errors.
    PERFECT_FIT = 3


class Tables(Enum):
    """The tables of a run that have a column."""

    ALL = "all"
    #: The table of each variable.
    VARIABLE = "variable"
    #: The table of the joint test of all variables.
    JOINT = "joint"


class Origin(Enum):
    """The step of a run that gives the values of a column."""

    #: The variants of the genotypes.
    VARIANTS = auto()
    #: The model, for each block of the testing pass.
    MODEL = auto()
    #: The tested statistic, by its theoretical null distribution.
    STATISTIC = auto()
    #: The tested statistics of all SNPs together, by calibration.
    CALIBRATION = auto()


@dataclass(frozen=True)
class Column:
    """One column of the result tables.

    Attributes
    ----------
    name : str
        Name in the tables.
    meaning : str
        Meaning, in words, for docs/files.md.
    attribute : str
        Name in Python: an attribute of `AssociationResult`, and of `BlockStatistics` if the model computes the column.
        Empty for the variants, which only tables have.
    tables : Tables
        Tables that have the column. If the model computes it, its shape is (b, d) for `Tables.VARIABLE`, else (b,).
    origin : Origin
        Step of the run that gives the values.
    dtype : {"float64", "int64", "string"}
        Type in the tables.
    labels : tuple of str
        Texts that the tables have in place of the whole numbers 0, 1, ... of the model.
    is_tested : bool
        True if p, q and the local FDR of its table are those of this statistic.
    is_sound : bool
        True if the null distribution and all columns of `Origin.CALIBRATION` are those of this statistic: the tested
        one, but NaN where its theoretical null distribution does not hold. No table has the column.
    is_stand_in : bool
        True if the column has t of the p of another test for SNPs whose sound statistic is NaN. Their p, calibrated p
        and q are those of it, but the null distribution is not fitted to it. No table has the column.
    is_rate : bool
        True if the column is a rate of false discoveries, by which hits can be chosen.
    in_hits : bool
        True if the table of hits repeats the column.
    """

    name: str
    meaning: str
    attribute: str = ""
    tables: Tables = Tables.VARIABLE
    origin: Origin = Origin.MODEL
    dtype: str = "float64"
    labels: tuple[str, ...] = ()
    is_tested: bool = False
    is_sound: bool = False
    is_stand_in: bool = False
    is_rate: bool = False
    in_hits: bool = False

    @property
    def joint_attribute(self) -> str:
        """Return the name in Python of the values of the joint test: f_p and f_q beside p and q."""
        is_derived = self.tables is Tables.ALL and self.origin in (Origin.STATISTIC, Origin.CALIBRATION)
        return f"f_{self.attribute}" if is_derived else self.attribute


@dataclass(frozen=True)
class RowLayout:
    """The order of statistics in stored rows, by their names in Python."""

    names: tuple[str, ...]

    def rows(self, block: object, variable: int | None = None) -> Floats:
        """Return rows (b, n_names), float64, C-contiguous, of a block that has the statistics as attributes.

        Parameters
        ----------
        block : object
            Statistics as arrays (b,), or (b, d) if `variable` is given.
        variable : int, optional
            Number of the variable, from 0.
        """
        values = [getattr(block, name) for name in self.names]
        return np.column_stack([v if variable is None else v[:, variable] for v in values]).astype(
            np.float64, copy=False
        )

    def column(self, rows: Floats, name: str) -> Floats:
        """Return one statistic (b,) as a view of rows (b, n_names)."""
        return rows[:, self.names.index(name)]


class Columns:
    """The columns of a model, in the order of its tables.

    Raises
    ------
    ValueError
        If two have the same name, or a table has no tested statistic or several.
    """

    def __init__(self, columns: Iterable[Column]) -> None:
        every = tuple(columns)
        self._all = tuple(column for column in every if not (column.is_sound or column.is_stand_in))
        self._hidden = tuple(column for column in every if column.is_sound or column.is_stand_in)
        names = [column.name for column in self]
        attributes = [column.attribute for column in self if column.attribute]
        if len({*names}) < len(names) or len({*attributes}) < len(attributes):
            raise ValueError(f"two columns have the same name: {', '.join(names)}; {', '.join(attributes)}")
        self._of_table = {
            joint: tuple(c for c in self if c.tables is not (Tables.VARIABLE if joint else Tables.JOINT))
            for joint in (False, True)
        }
        stored = [column for column in every if column.origin is Origin.MODEL]
        self._layouts = {
            per_variable: RowLayout(tuple(c.attribute for c in stored if (c.tables is Tables.VARIABLE) == per_variable))
            for per_variable in (False, True)
        }
        for joint in (False, True):
            if (n_tested := sum(column.is_tested for column in self.of_table(joint))) != 1:
                raise ValueError(f"a table has {n_tested} tested statistics; declare one")

    def __iter__(self) -> Iterator[Column]:
        return iter(self._all)

    def extended(self, *more: Column) -> Columns:
        """Return these columns with further ones before the last, which is the status."""
        return Columns([*self._hidden, *self._all[:-1], *more, self._all[-1]])

    def of_table(self, joint: bool) -> tuple[Column, ...]:
        """Return the columns of the table of a variable, or of the joint test, in order."""
        return self._of_table[joint]

    def tested(self, joint: bool) -> str:
        """Return the name in Python of the tested statistic of the table of a variable, or of the joint table."""
        return next(column.attribute for column in self.of_table(joint) if column.is_tested)

    def calibrated(self, joint: bool) -> str:
        """Return the name in Python of the statistic that is calibrated: the sound one, or else the tested one."""
        tables = Tables.JOINT if joint else Tables.VARIABLE
        sound = (column.attribute for column in self._hidden if column.is_sound and column.tables is tables)
        return next(sound, self.tested(joint))

    def stand_in(self, joint: bool) -> str | None:
        """Return the name in Python of the statistic that stands in where the sound one is NaN; None without one."""
        tables = Tables.JOINT if joint else Tables.VARIABLE
        others = (column.attribute for column in self._hidden if column.is_stand_in and column.tables is tables)
        return next(others, None)

    def layout(self, per_variable: bool) -> RowLayout:
        """Return the order in stored rows of the statistics per variable, or of those that all variables share."""
        return self._layouts[per_variable]

    def stored(self, attribute: str, common: Floats, rows: Floats | None) -> Floats:
        """Return a statistic (b,) as a view of the rows of a variable, or of the rows that all variables share.

        Parameters
        ----------
        attribute : str
            Name of the statistic in Python.
        common : ndarray
            Statistics that all variables share, in the order of ``layout(per_variable=False)``.
        rows : ndarray or None
            Statistics of the variable, in the order of ``layout(per_variable=True)``; None for the joint test.
        """
        own = self.layout(per_variable=True)
        if rows is not None and attribute in own.names:
            return own.column(rows, attribute)
        return self.layout(per_variable=False).column(common, attribute)

    def with_attribute(self, attribute: str) -> tuple[Column, bool] | None:
        """Return the column with a name in Python, and True if the joint table has it by this name; else None."""
        for column in self:
            joint = column.tables is not Tables.VARIABLE and attribute == column.joint_attribute
            if attribute and (joint or attribute == column.attribute):
                return column, joint
        return None


# Columns of one origin, or of one choice of tables, declared with the parameters that they share.
_variant = partial(Column, tables=Tables.ALL, origin=Origin.VARIANTS, dtype="string", in_hits=True)
_shared = partial(Column, tables=Tables.ALL)
_derived = partial(Column, tables=Tables.ALL, origin=Origin.STATISTIC)
_calibrated = partial(Column, tables=Tables.ALL, origin=Origin.CALIBRATION)
_joint = partial(Column, tables=Tables.JOINT)
_sound = partial(Column, "", is_sound=True)

#: Columns of the least-squares regression on variables and factors.
COLUMNS = Columns(
    [
        _variant("CHROM", "chromosome, as in the .bim"),
        _variant("POS", "position in bases, as in the .bim; 0 for none, as in an array", dtype="int64"),
        _variant("ID", "name of the SNP, as in the .bim"),
        _variant("A1", "the allele that is counted, whose effect is given"),
        _variant("OMITTED", "the other allele"),
        _shared("A1_FREQ", "frequency of A1 among the called samples; missing if the ploidy is not known", "frequency",
                in_hits=True),
        _shared("OBS_CT", "number of samples with a call", "n_called", dtype="int64"),
        Column("BETA", "least-squares effect given the factors, in dosage per unit of the variable", "beta",
               in_hits=True),
        Column("SE", "standard error of BETA", "se", in_hits=True),
        Column("T_STAT", "BETA / SE", "t", is_tested=True),
        _joint("F_STAT", "partial F of all variables given the factors, with (d, df) degrees of freedom", "f_stat",
               is_tested=True),
        _sound("T_STAT where effective carriers are enough", "t_sound"),
        _sound("F_STAT where effective carriers are enough", "f_sound", tables=Tables.JOINT),
        Column("EFF_CARRIERS", "effective carriers: rare alleles that are expected where the variable has its mass; "
               "below `--min-carriers` P_CAL, Q and LFDR are missing, or by `--spa`", "effective_carriers",
               in_hits=True),
        _joint("LEAST_CARRIERS", "the fewest effective carriers over the variables", "least_carriers"),
        _derived("P", "p of the statistic as it is: Student's of T_STAT, two-sided, or that of F_STAT", "p",
                 in_hits=True),
        _derived("NEG_LOG10_P", "−log₁₀ P, which never underflows", "neg_log10_p"),
        _calibrated("P_CAL", "calibrated p (`--calibrate`): by default of T_STAT / √GIF as Student's t, and in the "
                    "joint table of D / GIF as F, with D of the T_STAT of all variables", "p_calibrated"),
        _calibrated("NEG_LOG10_P_CAL", "−log₁₀ P_CAL, which never underflows", "neg_log10_p_calibrated", in_hits=True),
        _calibrated("Q", "Benjamini–Hochberg q of P_CAL", "q", is_rate=True, in_hits=True),
        _calibrated("Q_STOREY", "Storey's q of P_CAL: the share of null SNPs times Q", "q_storey",
                    is_rate=True, in_hits=True),
        _calibrated("LFDR", "local false discovery rate: probability that the SNP is null, given its statistic",
                    "local_fdr", is_rate=True, in_hits=True),
        _joint("MIN_P", "smallest P_CAL over the variables, times their number, at most 1", "min_p",
               origin=Origin.CALIBRATION),
        _joint("MIN_Q", "Benjamini–Hochberg q of MIN_P", "min_q", origin=Origin.CALIBRATION),
        Column("RIDGE_BETA", "ridge effect of Eq. 4, in dosage per unit of the variable", "ridge_beta"),
        _joint("VAR_VARIABLES", "share of the SNP's variance that the variables add to the factors", "var_variables"),
        _joint("VAR_FACTORS", "share of the SNP's variance on factors and covariates", "var_factors"),
        _joint("VAR_RESIDUAL", "share of the SNP's variance that is left", "var_residual"),
        _shared("STATUS", "OK, or why statistics are missing: NO_VARIATION, ALL_MISSING or PERFECT_FIT", "status",
                dtype="string", labels=tuple(status.name for status in Status)),
    ]
)  # fmt: skip

# T of the p by the saddlepoint approximation, which a run with ``spa`` has beside `COLUMNS`.
STAND_IN = Column("", "t of the p by saddlepoint", "t_spa", is_stand_in=True)
#: Columns that a run has beside `COLUMNS` if it tests each variable alone too (``marginal``).
MARGINAL_COLUMNS = (
    Column("T_MARGINAL", "t of this variable without the other ones, given the same factors and nuisance variables",
           "t_marginal", in_hits=True),
    Column("P_MARGINAL", "p of T_MARGINAL as it is, by Student's t with df + d − 1 degrees of freedom, two-sided",
           "p_marginal", in_hits=True),
    Column("NEG_LOG10_P_MARGINAL", "−log₁₀ P_MARGINAL, which never underflows", "neg_log10_p_marginal"),
)  # fmt: skip


def declared_columns(marginal: bool, spa: bool = False) -> Columns:
    """Return the columns of a run, with those of single variables alone and of the saddlepoint test if it has them."""
    more = [*(MARGINAL_COLUMNS if marginal else ()), *([STAND_IN] if spa else [])]
    return COLUMNS.extended(*more) if more else COLUMNS
