"""Genotypes with known truth: populations, admixture, confounded variables and causal SNPs, as PLINK files."""

from __future__ import annotations

import operator
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from scipy.special import expit, logit

from lfmm2._checks import check_flag, check_number, quoted
from lfmm2._typing import Floats, Ints, Packed
from lfmm2._words import with_spaces
from lfmm2.errors import UsageError
from lfmm2.files import LAST_POSITION, OutputSet, OwnFiles, check_outputs, check_prefix_name, manifest_of
from lfmm2.genotypes import plink_writer

__all__ = ["Simulation", "simulate"]

Float32 = NDArray[np.float32]

# SNPs that share one random stream. Another number would give other genotypes for every seed.
SNPS_PER_CHUNK = 1024

# Genotypes drawn at once by default: two float32 workspaces of this size stay in a cache of 1 MB. The genotypes do not
# depend on it.
GENOTYPES_PER_BLOCK = 1 << 17
# Most samples, SNPs or other things of a kind. With more, arrays that are made of them could not be addressed.
MOST = 10**10

# Mean and standard deviation of env1, env2, …, repeated when there are more: °C, mm, m, pH.
UNITS = ((12.0, 6.0), (900.0, 220.0), (1500.0, 350.0), (6.4, 0.7))


@dataclass(frozen=True, eq=False)
class Simulation:
    """Files that `simulate` wrote, and the truth behind them.

    Attributes
    ----------
    bed, bim, fam, env, truth : Path
        The files: ``<out>.bed``, ``.bim``, ``.fam``, ``.env.csv`` and ``.truth.tsv``.
    variables : ndarray of shape (n_samples, n_variables), float64
        The values in ``<out>.env.csv``, bit for bit, samples in .fam order.
    causal : tuple of ndarray, int64
        Per variable, the 0-based indices of its causal SNPs, increasing. No SNP serves two variables.
    effects : tuple of ndarray, float64
        Per variable, the effects of its causal SNPs: log odds of A2 per standard deviation of the variable.
    ancestry : ndarray of shape (n_samples, n_populations), float64
        Share of each population in each sample's ancestry; rows sum to 1.
    """

    bed: Path
    bim: Path
    fam: Path
    env: Path
    truth: Path
    variables: Floats
    causal: tuple[Ints, ...]
    effects: tuple[Floats, ...]
    ancestry: Floats


def simulate(
    out: str | os.PathLike[str],
    n_samples: int = 500,
    n_snps: int = 50_000,
    n_variables: int = 2,
    *,
    n_populations: int = 4,
    n_causal: int = 20,
    effect_size: float = 0.55,
    missing_rate: float = 0.01,
    monomorphic_rate: float = 0.0,
    n_chromosomes: int = 5,
    fst: float = 0.1,
    confounding: float = 0.5,
    admixture: float = 0.3,
    seed: int = 0,
    block_size: int | None = None,
    overwrite: bool = False,
) -> Simulation:
    r"""Simulate genotypes under population structure and selection, and write them as a PLINK fileset.

    Sample :math:`i`, population :math:`k`, SNP :math:`\ell`, variable :math:`j`:

    .. math::

        p_\ell &\sim \mathrm{U}(0.05, 0.95), \qquad
        p_{k\ell} \sim \mathrm{Beta}\left(p_\ell \tfrac{1 - F}{F},\ (1 - p_\ell) \tfrac{1 - F}{F}\right) \\
        q_i &= (1 - a)\, e_{h(i)} + a\, \mathrm{Dirichlet}(1, \dots, 1) \\
        s_j &= c\, g_j + \sqrt{1 - c^2}\, \varepsilon_j, \qquad g_j \propto Q w_j,\ w_j \sim N(0, I) \\
        \mathrm{logit}\, f_{i\ell} &= \mathrm{logit}\left(\textstyle\sum_k q_{ik} p_{k\ell}\right)
            + b_\ell\, s_{i j(\ell)}, \qquad y_{i\ell} \sim \mathrm{Binomial}(2, f_{i\ell})

    :math:`F` is `fst`, :math:`a` is `admixture`, :math:`h(i)` the home population of a sample,
    :math:`c` is `confounding` and :math:`b_\ell` is ± `effect_size` at causal SNPs, zero elsewhere.
    :math:`g_j` and :math:`\varepsilon_j` have mean 0 and variance 1 in the sample and
    :math:`\varepsilon_j` is orthogonal to the ancestry. The variable of the file is
    :math:`m_j + \sigma_j s_j`, in units such as °C, mm, m and pH.

    Parameters
    ----------
    out : str or path
        Prefix of the files; extensions are appended to it, dots and all.
    n_samples : int
        At least n_populations + n_variables + 1, so that the model leaves a degree of freedom.
    n_snps : int
        Up to 10⁷ is practical; see Notes.
    n_variables : int
        Named env1, env2, … in the files.
    n_populations : int
        LFMM2 needs n_populations − 1 factors. FID is the home population: pop1, pop2, …
    n_causal : int
        Causal SNPs per variable, drawn without replacement over all variables.
    effect_size : float
        Size of the shift of the log odds of A2 per standard deviation of the variable; signs are random.
    missing_rate : float
        Probability that a call is missing.
    monomorphic_rate : float
        Probability that a SNP, unless causal, is fixed for one of its alleles. In small samples further
        SNPs lack variation by chance.
    n_chromosomes : int
        Chromosomes with equal numbers of SNPs, named 1, 2, …
    fst : float
        Differentiation of each population from the ancestral one, in [0, 1).
    confounding : float
        Multiple correlation of each variable with the ancestry, in [0, 1); exact in the sample.
    admixture : float
        Share of a sample's ancestry drawn from all populations at random, in [0, 1].
    seed : int
        Seed, not negative. Equal parameters and seeds give equal files.
    block_size : int, optional
        SNPs held in memory at once, at most 1024; never changes the result. Chosen by default so that a
        block fits in the cache.
    overwrite : bool
        Replace existing files instead of refusing.

    Returns
    -------
    Simulation
        Paths and truth.

    Raises
    ------
    UsageError
        A parameter is out of range or in conflict with another.
    OutputExistsError
        One of the five files exists and `overwrite` is not set.
    WriteError
        A file cannot be written; none of the five is left behind.

    Notes
    -----
    Memory is O(block_size × n_samples). SNPs are drawn in chunks of 1024, each from its own random stream
    of (seed, chunk); within it one uniform number decides a genotype and whether it is called. About 4 ns
    per genotype and 1 µs per SNP.

    References
    ----------
    Balding, D. J. & Nichols, R. A. (1995). Genetica 96:3 (the distribution of :math:`p_{k\ell}`).
    Caye, K. et al. (2019). Mol. Biol. Evol. 36:852 (the model fitted to such data).

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     data = simulate(Path(folder) / "demo", n_samples=50, n_snps=1000, n_causal=3)
    ...     data.bed.stat().st_size  # 3 + 1000 * 13
    13003
    >>> data.variables.shape, [len(snps) for snps in data.causal]
    ((50, 2), [3, 3])
    """
    n_samples = _check_integer("n_samples", n_samples, 1)
    n_snps = _check_integer("n_snps", n_snps, 1)
    n_variables = _check_integer("n_variables", n_variables, 1)
    n_populations = _check_integer("n_populations", n_populations, 1)
    n_causal = _check_integer("n_causal", n_causal, 0)
    n_chromosomes = _check_integer("n_chromosomes", n_chromosomes, 1)
    seed = _check_integer("seed", seed, 0)
    if block_size is None:
        block_size = max(1, GENOTYPES_PER_BLOCK // n_samples)
    block_size = min(SNPS_PER_CHUNK, _check_integer("block_size", block_size, 1))
    rates = {
        "effect_size": effect_size, "missing_rate": missing_rate, "monomorphic_rate": monomorphic_rate, "fst": fst,
        "confounding": confounding, "admixture": admixture,
    }  # fmt: skip
    for name, rate in rates.items():
        check_number(rate, name)
    _check_number("effect_size", effect_size, "not negative and finite", 0 <= effect_size < np.inf)
    _check_number("missing_rate", missing_rate, "in [0, 1]", 0 <= missing_rate <= 1)
    _check_number("monomorphic_rate", monomorphic_rate, "in [0, 1]", 0 <= monomorphic_rate <= 1)
    _check_number("fst", fst, "in [0, 1)", 0 <= fst < 1)
    _check_number("confounding", confounding, "in [0, 1)", 0 <= confounding < 1)
    _check_number("admixture", admixture, "in [0, 1]", 0 <= admixture <= 1)
    _check_sizes(n_samples, n_snps, n_variables, n_populations, n_causal, n_chromosomes)
    if n_populations == 1 and confounding > 0:
        raise UsageError(
            f"confounding is {confounding}, but one population has no ancestry to be confounded with; "
            "set confounding=0, or n_populations to 2 or more"
        )

    rng = default_rng([seed, 0])
    home = np.arange(n_samples) * n_populations // n_samples
    mixed = rng.dirichlet(np.ones(n_populations), n_samples)
    ancestry = (1 - admixture) * np.eye(n_populations)[home] + admixture * mixed  # (n_samples, n_populations)
    gradients = _draw_gradients(rng, ancestry, n_variables, confounding)  # (n_samples, n_variables)
    means, sds = np.array([UNITS[j % len(UNITS)] for j in range(n_variables)]).T
    variables = means + sds * gradients
    drawn = rng.choice(n_snps, (n_variables, n_causal), replace=False)
    causal = tuple(np.sort(indices).astype(np.int64) for indices in drawn)
    effects = tuple(effect_size * rng.choice([-1.0, 1.0], n_causal) for _ in causal)
    genome = _Genome(
        ancestry=np.ascontiguousarray(ancestry.T, dtype=np.float32),
        gradients=gradients,
        selection={
            snp: (j, effect)
            for j in range(n_variables)
            for snp, effect in zip(causal[j].tolist(), effects[j].tolist(), strict=True)
        },
        n_snps=n_snps,
        n_chromosomes=n_chromosomes,
        fst=fst,
        missing_rate=missing_rate,
        monomorphic_rate=monomorphic_rate,
        seed=seed,
    )

    names = {"bim": "bim", "fam": "fam", "env": "env.csv", "truth": "truth.tsv", "bed": "bed"}
    check_flag(overwrite, "overwrite")
    check_prefix_name(out)
    paths = {field: Path(f"{os.fspath(out)}.{name}") for field, name in names.items()}
    manifest = manifest_of(out, "simulate")
    check_outputs(paths.values(), overwrite, OwnFiles.of_manifest(manifest))
    with OutputSet(overwrite) as outputs:
        streams = [outputs.open(path, manifest) for path in paths.values()]
        _write_files(streams, genome, home, variables, block_size)
    return Simulation(**paths, variables=variables, causal=causal, effects=effects, ancestry=ancestry)


def _write_files(streams: list[BinaryIO], genome: _Genome, home: Ints, variables: Floats, block_size: int) -> None:
    """Draw the SNPs chunk by chunk, and write .bim, .fam, variables, truth and .bed.

    `home` is the home population of each sample.
    """
    n_samples, n_variables = variables.shape
    bim, fam, env, truth, bed = streams
    iid = plink_writer.default_sample_ids(n_samples)
    fam.write(plink_writer.fam_text([f"pop{k + 1}" for k in home.tolist()], iid))
    env_header = ["IID", *(f"env{j + 1}" for j in range(n_variables))]
    env_rows = ([sample, *row] for sample, row in zip(iid, variables.tolist(), strict=True))
    env.write(plink_writer.table_text(env_header, env_rows, ","))
    bed.write(plink_writer.BED_MAGIC)
    sites = {}
    for chunk in range(-(-genome.n_snps // SNPS_PER_CHUNK)):
        loci = genome.draw_loci(chunk)
        for packed in genome.draw_genotypes(loci, block_size):
            bed.write(packed.data)
        bim.write(plink_writer.bim_text(loci.chromosomes, loci.ids, loci.positions, loci.alleles))
        for row in loci.causal_rows:
            snp = loci.first + row
            sites[snp] = (loci.ids[row], snp, loci.chromosomes[row], loci.positions[row])
    truth_header = ("variable", "ID", "index", "CHROM", "POS", "effect")
    truth_rows = ((f"env{j + 1}", *sites[snp], effect) for snp, (j, effect) in genome.selection.items())
    truth.write(plink_writer.table_text(truth_header, truth_rows, "\t"))


@dataclass(frozen=True)
class _Loci:
    """Random properties of the SNPs in one chunk, one row for each SNP from `first` on."""

    first: int
    rng: Generator  # its next numbers are the genotypes; all other properties have been drawn from it
    frequencies: Float32  # (n_snps_chunk, n_populations), of A2
    fixed: Float32  # (n_snps_chunk,), 0 or 1 where monomorphic, NaN elsewhere
    causal_rows: list[int]
    ids: list[str]
    chromosomes: list[int]
    positions: list[int]
    alleles: list[tuple[str, str]]  # A1, A2


@dataclass(frozen=True)
class _Genome:
    """The model of `simulate` once samples and causal SNPs are known."""

    ancestry: Float32  # (n_populations, n_samples)
    gradients: Floats  # (n_samples, n_variables), mean 0 and variance 1
    selection: dict[int, tuple[int, float]]  # causal SNP → variable, effect
    n_snps: int
    n_chromosomes: int
    fst: float
    missing_rate: float
    monomorphic_rate: float
    seed: int

    def draw_loci(self, chunk: int) -> _Loci:
        """Draw the SNPs of a chunk: positions, alleles and frequencies."""
        # Stream 0 has drawn the samples and the effects.
        rng = default_rng([self.seed, 1 + chunk])
        first = chunk * SNPS_PER_CHUNK
        snps = np.arange(first, min(first + SNPS_PER_CHUNK, self.n_snps))
        causal_rows = [row for row, snp in enumerate(snps.tolist()) if snp in self.selection]

        chromosomes = snps * self.n_chromosomes // self.n_snps
        chromosome_starts = -(-chromosomes * self.n_snps // self.n_chromosomes)
        # One position in each interval of equal length, so that positions increase from one chunk to the next.
        interval = max(1, min(1000, LAST_POSITION * self.n_chromosomes // (self.n_snps + self.n_chromosomes)))
        positions = 1 + (snps - chromosome_starts) * interval + rng.integers(0, interval, len(snps))
        a1 = rng.integers(0, 4, len(snps))
        a2 = (a1 + rng.integers(1, 4, len(snps))) % 4

        frequencies = self._draw_frequencies(rng, len(snps))
        is_fixed = rng.random(len(snps)) < self.monomorphic_rate
        is_fixed[causal_rows] = False
        fixed = np.where(is_fixed, rng.integers(0, 2, len(snps)), np.nan)
        return _Loci(
            first=first,
            rng=rng,
            frequencies=frequencies.astype(np.float32),
            fixed=fixed.astype(np.float32),
            causal_rows=causal_rows,
            ids=plink_writer.default_snp_ids(snps.tolist()),
            chromosomes=(chromosomes + 1).tolist(),
            positions=positions.tolist(),
            alleles=[("ACGT"[i], "ACGT"[j]) for i, j in zip(a1.tolist(), a2.tolist(), strict=True)],
        )

    def _draw_frequencies(self, rng: Generator, n_snps: int) -> Floats:
        """Draw the frequency of A2 in every population, shape (n_snps, n_populations)."""
        ancestral = rng.uniform(0.05, 0.95, (n_snps, 1))
        shape = (n_snps, len(self.ancestry))
        if self.fst == 0:
            return np.broadcast_to(ancestral, shape)
        scale = (1 - self.fst) / self.fst
        return rng.beta(ancestral * scale, (1 - ancestral) * scale, shape)

    def draw_genotypes(self, loci: _Loci, block_size: int) -> Iterator[Packed]:
        """Draw the genotypes of a chunk and yield them packed, up to `block_size` SNPs at a time."""
        n_samples = self.ancestry.shape[1]
        n_snps = len(loci.frequencies)
        shape = (min(block_size, n_snps), n_samples)
        f_space = np.empty(shape, dtype=np.float32)
        u_space = np.empty(shape, dtype=np.float32)
        code_space = np.zeros((shape[0], 4 * -(-n_samples // 4)), dtype=np.uint8)
        for start in range(0, n_snps, block_size):
            stop = min(start + block_size, n_snps)
            f = f_space[: stop - start]
            u = u_space[: stop - start]
            codes = code_space[: stop - start]
            self._fill_frequencies(loci, start, stop, u, f)
            # One uniform number per genotype, drawn SNP by SNP, so that the cut into blocks does not matter.
            loci.rng.random(dtype=np.float32, out=u)
            _draw_codes(f, u, self.missing_rate, codes[:, :n_samples])
            yield plink_writer.pack_codes(codes)

    def _fill_frequencies(self, loci: _Loci, start: int, stop: int, work: Float32, f_out: Float32) -> None:
        """Compute the frequency of A2 in every sample at SNPs start:stop of a chunk; `work` is overwritten."""
        frequencies = loci.frequencies[start:stop]
        # Sums in fixed order instead of a matrix product: the last bit of BLAS may depend on its threads.
        np.multiply(frequencies[:, :1], self.ancestry[0], out=f_out)
        for k in range(1, len(self.ancestry)):
            np.multiply(frequencies[:, k : k + 1], self.ancestry[k], out=work)
            np.add(f_out, work, out=f_out)
        np.minimum(f_out, 1, out=f_out)  # shares sum to 1 only up to rounding
        for row in loci.causal_rows:
            if start <= row < stop:
                variable, effect = self.selection[loci.first + row]
                log_odds = logit(f_out[row - start].astype(np.float64))
                f_out[row - start] = expit(log_odds + effect * self.gradients[:, variable])
        fixed = loci.fixed[start:stop, None]
        np.copyto(f_out, fixed, where=~np.isnan(fixed))


def _draw_codes(f: Float32, u: Float32, missing_rate: float, codes_out: Packed) -> None:
    """Turn allele frequencies and uniform numbers into .bed codes.

    With r the call rate, u < r f² is dosage 2, u < r f(2 − f) at least 1, and u ≥ r missing. A code's high
    bit says "1 or more", its low bit "2", and the low bit alone "missing".
    """
    call_rate = np.float32(1 - missing_rate)
    missing = u >= call_rate
    # Both thresholds are rounded in the same order, so that a dosage of 2 is always also 1 or more.
    threshold = f * f
    threshold *= call_rate
    two = u < threshold
    np.subtract(np.float32(2), f, out=threshold)
    threshold *= f
    threshold *= call_rate
    one_or_more = u < threshold
    np.logical_or(two, missing, out=two)
    np.add(one_or_more.view(np.uint8), one_or_more.view(np.uint8), out=codes_out)
    np.add(codes_out, two.view(np.uint8), out=codes_out)


def _draw_gradients(rng: Generator, ancestry: Floats, n_variables: int, confounding: float) -> Floats:
    """Draw variables of mean 0 and variance 1 whose multiple correlation with the ancestry is `confounding`."""
    # Sums are used instead of matrix products, whose last bit may depend on the threads of BLAS.
    basis: list[Floats] = []
    for share in ancestry.T:
        basis.append(_standardise(_remove_projection(share, basis)))
    n_samples, n_populations = ancestry.shape
    gradients = np.empty((n_samples, n_variables))
    for j in range(n_variables):
        weights = rng.standard_normal(n_populations)
        noise = rng.standard_normal((n_samples,))
        # The shares of a sample sum to 1, so that the basis spans the mean as well.
        gradients[:, j] = np.sqrt(1 - confounding**2) * _standardise(_remove_projection(noise, basis))
        if confounding > 0:
            gradient = (ancestry * weights).sum(axis=1)
            gradients[:, j] += confounding * _standardise(gradient - gradient.mean())
    return gradients


def _remove_projection(vector: Floats, basis: list[Floats]) -> Floats:
    """Return the part of a vector that is orthogonal to a basis of orthogonal vectors of mean square 1."""
    for direction in basis:
        vector = vector - (direction * vector).mean() * direction
    return vector


def _standardise(vector: Floats) -> Floats:
    """Scale a vector to mean square 1."""
    scaled: Floats = vector / np.sqrt((vector * vector).mean())
    return scaled


def _check_integer(name: str, value: int, least: int) -> int:
    """Return a parameter as int; raise UsageError if it is no integer or below `least`."""
    try:
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{name} is {value!r}; it must be an integer") from None
    if number < least:
        raise UsageError(f"{name} is {number}; it must be at least {least}")
    if name.startswith("n_") and number > MOST:
        raise UsageError(f"{name} is {quoted(number)}; it must be at most {with_spaces(MOST)}")
    return number


def _check_number(name: str, value: float, condition: str, holds: bool) -> None:
    """Raise UsageError unless the condition of a parameter holds."""
    if not holds:
        raise UsageError(f"{name} is {value}; it must be {condition}")


def _check_sizes(
    n_samples: int, n_snps: int, n_variables: int, n_populations: int, n_causal: int, n_chromosomes: int
) -> None:
    """Raise UsageError if sizes contradict each other."""
    needed = n_populations + n_variables + 1
    if n_samples < needed:
        raise UsageError(
            f"n_samples is {n_samples}, but {n_populations} populations and {n_variables} variables need "
            f"at least {needed} to leave a degree of freedom; take more samples"
        )
    if n_causal * n_variables > n_snps:
        raise UsageError(
            f"{n_variables} variables × {n_causal} causal SNPs need {n_variables * n_causal} SNPs, but "
            f"n_snps is {n_snps}; take more SNPs or fewer causal ones"
        )
    if n_chromosomes > n_snps:
        raise UsageError(
            f"n_chromosomes is {n_chromosomes}, but n_snps is {n_snps}; take at most one chromosome per SNP"
        )
