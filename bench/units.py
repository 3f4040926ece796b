"""How far the unit of a variable moves t with and without standardisation of the variables.

    python bench/units.py

120 samples of admixed populations, 1 500 SNPs, two variables with one standard deviation, K = 3, the default λ.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import lfmm2

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from conftest import balding_nichols


def main() -> None:
    data = balding_nichols(120, 1500, 3, 2, seed=1)
    X = data.X / data.X.std(axis=0)
    expected = lfmm2.run(None, data.dosage, X, 3, solver="exact").t
    print("largest difference of t from that at standard deviation 1")
    print("standard deviation  standardised  as given")
    for sd in (10.0, 1.0, 0.1, 0.01, 1e-3, 1e-5):
        found = [lfmm2.run(None, data.dosage, sd * X, 3, solver="exact", standardize=s).t for s in (True, False)]
        moved = [np.abs(t - expected).max() for t in found]
        print(f"{sd:<18g}  {moved[0]:<12.1e}  {moved[1]:.1e}")


if __name__ == "__main__":
    main()
