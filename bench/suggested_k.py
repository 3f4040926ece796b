"""The number of factors that a sweep suggests on linked coalescent genomes, from all SNPs and from thinned ones.

    python bench/suggested_k.py [--sets 3] [--small 6] [--samples 24 40 60]

Demes that exchange migrants (islands), or one deme without structure, simulated by msprime (`pip install msprime`) as
for `bench/coalescent.py`. First sets of all samples, then `--small` draws of fewer samples, alike from each deme. The
variable is random. Each column is an option of `lfmm2 run --sweep`; of each set it has the number of axes. "0.2 as it
is" is `--est-thin r2=0.2,window=200`, whose limit of r² is not raised where samples are few.

The last table is of few samples, with a variable that differs between demes: the GIF where no axis is significant, and
how many of the runs say that structure is below detection; r = 0 is a random variable, for which none should.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np
from coalescent import Genomes, four_islands, islands, linked_islands, mixed, six_islands

import lfmm2
from lfmm2.genotypes.plink_writer import write_plink

OPTIONS = {
    "all SNPs": {"k_thin": "off"},
    "r² 0.2": {},
    "r² 0.1": {"k_thin": "r2=0.1,window=200"},
    "0.2 as it is": {"est_thin": "r2=0.2,window=200"},
}


def one_deme(seed: int) -> Genomes:
    """160 samples of one deme."""
    genomes = islands(1, 160, 4000, 0, n_chromosomes=20, length=5e5, mutation=3e-8, seed=600 + seed)
    return genomes.common(0.05, 10_000, np.random.default_rng(seed))


def one_linked_deme(seed: int) -> Genomes:
    """160 samples of one deme with a tenth of the recombination, 8 long chromosomes."""
    how = {"n_chromosomes": 8, "length": 2e6, "mutation": 3e-8, "recombination": 1e-9, "seed": 700 + seed}
    return islands(1, 160, 4000, 0, **how).common(0.05, 10_000, np.random.default_rng(seed))


# Name, axes of structure, genomes.
SCENARIOS = (
    ("4 islands", 3, four_islands),
    ("4 islands, strong linkage", 3, linked_islands),
    ("6 islands, half admixed", 5, six_islands),
    ("1 deme", 0, one_deme),
    ("1 deme, strong linkage", 0, one_linked_deme),
)


def draw(genomes: Genomes, n_samples: int, rng: np.random.Generator) -> Genomes:
    """Draw the same number of samples of each deme."""
    per_deme = n_samples // (genomes.deme.max() + 1)
    order = rng.permutation(len(genomes.deme))
    rows = [order[genomes.deme[order] == deme][:per_deme] for deme in range(genomes.deme.max() + 1)]
    return genomes.samples(np.sort(np.concatenate(rows)))


def sweep(folder: Path, genomes: Genomes, x: np.ndarray, **options: str) -> tuple[lfmm2.AssociationResult, list[str]]:
    """Run a sweep, and return its result and its warnings."""
    write_plink(
        folder / "d", genomes.G.T, chromosomes=genomes.chromosome.tolist(), positions=genomes.position.tolist(),
        overwrite=True,
    )  # fmt: skip
    last = min(15, len(x) - 8)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = lfmm2.run(None, folder / "d.bed", x, sweep=f"0:{last}", n_threads=1, **options)
    return result, [str(warning.message) for warning in caught]


def show_axes(folder: Path, name: str, true: int, sets: list[Genomes]) -> None:
    """Print the axes of each set by each option."""
    found: dict[str, list[int]] = {option: [] for option in OPTIONS}
    for i, genomes in enumerate(sets):
        x = np.random.default_rng(i).standard_normal(len(genomes.deme))
        for option, given in OPTIONS.items():
            found[option].append(sweep(folder, genomes, x, **given)[0].scree.n_axes)
    print(
        f"{name:32} {true:>4}  " + "  ".join(f"{' '.join(map(str, axes)):>18}" for axes in found.values()), flush=True
    )


def show_detection(folder: Path, name: str, sets: list[Genomes]) -> None:
    """Print the GIF of runs without a significant axis, and how many say that structure is below detection."""
    for r in (0.0, 0.7, 0.95):
        gifs, n_said = [], 0
        for i, genomes in enumerate(sets):
            rng = np.random.default_rng(i)
            n_demes = genomes.deme.max() + 1
            x = mixed(rng.standard_normal(n_demes)[genomes.deme], rng.standard_normal(len(genomes.deme)), r)
            result, said = sweep(folder, genomes, x)
            if result.scree.n_axes == 0:
                gifs.append(float(result.gif[0]))
                n_said += any("below detection" in text for text in said)
        gif = f"{np.min(gifs):.2f} {np.median(gifs):.2f} {np.max(gifs):.2f}" if gifs else "-"
        print(f"{name:32} {r:>4}  {len(gifs):>4} of {len(sets):<4} {gif:>16} {n_said:>6}", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", type=int, default=3)
    parser.add_argument("--small", type=int, default=6)
    parser.add_argument("--samples", type=int, nargs="*", default=[24, 40, 60])
    arguments = parser.parse_args()
    head = "  ".join(f"{option:>18}" for option in OPTIONS)
    small: list[tuple[str, list[Genomes]]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{'axes of structure':32} true  {head}")
        for title, true, make in SCENARIOS:
            whole = [make(seed).common(0.05, 10_000, np.random.default_rng(seed)) for seed in range(arguments.sets)]
            show_axes(folder, f"{title}, {len(whole[0].deme)}", true, whole)
            for n in arguments.samples:
                rng = np.random.default_rng(n)
                draws = [draw(whole[i % len(whole)], n, rng).common(0.05, None, rng) for i in range(arguments.small)]
                show_axes(folder, f"{title}, {n}", true, draws)
                if true and n <= 40:
                    small.append((f"{title}, {n}", draws))
        print(f"\n{'GIF of a variable of demes':32}    r  no axis      least median most   said")
        for title, draws in small:
            show_detection(folder, title, draws)


if __name__ == "__main__":
    main()
