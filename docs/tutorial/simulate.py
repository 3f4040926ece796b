"""The data of the tutorial, with known truth: 200 trees of a region, two climate variables, 24 genes under selection.

Run `python simulate.py`; it writes into the current folder

    trees.vcf.gz        genotypes, as a variant caller gives them: rare variants, indels, missing calls
    places.csv          longitude and latitude of each tree
    climate.csv         temperature (°C) and rain (mm) of each tree, and climate2070.csv the same later
    genes.bed           a made-up annotation
    truth.tsv           the genes under selection
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
from scipy.special import ndtri

N_TREES, N_CHROMOSOMES, SNPS_PER_CHROMOSOME, GENES_PER_CHROMOSOME = 200, 4, 3000, 100
CHROMOSOME_LENGTH, GENE_LENGTH = 12_000_000, 20_000
GENES_PER_VARIABLE = 12
# bases over which linkage, and the reach of selection, fall to 1/e
LINKAGE = 8_000
FST = 0.06
VARIABLES = ("temperature", "rain")

rng = np.random.default_rng(4)


def standard(values):
    return (values - values.mean(axis=0)) / values.std(axis=0)


def draw_places():
    """Longitude and latitude, ancestry in four populations that came from four sides, and the relief."""
    longitude, latitude = rng.uniform(0, 10, N_TREES), rng.uniform(40, 48, N_TREES)
    origins = np.array([[1, 41], [9, 41.5], [2, 47], [8.5, 46.5]])
    distance = np.hypot(longitude[:, None] - origins[:, 0], latitude[:, None] - origins[:, 1])
    weight = np.exp(-((distance / 2.5) ** 2)) + 0.01
    ancestry = np.vstack([rng.dirichlet(4 * row / row.sum()) for row in weight])
    # hills: waves in random directions
    direction, phase = rng.standard_normal((12, 2)), rng.uniform(0, 2 * np.pi, 12)
    wave = direction @ np.array([longitude, latitude]) + phase[:, None]
    return longitude, latitude, ancestry, standard(np.cos(wave).sum(axis=0)), standard(np.sin(wave).sum(axis=0))


def draw_climate(longitude, latitude, hills, slopes):
    """Now and later, (n_trees, 2): warm in the south and low, wet in the west and on western slopes."""
    temperature = 14 - 0.7 * (latitude - 44) - 2.2 * hills + rng.normal(0, 0.4, N_TREES)
    rain = 900 - 40 * (longitude - 5) + 150 * slopes + rng.normal(0, 25, N_TREES)
    later = np.column_stack([temperature + 1.8 + 0.12 * longitude, rain - 25 * (48 - latitude)])
    return np.column_stack([temperature, rain]), later


def draw_positions():
    """Positions of SNPs and starts of genes, (chromosomes, ...), increasing."""
    size = (N_CHROMOSOMES, SNPS_PER_CHROMOSOME)
    positions = np.sort(rng.integers(1, CHROMOSOME_LENGTH, size), axis=1) + np.arange(SNPS_PER_CHROMOSOME)
    room = CHROMOSOME_LENGTH // GENES_PER_CHROMOSOME
    starts = np.arange(GENES_PER_CHROMOSOME) * room + rng.integers(
        0, room - GENE_LENGTH, (N_CHROMOSOMES, GENES_PER_CHROMOSOME)
    )
    return positions, starts


def choose_causal(positions, starts, frequency):
    """Per variable: chromosome, gene and SNP of each gene under selection, and the effect of the SNP."""
    found = []
    for chromosome, gene in rng.permutation(
        [(c, g) for c in range(N_CHROMOSOMES) for g in range(GENES_PER_CHROMOSOME)]
    ):
        low = starts[chromosome, gene]
        inside = np.flatnonzero((positions[chromosome] > low) & (positions[chromosome] <= low + GENE_LENGTH))
        common = inside[np.abs(frequency[chromosome, inside] - 0.5) < 0.3]
        if len(common):
            effect = rng.choice([-1, 1]) * rng.uniform(0.25, 0.8)
            found.append((len(found) % len(VARIABLES), chromosome, gene, rng.choice(common), effect))
        if len(found) == len(VARIABLES) * GENES_PER_VARIABLE:
            return found
    raise AssertionError("too few genes with a common SNP")


def draw_dosages(positions, ancestry, frequency, causal, climate):
    """Copies of the second allele, (chromosomes, SNPs, trees): two haplotypes each, linked along the chromosome."""
    shape = ((1 - FST) / FST) * np.stack([frequency, 1 - frequency])[:, :, :, None]
    population = rng.beta(*np.broadcast_to(shape, (2, *frequency.shape, ancestry.shape[1])))
    threshold = ndtri(np.clip(population @ ancestry.T, 0.001, 0.999))
    climate = standard(climate)
    for variable, chromosome, _, snp, effect in causal:
        reach = np.exp(-np.abs(positions[chromosome] - positions[chromosome, snp]) / LINKAGE)
        threshold[chromosome] += effect * np.outer(reach * (reach > 0.01), climate[:, variable])
    dosages = np.zeros(threshold.shape, np.int8)
    for chromosome in range(N_CHROMOSOMES):
        keep = np.exp(-np.diff(positions[chromosome], prepend=0) / LINKAGE)
        noise = rng.standard_normal((SNPS_PER_CHROMOSOME, 2, N_TREES))
        state = noise[0]
        for snp in range(SNPS_PER_CHROMOSOME):
            state = keep[snp] * state + np.sqrt(1 - keep[snp] ** 2) * noise[snp]
            dosages[chromosome, snp] = (state < threshold[chromosome, snp]).sum(axis=0)
    return dosages


def lose_calls(dosages):
    """−1 in about 4 % of the calls; 3 % of the SNPs lack a quarter."""
    rate = rng.beta(2, 60, dosages.shape[:2])
    rate[rng.random(rate.shape) < 0.03] = 0.25
    dosages[rng.random(dosages.shape) < rate[:, :, None]] = -1


def write_vcf(path, positions, dosages, trees):
    genotypes = np.array(["0/0", "0/1", "1/1", "./."])
    bases = np.array(list("ACGT"))
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write("##fileformat=VCFv4.2\n")
        for chromosome in range(N_CHROMOSOMES):
            file.write(f"##contig=<ID=LG{chromosome + 1},length={CHROMOSOME_LENGTH + SNPS_PER_CHROMOSOME}>\n")
        file.write('##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n')
        file.write("\t".join(["#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT".replace(" ", "\t"), *trees]) + "\n")
        for chromosome in range(N_CHROMOSOMES):
            for position, row in zip(positions[chromosome], dosages[chromosome], strict=True):
                reference, alternative = rng.choice(bases, 2, replace=False)
                if rng.random() < 0.02:
                    reference += rng.choice(bases)  # a deletion
                fields = [f"LG{chromosome + 1}", str(position), ".", reference, alternative, ".", "PASS", ".", "GT"]
                file.write("\t".join([*fields, *genotypes[row]]) + "\n")


def write_table(path, header, rows, separator=","):
    with Path(path).open("w") as file:
        for row in [header, *rows] if header else rows:
            file.write(separator.join(map(str, row)) + "\n")


def gene_name(chromosome, gene):
    return f"g{chromosome + 1}{gene + 1:03d}"


def main():
    longitude, latitude, ancestry, hills, slopes = draw_places()
    now, later = draw_climate(longitude, latitude, hills, slopes)
    positions, starts = draw_positions()
    frequency = rng.uniform(0.03, 0.97, positions.shape)
    causal = choose_causal(positions, starts, frequency)
    dosages = draw_dosages(positions, ancestry, frequency, causal, now)
    lose_calls(dosages)
    trees = [f"tree{i + 1:03d}" for i in range(N_TREES)]
    write_vcf("trees.vcf.gz", positions, dosages, trees)
    write_table("places.csv", ["ID", "longitude", "latitude"],
                zip(trees, longitude.round(3), latitude.round(3), strict=True))  # fmt: skip
    for path, values in (("climate.csv", now), ("climate2070.csv", later)):
        rows = zip(trees, values[:, 0].round(2), values[:, 1].round(0).astype(int), strict=True)
        write_table(path, ["ID", *VARIABLES], rows)
    genes = [
        (f"LG{c + 1}", start, start + GENE_LENGTH, gene_name(c, g))
        for c in range(N_CHROMOSOMES)
        for g, start in enumerate(starts[c])
    ]
    write_table("genes.bed", None, genes, "\t")
    truth = [
        (VARIABLES[variable], f"LG{c + 1}", positions[c, snp], gene_name(c, g), round(effect, 3))
        for variable, c, g, snp, effect in sorted(causal)
    ]
    write_table("truth.tsv", ["VARIABLE", "CHROM", "POS", "GENE", "EFFECT"], truth, "\t")


if __name__ == "__main__":
    main()
