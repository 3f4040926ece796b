"""The stage of the surrogate variables: how heavy the tails of the tests are where variables follow structure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lfmm2._typing import Floats, Ints
from lfmm2.errors import DegenerateProblemError
from lfmm2.genotypes import Engine
from lfmm2.model import (
    AssociationModel,
    KnownGram,
    SolverOptions,
    draw_surrogates,
    estimate_from_matrix,
    find_places,
    n_surrogate_snps,
    ridge_geometry,
    surrogate_statistics,
)
from lfmm2.pipeline.checkpoints import Checkpoints
from lfmm2.pipeline.preparation import RunInputs
from lfmm2.pipeline.resumable_matrix import ResumableMatrix
from lfmm2.pipeline.structure import adjusted
from lfmm2.results import StructureFacts, SurrogateFacts
from lfmm2.statistics import SurrogateTail, joint_squares, tail_of_surrogates

# Adjusted R² of a variable on the axes of the genotypes, of one variable and of several, or GIF from which surrogates
# are worth their time. A mixture of several variables follows structure more than each of them.
_FOLLOWS, _SEVERAL_FOLLOW, _INFLATED = 0.5, 0.3, 1.4
# Names of the kinds of surrogates.
OF_SAMPLES, OF_PLACES = "samples", "places"


@dataclass(frozen=True)
class SurrogateNull:
    """What the surrogates say of the null distributions.

    Attributes
    ----------
    tails : list of SurrogateTail
        Of each variable, and then of the joint test if there are several.
    facts : SurrogateFacts
    """

    tails: list[SurrogateTail]
    facts: SurrogateFacts

    def tail_df(self, variable: int | None) -> float:
        """Return ν of a variable, or of the joint test if None."""
        return self.tails[-1 if variable is None else variable].tail_df


def find_cause(structure: dict[str, StructureFacts], gifs: Floats, n_samples: int) -> str:
    """Return why surrogates are worth their time, in words; empty if they are not."""
    for name, gif in zip(structure, gifs.tolist(), strict=True):
        if gif >= _INFLATED:
            return f"the GIF of {name} is {gif:.2f}"
    limit = _FOLLOWS if len(structure) == 1 else _SEVERAL_FOLLOW
    for name, of in structure.items():
        if adjusted(of.r2_pcs, of.n_pcs, n_samples) >= limit:
            return f"{of.n_pcs} axes of the genotypes explain {of.r2_pcs:.2f} of {name}"
    return ""


def draw_null(
    inputs: RunInputs,
    estimation: Ints | None,
    tested: Ints | None,
    K: int,
    n_surrogates: int,
    reason: str,
    engines: tuple[Engine, Engine],
    checkpoints: Checkpoints,
) -> SurrogateNull | None:
    """Draw surrogates, fit their factors with the K and λ of the run, and test SNPs with them.

    None is returned if no surrogate can be tested.

    Parameters
    ----------
    inputs : RunInputs
    estimation, tested : ndarray of int64, optional
        Positions of the SNPs for the factors, and of those to test; None for all.
    K, n_surrogates : int
    reason : str
        Why they are drawn, in words.
    engines : tuple of Engine
        Engines of the pass for the Gram matrix, and of the pass of tests.
    checkpoints : Checkpoints
    """
    d = len(inputs.variables.names)
    kinds = _fit_models(inputs, estimation, K, n_surrogates, engines[0], checkpoints)
    models = [model for of_kind in kinds.values() for model in of_kind]
    if not models:
        return None
    n_snps = inputs.tested_source.n_snps if tested is None else len(tested)
    step = -(-n_snps // n_surrogate_snps(n_snps, len(models), d))
    chosen = tested if step == 1 else (np.arange(n_snps) if tested is None else tested)[::step]
    matrix = inputs.tested_matrix(chosen, engines[1])
    blocks = list(surrogate_statistics(matrix, models, "surrogates: tests"))
    t, f = (np.concatenate(parts) for parts in zip(*blocks, strict=True))  # (m, s, d), (m, s)
    df, first, of_kinds = models[0].df, 0, []
    for of_kind in kinds.values():
        of_kinds.append(range(first, first + len(of_kind)))
        first += len(of_kind)
    tails = [tail_of_surrogates([[t[:, s, j] ** 2 for s in of] for of in of_kinds], 1, df) for j in range(d)]
    if d > 1:
        squares = [joint_squares(t[:, s], f[:, s]) for s in range(len(models))]
        tails.append(tail_of_surrogates([[squares[s] for s in of] for of in of_kinds], d, df))
    names = [*inputs.variables.names, *(["joint"] if d > 1 else [])]
    facts = SurrogateFacts(
        n_surrogates, list(kinds), len(t), reason, dict(zip(names, tails, strict=True)),
    )  # fmt: skip
    return SurrogateNull(tails, facts)


def _fit_models(
    inputs: RunInputs, estimation: Ints | None, K: int, n_surrogates: int, engine: Engine, checkpoints: Checkpoints
) -> dict[str, list[AssociationModel]]:
    """Return the models of the surrogates of each kind, with factors that were fitted beside them."""
    ridge, d, test = inputs.ridge, len(inputs.variables.names), inputs.options.test
    matrix = ResumableMatrix(inputs.estimation_matrix(estimation, engine), engine, checkpoints)
    C = matrix.gram("surrogates: Gram matrix")
    gram = KnownGram(C, matrix.n_snps, engine.n_threads)
    X, nuisance = ridge.X[:, :d], ridge.X[:, d:]
    kinds: dict[str, Ints | None] = {OF_SAMPLES: None}
    if (places := find_places(X)) is not None:
        kinds[OF_PLACES] = places
    options = SolverOptions(solver="exact")
    models: dict[str, list[AssociationModel]] = {}
    for number, (kind, of_samples) in enumerate(kinds.items()):
        models[kind] = []
        seeds = np.random.SeedSequence([inputs.options.seed, number])
        for drawn in draw_surrogates(C, X, n_surrogates, int(seeds.generate_state(1)[0]), of_samples):
            # λ of the geometry is a number already, also where the option is a multiple such as 1x.
            of_drawn = ridge_geometry(np.hstack([drawn, nuisance]), ridge.lambda_, ridge.standardized)
            try:
                factors = estimate_from_matrix(gram, of_drawn, K, options)
                models[kind].append(AssociationModel(of_drawn, factors, d, test.df))
            except DegenerateProblemError:
                continue  # With few places a surrogate may lie in the span of its factors, so that it cannot be tested.
    return {kind: of_kind for kind, of_kind in models.items() if of_kind}
