"""The genetic offset of places as a value: in Python, as a table and in lines for people."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lfmm2._typing import AnyPath, Floats
from lfmm2._words import counted, with_spaces
from lfmm2.downstream.offset_sums import FEWEST_STRETCHES, N_STRETCHES
from lfmm2.files import OutputSet, manifest_of, open_table

OFFSET_SCHEMA = pa.schema(
    [
        ("ID", pa.string()),
        ("GENETIC_GAP", pa.float64()),
        ("RONA", pa.float64()),
        ("GAP_LOW", pa.float64()),
        ("GAP_HIGH", pa.float64()),
        ("OUTSIDE", pa.string()),
    ]
)


@dataclass(frozen=True)
class OffsetResult:
    """Genetic offset of m places.

    Attributes
    ----------
    ids : tuple of str
        The places, in the order of the first environment.
    variables : tuple of str
    gap, rona : ndarray of shape (m,), float64
        Genetic gap in squared dosage, and RONA in dosage; NaN where a value is missing in both environments. For units
        of allele frequency divide by 4 and by 2; genotypes of another ploidy by its square and by it.
    gap_low, gap_high : ndarray of shape (m,), float64
        Ends of the 95 % interval of `gap`, from a bootstrap over stretches of the genome; NaN if too few have loci.
    outside : ndarray of shape (m, d), bool
        True where the new value of a variable lies outside its range over the samples of the run.
    parts : ndarray of shape (m, d), float64
        Part of each variable in `gap`, δ_j (δ M)_j with M = `moments`; negative if its change counteracts those of
        others.
    loci : str
        How they were chosen, to be read after their number; empty for all SNPs.
    n_loci : int
        Loci averaged over, L.
    n_without_effect : int
        Chosen loci that are left out because they have no effect (STATUS is not OK).
    moments : ndarray of shape (d, d), float64
        Matrix of the gap: BᵀB / L, minus `noise` if that is subtracted.
    noise : ndarray of shape (d, d), float64
        Mean sampling covariance of the effects of the loci.
    subtracted : bool
        True if `noise` is subtracted from the gap.
    noise_share : float
        Share of the mean gap, before the subtraction, that is due to `noise`; NaN if nothing changes.
    rona_of_noise : ndarray of shape (m,), float64
        RONA that effects without any truth in them would have, by their sampling noise alone.
    covariance : ndarray of shape (d, d), float64
        Covariance of the effects over loci, with denominator L − 1 as in LEA, minus `noise` if that is subtracted; with
        `scale`, for variables in standard deviations. NaN for one locus, or for one place with `scale`.
    eigenvalues, eigenvectors : ndarray of shape (d,) and (d, d), float64
        Eigenvalues of `covariance`, largest first, and eigenvectors in columns, with their largest element positive.
        They show which combination of variables matters. Without `scale` they depend on the units.
    common : str or None
        The one row of the new environments that stands for all places, such as a common garden; None if each has its
        own.
    paths : dict of str to Path
        Path of the file by the name "offset"; empty without `out`.
    """

    ids: tuple[str, ...]
    variables: tuple[str, ...]
    gap: Floats
    rona: Floats
    gap_low: Floats
    gap_high: Floats
    outside: NDArray[np.bool_]
    parts: Floats
    loci: str
    n_loci: int
    n_without_effect: int
    moments: Floats
    noise: Floats
    subtracted: bool
    noise_share: float
    rona_of_noise: Floats
    covariance: Floats
    eigenvalues: Floats
    eigenvectors: Floats
    common: str | None
    paths: dict[str, Path]

    def __repr__(self) -> str:
        n_loci = f"{with_spaces(self.n_loci)} {'locus' if self.n_loci == 1 else 'loci'}"
        return f"<OffsetResult: {counted(len(self.ids), 'place')}, {n_loci}, mean gap {np.nanmean(self.gap):.3g}>"

    def table(self) -> pa.Table:
        """Return the table of ID, GENETIC_GAP, RONA, GAP_LOW, GAP_HIGH and OUTSIDE, one row per place."""
        flags = zip(self.gap.tolist(), self.outside.tolist(), strict=True)
        outside = [None if np.isnan(gap) else self._name_outside(row) for gap, row in flags]
        numbers = (self.gap, self.rona, self.gap_low, self.gap_high)
        arrays = [pa.array(self.ids, pa.string()), *map(pa.array, numbers), pa.array(outside, pa.string())]
        return pa.table(arrays, schema=OFFSET_SCHEMA)

    def _name_outside(self, flags: list[bool]) -> str:
        """Name the variables with a flag; a point if there are none, which programs that split at blanks can read."""
        return ",".join(name for name, flag in zip(self.variables, flags, strict=True) if flag) or "."

    def summary(self) -> dict[str, str]:
        """Return lines for the terminal, by name."""
        lines = {"loci": f"{with_spaces(self.n_loci)}{self.loci}, mean effects of {', '.join(self.variables)}"}
        if self.n_without_effect:
            lines["without effect"] = f"{with_spaces(self.n_without_effect)}, left out"
        lines |= self._describe_noise() | self._describe_places() | self._describe_gap()
        if np.isfinite(self.eigenvalues).all():
            lines["eigenvalues"] = " ".join(f"{value:.4g}" for value in self.eigenvalues)
            # The sum with 0.0 turns -0.0 into 0.0, so that no -0.00 is shown.
            weights = zip(self.variables, self.eigenvectors[:, 0].round(2) + 0.0, strict=True)
            lines["first axis"] = ", ".join(f"{name} {weight:+.2f}" for name, weight in weights)
        return lines | {f"{name} file": str(path) for name, path in self.paths.items()}

    def _describe_noise(self) -> dict[str, str]:
        """Say how much of the gap is sampling noise; nothing if nothing changes."""
        if np.isnan(self.noise_share):
            return {}
        share = f"{min(100 * self.noise_share, 100):.0f} % of the mean gap"
        if self.subtracted:
            return {"noise": f"{share} was sampling noise of the effects, and is subtracted; RONA includes it"}
        return {"noise": f"{share} is sampling noise of the effects"}

    def _describe_places(self) -> dict[str, str]:
        """Say how many places there are, lack values, or come to lie outside the climates of the run."""
        n = len(self.ids)
        lines = {"places": with_spaces(n)}
        if self.common is not None:
            lines["new environment"] = f"one row ({self.common}) stands for all places"
        if n_missing := int(np.isnan(self.gap).sum()):
            lines["without values"] = f"{counted(n_missing, 'place')}, missing in both environments; the offset is NA"
        if n_outside := int(self.outside.any(axis=1).sum()):
            each = zip(self.variables, self.outside.sum(axis=0).tolist(), strict=True)
            names = ", ".join(f"{name} {with_spaces(number)}" for name, number in each if number)
            which = f"{with_spaces(n_outside)} of {counted(n, 'place')}"
            lines["outside the run"] = f"new values of {which} ({names}); effects are extrapolated there"
        return lines

    def _describe_gap(self) -> dict[str, str]:
        """Give the range of gap and RONA, and the interval of the largest gap."""
        gap, rona = (_describe_range(values) for values in (self.gap, self.rona))
        largest = int(np.nanargmax(self.gap))
        lines = {"genetic gap": f"{gap}, largest at {self.ids[largest]}" if " to " in gap else gap}
        if self.subtracted and (n_zero := int((self.gap == 0).sum())):
            lines["no gap"] = f"{counted(n_zero, 'place')}, where the effects predict no more than noise does"
        low, high = self.gap_low[largest], self.gap_high[largest]
        if np.isnan(low):
            fact = f"fewer than {FEWEST_STRETCHES} of {N_STRETCHES} parts of the genome have loci"
            lines["interval"] = f"none, because {fact}"
        elif self.gap[largest] > 0:
            lines["interval"] = f"{low:.4g} to {high:.4g} at {self.ids[largest]} (95 %, bootstrap over the genome)"
        lines["RONA"] = rona
        if self.subtracted:
            lines["RONA of noise"] = _describe_range(self.rona_of_noise)
        return lines


def _describe_range(values: Floats) -> str:
    """Write the smallest and the largest value, or one number if both are written alike."""
    low, high = f"{np.nanmin(values):.4g}", f"{np.nanmax(values):.4g}"
    return low if low == high else f"{low} to {high}"


def write_offset(out: AnyPath, path: Path, result: OffsetResult, overwrite: bool) -> None:
    """Write the table of an offset as TSV; the file appears complete or not at all."""
    with (
        OutputSet(overwrite) as outputs,
        open_table(outputs.open(path, manifest_of(out, "offset")), OFFSET_SCHEMA, "tsv") as writer,
    ):
        writer.write(result.table())
