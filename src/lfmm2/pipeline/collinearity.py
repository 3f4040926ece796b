"""Variance inflation factors: how much of each variable the other variables of a run explain.

    VIF_j = 1 / (1 − R²_j),   R²_j of variable j on all other variables and nuisance variables

The variance of the effect of variable j is VIF_j times that of the variable alone with the same residuals. The
indicators of one category are not compared with each other, which would depend on the level that is the reference: all
of them have the generalised VIF of the category, to the power of one over their number.

References
----------
Fox and Monette 1992 (J. Am. Stat. Assoc. 87:178), the generalised VIF.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from lfmm2._typing import Floats
from lfmm2._words import counted, shortened
from lfmm2.errors import InputWarning
from lfmm2.pipeline.inputs import AlignedVariables
from lfmm2.results import CollinearityFacts

# VIF above which the run warns: R² is then above 0.8, and t of a variable less than half of what it is alone. With a
# smaller limit most sets of climate variables would be warned of, with a larger one a variable may lose its hits
# without a word.
MOST_INFLATED = 5.0
# Variables that a warning names; the log has all of them.
_MOST_NAMED = 3
# Variables that are sought to explain one. More are no explanation, and the time grows with their square.
_MOST_PARTNERS = 10


def describe_collinearity(variables: AlignedVariables, X: Floats) -> dict[str, CollinearityFacts]:
    """Return the facts of each variable that is tested; empty if there is but one variable, or one category.

    Parameters
    ----------
    variables : AlignedVariables
    X : ndarray of shape (n_samples, d + c), float64
        Centred variables and nuisance variables of the samples in use, in the order of `variables`.
    """
    names = [*variables.names, *variables.nuisance_names]
    groups = _groups(variables.names, variables.categories)
    if len(groups[0]) == len(names):
        return {}
    R = np.linalg.qr(X / np.linalg.norm(X, axis=0))[1]  # (d + c, d + c)
    facts: dict[str, CollinearityFacts] = {}
    for group in groups:
        columns = [names.index(name) for name in group]
        others = [j for j in range(len(names)) if j not in columns]
        vif = inflation(R, columns, others)
        partners = _find_partners(R, columns, others, vif) if vif > MOST_INFLATED else []
        r = float(R[:, columns[0]] @ R[:, partners[0]]) if partners and len(group) == 1 else np.nan
        facts |= dict.fromkeys(group, CollinearityFacts(vif, [names[j] for j in partners], r))
    return {name: facts[name] for name in variables.names}


def _groups(names: Sequence[str], categories: Mapping[str, Mapping[str, int]]) -> list[list[str]]:
    """Return the names of the variables that are tested, the indicators of a category together."""
    category_of = {f"{name}={level}": name for name, levels in categories.items() for level in levels}
    groups: dict[tuple[bool, str], list[str]] = {}
    for name in names:
        groups.setdefault((name in category_of, category_of.get(name, name)), []).append(name)
    return list(groups.values())


def inflation(R: Floats, columns: Sequence[int], others: Sequence[int]) -> float:
    """Return the variance inflation factor of some columns of R, together, given other columns.

    Of one column it is 1 / (1 − R²); of several the geometric mean of 1 / (1 − ρ²) over their canonical correlations ρ
    with the others. 1 − ρ² comes from what the others leave of the columns, so it keeps its digits where ρ is near 1.
    """
    left = np.linalg.qr(R[:, columns])[0]  # (D, g)
    basis = np.linalg.qr(R[:, others])[0]
    for _ in range(2):  # The second projection removes the rounding errors of the first.
        left = left - basis @ (basis.T @ left)
    sines = np.linalg.svd(left, compute_uv=False)
    return float(np.exp(-2 * np.mean(np.log(sines)))) if sines.all() else np.inf


def _find_partners(R: Floats, columns: Sequence[int], others: Sequence[int], vif: float) -> list[int]:
    """Return the few other columns that explain at least half of a variance inflation, the most important first.

    Columns are added one by one, each the one that explains most, up to `_MOST_PARTNERS`. Those that are not needed
    once all are there are dropped: of x = a + b, the first that is added may be a third one that resembles x.
    """
    target = np.linalg.qr(R[:, columns])[0]  # (D, g)
    left, candidates, chosen = R.copy(), list(others), list[int]()
    while candidates and len(chosen) < _MOST_PARTNERS and (not chosen or inflation(R, columns, chosen) < vif / 2):
        lengths = np.linalg.norm(left[:, candidates], axis=0)
        # A column that the chosen ones explain to the last digits is rounding error, and adds nothing.
        lengths[lengths < 1e-9] = np.inf
        explained = ((target.T @ left[:, candidates] / lengths) ** 2).sum(axis=0)
        best = candidates.pop(int(np.argmax(explained)))
        chosen.append(best)
        along = left[:, best] / np.linalg.norm(left[:, best])
        left -= np.outer(along, along @ left)
        target -= np.outer(along, along @ target)
    while len(chosen) > 1:
        without = {j: inflation(R, columns, [k for k in chosen if k != j]) for j in chosen}
        least = max(chosen, key=lambda j: without[j])
        if without[least] < vif / 2:
            break
        chosen.remove(least)
    return chosen


def warn_of_collinearity(facts: Mapping[str, CollinearityFacts], nuisance: Sequence[str], marginal: bool) -> None:
    """Warn of variables that the others explain so far that hardly anything of them is left to test."""
    inflated = sorted((name for name in facts if facts[name].vif > MOST_INFLATED), key=lambda name: -facts[name].vif)
    if not inflated:
        return
    worst = facts[inflated[0]].vif
    # Two variables that are each explained by the other are one case, and named once.
    cases = [name for i, name in enumerate(inflated) if not any(_are_a_pair(facts, name, b) for b in inflated[:i])]
    shown = "; ".join(f"{shortened(name)}: {facts[name].describe()}" for name in cases[:_MOST_NAMED])
    more = f"; and {len(cases) - _MOST_NAMED} more" if len(cases) > _MOST_NAMED else ""
    what = f"{counted(len(inflated), 'variable')} with a variance inflation factor (VIF) above {MOST_INFLATED:g}"
    effect = (
        f"standard errors are up to {np.sqrt(worst):.2g} times those of a variable alone, and an association that "
        "correlated variables share may be found for none of them"
    )
    partners = {partner for name in inflated for partner in facts[name].others}
    if partners <= {*nuisance}:
        remedy = "leave out these nuisance variables, or the variables that follow them"
    else:
        alone = "see T_MARGINAL for each of them alone" if marginal else "test each also alone (--marginal)"
        remedy = f"keep one of those that belong together, or their principal components; or {alone}"
    warnings.warn(f"{what} ({shown}{more}): {effect}; {remedy}", InputWarning, stacklevel=3)


def _are_a_pair(facts: Mapping[str, CollinearityFacts], first: str, second: str) -> bool:
    """Return True if each of two variables is explained by the other alone."""
    return facts[first].others == [second] and second in facts and facts[second].others == [first]
