"""The number of factors that the scree suggests, and the reason in words."""

from __future__ import annotations

from collections.abc import Sequence

from lfmm2.errors import UsageError
from lfmm2.model.scree import LEVEL, Scree

__all__ = ["suggest_factors"]


def suggest_factors(scree: Scree | None, candidates: Sequence[int]) -> tuple[int | None, str]:
    """Choose the number of factors by the scree, and give the reason.

    Parameters
    ----------
    scree : Scree or None
        None if the factors were given without a spectrum.
    candidates : sequence of int
        Numbers of factors to choose from.

    Returns
    -------
    n_factors : int or None
        The number of axes; if it is no candidate, the next larger candidate, or else the largest: one factor too many
        costs a degree of freedom, one too few leaves structure in the tests. None if no axis could be tested.
    reason : str

    Raises
    ------
    UsageError
        If there are no candidates.
    """
    if not candidates:
        raise UsageError("no candidates; give at least one number of factors")
    candidates = sorted(candidates)
    if scree is None or scree.n_tested == 0:
        return None, "the eigenvalues are not known" if scree is None else "no eigenvalue could be tested"
    if scree.is_hidden:
        fact = f"K = {candidates[-1]} is the end of the range: too few factors to say, strong axes are left beyond them"
        return candidates[-1], f"{fact}; sweep further"
    fact = _describe_axes(scree)
    K = next((k for k in candidates if k >= scree.n_axes), candidates[-1])
    if scree.n_axes < K:
        which = "the smallest" if candidates[0] == K else "the next"
        fact += f"; K = {K} is {which} candidate"
    elif scree.n_axes > K:
        axes = "1 axis exceeds" if scree.n_axes == 1 else f"{scree.n_axes} axes exceed"
        return K, f"K = {K} is the end of the range: {axes} the bulk of the eigenvalues ({_AT_LEVEL}); sweep further"
    return K, fact


_AT_LEVEL = f"Tracy-Widom p < {LEVEL:g}"


def _describe_axes(scree: Scree) -> str:
    """Return in words how many axes exceed the bulk, and the p of the next one."""
    n = scree.n_axes
    axes = {0: "no axis exceeds", 1: "1 axis exceeds"}.get(n, f"{n} axes exceed")
    found = f"{axes} the bulk of the eigenvalues ({_AT_LEVEL})"
    if n == scree.n_tested:
        return f"{found}, all that were tested: there may be more"
    return f"{found}; axis {n + 1} has p = {scree.tw_p[n]:.2g}"
