"""Advice on the inflation of a test and on the number of factors, from what a run has found.

All such sentences of the terminal, the log and the report are made here. A genomic inflation factor (GIF) is judged
with its standard error; then each rule looks at one piece of evidence and gives a sentence, or None where it has
nothing to say. The first rule that speaks is heard, so what is certain comes before what is merely usual. No rule
recommends what the evidence contradicts: more factors where the GIF grows with their number, where no more are
possible, or where the variable follows structure that factors do not see.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from lfmm2._words import visible, with_error, with_spaces
from lfmm2.pipeline.structure import adjusted, is_unseen
from lfmm2.results import StructureFacts
from lfmm2.statistics import CalibrationSummary, Inflation

# Standard errors by which a GIF, or the difference of two, has to exceed a limit. Of 20 blocks, three of them are
# exceeded by chance in 0.4 % of the cases.
_ERRORS = 3.0
# GIF within which the raw p-values are as expected for all that matters.
_NEAR = (0.95, 1.05)
# GIF up to which calibration is enough, and above which it is not to be relied on alone.
_REMOVABLE, _TOO_LARGE = 1.5, 2.0
# GIF of a sweep that would be enough. With a smaller limit sound runs are said to be confounded, with a larger one
# confounding is missed.
_ENOUGH = 1.4
# Adjusted R² of a variable on the factors above which hardly anything is left to test.
_ABSORBED = 0.8

_REMOVED = {
    "student": "some inflation, which the calibration removes",
    "chi2": "some inflation, which the calibration removes",
    "empirical-null": "some inflation, or many effects; the calibration goes by the empirical null instead",
    "none": "some inflation, which nothing removes: --calibrate student or empirical-null would",
}


@dataclass(frozen=True)
class Evidence:
    """What is known about the calibration of one test.

    Attributes
    ----------
    test : CalibrationSummary
    n_factors, most_factors : int
        K of the test, and the largest K that its samples and variables allow.
    n_samples : int
    by_k : dict of int to Inflation
        GIF of the same variable at every K of a sweep for which it is defined; empty without a sweep.
    has_sweep : bool
        True if the run had a sweep, in which the joint test is not.
    n_axes : int, optional
        Number of axes of population structure that stand out in the scree.
    structure : StructureFacts, optional
        How far the variable follows structure; None for the joint test.
    n_repeated : int
        Number of samples that repeat the genotype of another.
    """

    test: CalibrationSummary
    n_factors: int
    most_factors: int
    n_samples: int
    by_k: dict[int, Inflation] = field(default_factory=dict)
    has_sweep: bool = False
    n_axes: int | None = None
    structure: StructureFacts | None = None
    n_repeated: int = 0

    @property
    def shown(self) -> str:
        """The GIF with its standard error, as text."""
        return with_error(self.test.gif, self.test.gif_se)

    @property
    def is_below(self) -> bool:
        """True if the GIF is below 1 by more than chance makes it, and by enough to matter."""
        return self.test.gif < _NEAR[0] and self._errors_above(Inflation(1.0, 0.0)) < -_ERRORS

    def is_above(self, limit: float) -> bool:
        """Return True if the GIF is above a limit by more than chance makes it."""
        return self._errors_above(Inflation(limit, 0.0)) > _ERRORS

    @property
    def has_more_axes(self) -> bool:
        """True if more axes of structure stand out than factors were taken, and more factors are possible."""
        return self.n_factors < min(self.n_axes or 0, self.most_factors)

    @property
    def best_k(self) -> int | None:
        """K of the sweep with the smallest GIF; None without a sweep. K = 0 can be compared, but not be taken."""
        return min((k for k in self.by_k if k > 0), key=lambda k: self.by_k[k].gif, default=None)

    def differs_from(self, k: int) -> bool:
        """Return True if the GIF with k factors differs from that of the test by more than chance makes it."""
        return abs(self._errors_above(self.by_k[k])) > _ERRORS

    def _errors_above(self, other: Inflation) -> float:
        """Return how many standard errors ln GIF lies above that of another; NaN if an error is not known.

        The error of a GIF is in proportion to it, so that one which is small by chance has too small an error. Its
        logarithm does not: it halves the number of false warnings of a GIF below 1.
        """
        if not (self.test.gif > 0 and other.gif > 0):
            return math.nan
        error = math.hypot(self.test.gif_se / self.test.gif, other.se / other.gif)
        return math.log(self.test.gif / other.gif) / error if error > 0 else math.nan


Rule = Callable[[Evidence], str | None]


def calibration_warning(name: str, evidence: Evidence) -> str | None:
    """Return the warning of a GIF that is clearly below 1 or above 2, with the advice of the first rule that speaks."""
    fact = f"{name}: genomic inflation factor {evidence.shown} is"
    if evidence.is_below:
        effect = "" if evidence.test.method in ("none", "empirical-null") else ", so calibration makes p-values smaller"
        return f"{fact} below 1{effect}; {_first(_BELOW, evidence)}"
    if evidence.is_above(_TOO_LARGE):
        return f"{fact} above 2; {_first(_ABOVE, evidence)}"
    return None


def fallback_note(name: str, problem: str | None) -> str:
    """Return the warning that a test has no empirical null, with the reason."""
    return f"{name}: {problem}; calibrated by the genomic inflation factor"


def confounding_notes(structure: dict[str, StructureFacts], K: int, n_samples: int) -> list[str]:
    """Return a sentence for each variable that follows structure which the factors do not see."""
    return [
        f"{visible(name)}: {of.n_pcs} axes of the genotypes explain {of.r2_pcs:.2f} of it, the K = {K} factors "
        f"only {of.r2_factors:.2f}: it follows population structure that the factors do not see, so hits may "
        "be false; compare --lambda 1x, or leave the variable out"
        for name, of in structure.items()
        if is_unseen(of, K, n_samples)
    ]


def meaning_of_gif(evidence: Evidence) -> str:
    """Return what the GIF of a test means, in a few words for a table."""
    test = evidence.test
    if not math.isfinite(test.gif):
        return "not defined"
    if evidence.is_below:
        return f"below 1: the raw tests are too cautious; {_first(_BELOW, evidence)}"
    if _NEAR[0] <= test.gif <= _NEAR[1]:
        return "near 1: the raw p are as expected"
    if test.gif < _NEAR[0] or (test.gif <= _REMOVABLE and not evidence.is_above(1.0)):
        return "1 within its error: the raw p are as expected"
    if test.gif <= _REMOVABLE:
        return f"above 1: {_REMOVED.get(test.method, 'some inflation')}"
    reliance = "do not rely on calibration alone; " if test.gif > _TOO_LARGE and test.method != "none" else ""
    uncalibrated = "; these p are not calibrated" if test.method == "none" else ""
    level = "above 2" if test.gif > _TOO_LARGE else "well above 1"
    return f"{level}: {reliance}{_first(_ABOVE, evidence)}{uncalibrated}"


def _first(rules: tuple[Rule, ...], evidence: Evidence) -> str:
    """Return the sentence of the first rule that has one; the last rule of each list always has."""
    return next(sentence for rule in rules if (sentence := rule(evidence)) is not None)


def repeated_genotypes(evidence: Evidence) -> str | None:
    """Name repeated genotypes: tests take clones for independent samples, and no factor mends that."""
    if evidence.n_repeated == 0:
        return None
    fact = f"{with_spaces(evidence.n_repeated)} samples repeat the genotype of another and count as independent ones"
    return f"{fact}, which no number of factors mends; keep one of each (--drop-duplicates) before K is judged"


def grows_with_k(evidence: Evidence) -> str | None:
    """Recommend fewer factors where the sweep shows that the GIF is smaller with fewer."""
    best = evidence.best_k
    if best is None or not best < evidence.n_factors or not evidence.differs_from(best):
        return None
    smallest = evidence.by_k[best]
    if smallest.gif > evidence.test.gif:
        return None
    grows = f"it grows from {with_error(*smallest)} (K = {best}) to {evidence.shown} (K = {evidence.n_factors})"
    return f"{grows}: take fewer factors{'' if smallest.gif <= _ENOUGH else f'; {_CAUSES} remain at K = {best}'}"


def unseen_structure(evidence: Evidence) -> str | None:
    """Say that the variable follows structure which factors do not see; more of them help only if axes are left."""
    of, K = evidence.structure, evidence.n_factors
    if of is None or not is_unseen(of, K, evidence.n_samples):
        return None
    fact = f"the variable follows structure that the K = {K} factors do not see"
    if not evidence.by_k and evidence.has_more_axes:
        return f"{fact}; compare the GIF by K, {_sweep_to(evidence, evidence.n_axes or 0)}, and --lambda 1x"
    return f"{fact}, and other numbers of factors do not mend that; compare --lambda 1x, or leave the variable out"


def absorbed_by_factors(evidence: Evidence) -> str | None:
    """Say that hardly anything of the variable is left to test, where the factors explain it."""
    of = evidence.structure
    if of is None or not adjusted(of.r2_factors, evidence.n_factors, evidence.n_samples) > _ABSORBED:
        return None
    return (
        f"the factors explain {of.r2_factors:.2f} of the variable, so little is left to test; only samples in which "
        "variable and structure differ can help"
    )


def better_k_of_sweep(evidence: Evidence) -> str | None:
    """Name the K of the sweep with the smallest GIF, where that is clearly smaller and more factors are possible."""
    best = evidence.best_k
    if best is None or not best > evidence.n_factors or not evidence.differs_from(best):
        return None
    smallest = evidence.by_k[best]
    if smallest.gif > _ENOUGH or smallest.gif > evidence.test.gif:
        return None
    return f"structure remains, or effects are many; K = {best} of the sweep has {with_error(*smallest)}"


def sweep_ends_early(evidence: Evidence) -> str | None:
    """Recommend a longer sweep where the GIF still falls at its end, and axes of structure are left."""
    best, n_axes = evidence.best_k, evidence.n_axes
    if best is None or n_axes is None or best != max(evidence.by_k) or not best < min(n_axes, evidence.most_factors):
        return None
    fact = f"no K of the sweep brings it lower than {with_error(*evidence.by_k[best])}"
    return f"{fact}, which ends before the {_count_axes(n_axes)} that exceed chance: sweep further"


_CAUSES = "confounding that the factors do not catch, many causal SNPs, or close relatives"


def flat_over_k(evidence: Evidence) -> str | None:
    """Say that the number of factors is not the cause, where no K of the sweep has a small GIF."""
    best = evidence.best_k
    if best is None:
        return None
    return f"no K of the sweep brings it lower than {with_error(*evidence.by_k[best])}: {_CAUSES}"


def compare_variables(evidence: Evidence) -> str | None:
    """Lead from the joint test, which a sweep does not have, to the variables."""
    return "compare the variables by K in the sweep" if evidence.has_sweep else None


def more_axes_than_factors(evidence: Evidence) -> str | None:
    """Recommend to compare more factors where more axes of structure stand out than factors were taken."""
    n_axes = evidence.n_axes or 0
    if not evidence.has_more_axes:
        return None
    fact = f"K is {evidence.n_factors}, and {_count_axes(n_axes)} exceed chance"
    return f"{fact}: compare K up to there and beyond, {_sweep_to(evidence, n_axes)}"


def largest_k(evidence: Evidence) -> str | None:
    """Recommend fewer factors where no more are possible."""
    if evidence.n_factors < evidence.most_factors or evidence.n_factors == 1:
        return None
    fact = f"K = {evidence.n_factors} is the largest that the samples allow"
    return f"{fact}: compare fewer factors, --sweep 1:{evidence.n_factors}"


def look_by_k(evidence: Evidence) -> str:
    """Recommend a sweep where nothing is known about other numbers of factors."""
    return f"structure remains, or effects are many: compare numbers of factors, {_sweep_to(evidence, 10)}"


def nearer_k_of_sweep(evidence: Evidence) -> str | None:
    """Name the K of the sweep whose GIF is nearest to 1, where that is clearly larger than a GIF below 1."""
    by_k, gif = evidence.by_k, evidence.test.gif
    larger = [k for k in by_k if k > 0 and by_k[k].gif > gif and evidence.differs_from(k)]
    nearest = min(larger, key=lambda k: abs(evidence.by_k[k].gif - 1), default=None)
    if nearest is None:
        return None
    return f"structure that is left widens the residuals; K = {nearest} of the sweep has " + with_error(
        *evidence.by_k[nearest]
    )


def stay_cautious(evidence: Evidence) -> str:
    """Recommend the calibration that is cautious where the GIF is below 1."""
    return "look at the histogram of p-values" + (
        "" if evidence.test.method == "none" else "; --calibrate none is the cautious choice"
    )


def _count_axes(n: int) -> str:
    """Write a number of axes of structure."""
    return "1 axis of structure" if n == 1 else f"{with_spaces(n)} axes of structure"


def _sweep_to(evidence: Evidence, least: int) -> str:
    """Write the option of a sweep that goes beyond the factors of the run, as far as the samples allow."""
    return f"--sweep 1:{min(max(least, 2 * evidence.n_factors), evidence.most_factors)}"


# Rules for a GIF that is too large and for one that is too small, in the order in which they are asked.
_ABOVE: tuple[Rule, ...] = (
    repeated_genotypes, grows_with_k, better_k_of_sweep, unseen_structure, absorbed_by_factors, sweep_ends_early,
    flat_over_k, compare_variables, largest_k, more_axes_than_factors, look_by_k,
)  # fmt: skip
_BELOW: tuple[Rule, ...] = (absorbed_by_factors, nearer_k_of_sweep, more_axes_than_factors, stay_cautious)
