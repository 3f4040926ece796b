"""How far the unit of a variable moves t with and without standardisation of the variables.

    python bench/units.py

120 simulated samples, 1 500 SNPs, two variables with one standard deviation, K = 3, the default λ.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import numpy as np

import lfmm2


def main() -> None:
    warnings.simplefilter("ignore", lfmm2.LfmmWarning)
    with tempfile.TemporaryDirectory() as folder:
        data = lfmm2.simulate(Path(folder) / "d", n_samples=120, n_snps=1500, seed=1)

        def t(sd: float, standardize: bool) -> np.ndarray:
            X = sd * data.variables / data.variables.std(axis=0)
            return lfmm2.run(None, data.bed, X, 3, solver="exact", standardize=standardize).t

        expected = t(1.0, standardize=True)
        print("largest difference of t from that at standard deviation 1")
        print("standard deviation  standardised  as given")
        for sd in (10.0, 1.0, 0.1, 0.01, 1e-3, 1e-5):
            moved = [np.nanmax(np.abs(t(sd, standardize) - expected)) for standardize in (True, False)]
            print(f"{sd:<18g}  {moved[0]:<12.1e}  {moved[1]:.1e}")


if __name__ == "__main__":
    main()
