"""False discoveries and power by ridge penalty λ, on the coalescent genomes of `coalescent.py`.

    python bench/lambda.py [SCENARIO ...] [--runs 6] [--genomes FOLDER] [--penalties 1e-5,0.1x,0.3x,1x,3x,10x]

For each data set the Gram matrix is computed once, and the factors with each penalty from it; the last line has as many
genotype PCs, the limit of a large penalty. K is the true number of axes where there is one, else that of the scree with
the smallest penalty: the same for all penalties. Printed are means over
runs: GIF, false discovery proportion (FDP) and power at q < 0.05 (Student-GIF, Benjamini-Hochberg), and the R² of the
environment on the factors. Beside the scenarios of `coalescent.py` there are clones that share an environment: families
and clones whose environment is their own, so that relatives are repetitions of one observation.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import coalescent
import numpy as np
import pandas as pd
from coalescent import SCENARIOS, Drawn, Genomes, Scenario, load_genomes, q_values, score, standardised, with_causal

import lfmm2
from lfmm2.model import (
    KnownGram,
    LatentFactors,
    SolverOptions,
    compute_scree,
    estimate_from_matrix,
    parse_penalties,
    ridge_geometry,
    suggest_factors,
    variance_on_factors,
)

MOST_FACTORS = 20


def sharing_relatives(genomes: Genomes, rng: np.random.Generator) -> Drawn:
    """Return families and clones as in `coalescent.in_families`, with one environment for each family and clone."""
    genomes = coalescent.in_families(genomes, rng).genomes
    # 80 unrelated samples, 10 families of 6, 5 clones of 4.
    family = np.r_[np.arange(80), 80 + np.repeat(np.arange(10), 6), 90 + np.repeat(np.arange(5), 4)]
    of_deme = standardised(rng.standard_normal(genomes.deme.max() + 1)[genomes.deme])
    environment = 0.4 * of_deme + 0.9 * rng.standard_normal(95)[family]
    genomes, causal = with_causal(genomes, environment, rng, 100, 0.6)
    return Drawn(genomes, environment, causal, ~causal)


ALL = SCENARIOS | {"relatives that share": Scenario(coalescent.four_islands, sharing_relatives, 3)}


def t_statistics(Y: np.ndarray, x: np.ndarray, U: np.ndarray) -> tuple[np.ndarray, int]:
    """Return t of x in the regression of each column of Y on [1, U, x], and the degrees of freedom."""
    C = np.column_stack([np.ones(len(x)), U])
    Q = np.linalg.qr(C)[0]
    left, rest = x - Q @ (Q.T @ x), Y - Q @ (Q.T @ Y)
    df = len(x) - C.shape[1] - 1
    squares = left @ left
    slope = left @ rest / squares
    with np.errstate(divide="ignore", invalid="ignore"):
        return slope / np.sqrt(((rest**2).sum(axis=0) - slope**2 * squares) / df / squares), df


def run_once(drawn: Drawn, penalties: str, n_factors: int | None) -> list[dict[str, object]]:
    """Return the scores of a data set, one row for each penalty and one for PCs."""
    Y = drawn.genomes.G - drawn.genomes.G.mean(axis=0)
    x = standardised(drawn.environment)
    n = len(x)
    known, most = KnownGram(Y @ Y.T, Y.shape[1]), min(MOST_FACTORS, n // 3)
    ridge = ridge_geometry(x[:, None], 1e-5, standardize=True)
    fits: dict[str, LatentFactors] = {
        penalty.text: estimate_from_matrix(known, ridge.with_penalty(penalty.value), most, SolverOptions("exact"))
        for penalty in parse_penalties(penalties, n, standardize=True)
    }
    first = next(iter(fits.values()))
    K = n_factors or max(suggest_factors(compute_scree(first.spectrum), tuple(range(1, most + 1)))[0] or 1, 1)
    rows = []
    for text, factors in fits.items():
        rows.append(
            {"λ": text, "R²": variance_on_factors(ridge, factors, 1)[K, 0]} | scores(drawn, Y, x, factors.U[:, :K])
        )
    axes = np.linalg.eigh(known.C)[1][:, ::-1][:, :K]
    rows.append({"λ": "PCs", "R²": ((axes.T @ x) ** 2).sum() / (x @ x)} | scores(drawn, Y, x, axes))
    return [{"K": K} | row for row in rows]


def scores(drawn: Drawn, Y: np.ndarray, x: np.ndarray, U: np.ndarray) -> dict[str, float]:
    """Return GIF, FDP and power with these factors."""
    t, df = t_statistics(Y, x, U)
    of_q = score(q_values(t, df, "student"), drawn)
    gif = float(np.nanmedian(t[drawn.null] ** 2) / 0.4549364231195724)
    found = {name: of_q[name] for name in ("FDP 0.05", "power 0.05")}
    return {"GIF of null SNPs": gif, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"beginning of one of: {'; '.join(ALL)}")
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--genomes", type=Path, help="folder in which simulated genomes are kept")
    parser.add_argument("--factors", type=int, help="K of all data sets, in place of the true number of axes")
    parser.add_argument("--penalties", default="1e-5,0.1x,0.3x,1x,3x,10x")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", lfmm2.LfmmWarning)
    with tempfile.TemporaryDirectory() as name:
        folder = arguments.genomes or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        for title, scenario in ALL.items():
            if arguments.scenarios and not any(title.startswith(start) for start in arguments.scenarios):
                continue
            rows = []
            for number in range(arguments.runs):
                seed, repeat = number % coalescent.N_GENOMES + 1, number // coalescent.N_GENOMES
                rng = np.random.default_rng([seed, repeat])
                genomes = load_genomes(scenario.simulate, seed, folder)
                drawn = scenario.draw(genomes, rng, **scenario.how)
                rows += run_once(drawn, arguments.penalties, arguments.factors or scenario.n_axes)
            means = pd.DataFrame(rows).groupby("λ", sort=False).mean().round(3)
            print(f"{title}\n{means.to_string()}\n", flush=True)


if __name__ == "__main__":
    main()
