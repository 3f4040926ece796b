"""Genotypes with known truth: populations, admixture, confounded variables and causal SNPs, as PLINK files.

Dosages count A2, column 6 of the .bim: code 00 is dosage 0, 10 is 1, 11 is 2 and 01 is missing, the first
of four samples in the lowest bits of a byte. Files are streamed; no object of n_snps × n_samples exists.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from .errors import OutputExistsError, UsageError, WriteError

__all__ = ["Simulation", "encode_bed", "simulate", "write_plink"]

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]
UInt8 = NDArray[np.uint8]

BED_MAGIC = b"\x6c\x1b\x01"

# Part of the model, not of its execution: every chunk of SNPs has its own random stream.
SNPS_PER_CHUNK = 1024

# Genotypes drawn at once by default: two float32 workspaces of this size stay in a cache of 1 MB.
GENOTYPES_PER_BLOCK = 1 << 17

LAST_POSITION = (1 << 31) - 2  # larger ones are refused by PLINK

# Mean and standard deviation of env1, env2, …, repeated when there are more: °C, mm, m, pH.
UNITS = ((12.0, 6.0), (900.0, 220.0), (1500.0, 350.0), (6.4, 0.7))

_INVALID = 0xFF
_CODE_OF_DOSAGE = np.full(256, _INVALID, dtype=np.uint8)
_CODE_OF_DOSAGE[[0, 1, 2, 255]] = [0b00, 0b10, 0b11, 0b01]


@dataclass(frozen=True, eq=False)
class Simulation:
    """What `simulate` wrote, and the truth behind it.

    Attributes
    ----------
    bed, bim, fam, env, truth : Path
        The files: ``<out>.bed``, ``.bim``, ``.fam``, ``.env.csv`` and ``.truth.tsv``.
    variables : ndarray of shape (n_samples, n_variables), float64
        The values in ``<out>.env.csv``, bit for bit, samples in .fam order.
    causal : tuple of ndarray, int64
        Per variable, the 0-based indices of its causal SNPs, increasing. No SNP serves two variables.
    effects : tuple of ndarray, float64
        Per variable, the effects of those SNPs: log odds of A2 per standard deviation of the variable.
    ancestry : ndarray of shape (n_samples, n_populations), float64
        Share of each population in each sample's ancestry; rows sum to 1.
    """

    bed: Path
    bim: Path
    fam: Path
    env: Path
    truth: Path
    variables: Float64
    causal: tuple[Int64, ...]
    effects: tuple[Float64, ...]
    ancestry: Float64


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
        Of equal numbers of SNPs, named 1, 2, …
    fst : float
        Differentiation of each population from the ancestral one, in [0, 1).
    confounding : float
        Multiple correlation of each variable with the ancestry, in [0, 1); exact in the sample.
    admixture : float
        Share of a sample's ancestry drawn from all populations at random, in [0, 1].
    seed : int
        Not negative. Equal parameters and seeds give equal files.
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
    n_samples = _integer("n_samples", n_samples, 1)
    n_snps = _integer("n_snps", n_snps, 1)
    n_variables = _integer("n_variables", n_variables, 1)
    n_populations = _integer("n_populations", n_populations, 1)
    n_causal = _integer("n_causal", n_causal, 0)
    n_chromosomes = _integer("n_chromosomes", n_chromosomes, 1)
    seed = _integer("seed", seed, 0)
    if block_size is None:
        block_size = max(1, GENOTYPES_PER_BLOCK // n_samples)
    block_size = min(SNPS_PER_CHUNK, _integer("block_size", block_size, 1))
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

    rng = np.random.default_rng([seed, 0])
    home = np.arange(n_samples) * n_populations // n_samples
    ancestry = _draw_ancestry(rng, home, n_populations, admixture)  # (n_samples, n_populations)
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

    paths = {name: Path(f"{os.fspath(out)}.{name}") for name in ("bim", "fam", "env.csv", "truth.tsv", "bed")}
    with _whole_files(list(paths.values()), overwrite) as (bim, fam, env, truth, bed):
        iid = _sample_ids(n_samples)
        fam.write(_fam_text([f"pop{k + 1}" for k in home.tolist()], iid))
        env.write(_env_text(iid, variables))
        bed.write(BED_MAGIC)
        place_of_causal = {}
        for chunk in range(-(-n_snps // SNPS_PER_CHUNK)):
            loci = genome.draw_loci(chunk)
            for packed in genome.draw_genotypes(loci, block_size):
                bed.write(packed.data)
            bim.write(_bim_text(loci))
            for row in loci.causal_rows:
                place_of_causal[loci.first + row] = loci.chromosomes[row], loci.positions[row]
        truth.write(_truth_text(causal, effects, place_of_causal))
    return Simulation(
        bed=paths["bed"],
        bim=paths["bim"],
        fam=paths["fam"],
        env=paths["env.csv"],
        truth=paths["truth.tsv"],
        variables=variables,
        causal=causal,
        effects=effects,
        ancestry=ancestry,
    )


def encode_bed(dosages: ArrayLike) -> UInt8:
    """Pack dosages into .bed bytes: 0 → 00, 1 → 10, 2 → 11, missing → 01.

    Parameters
    ----------
    dosages : array_like of shape (n_snps, n_samples), int8 or uint8
        Copies of A2: 0, 1 or 2; −1 or 255 where missing. Not modified.

    Returns
    -------
    ndarray of shape (n_snps, ceil(n_samples / 4)), uint8, C-contiguous
        The first of four samples in the lowest two bits, pad bits zero; without the three magic bytes.

    Raises
    ------
    UsageError
        The array is not two-dimensional, not of one-byte integers, or holds another value.

    Examples
    --------
    >>> encode_bed(np.array([[0, 1, 2, -1, 1]], dtype=np.int8))
    array([[120,   2]], dtype=uint8)
    """
    given = np.asarray(dosages)
    if given.ndim != 2 or given.dtype not in (np.int8, np.uint8):
        raise UsageError(
            f"dosages have shape {given.shape} and dtype {given.dtype}; "
            "pass an int8 or uint8 array of shape (n_snps, n_samples)"
        )
    n_snps, n_samples = given.shape
    codes = np.zeros((n_snps, 4 * -(-n_samples // 4)), dtype=np.uint8)
    codes[:, :n_samples] = _CODE_OF_DOSAGE[given.view(np.uint8)]
    _check_dosages(given, codes[:, :n_samples] == _INVALID)
    return _pack_codes(codes)


def write_plink(
    out: str | os.PathLike[str],
    dosages: ArrayLike,
    *,
    iid: Sequence[str] | None = None,
    fid: Sequence[str] | None = None,
    snp_ids: Sequence[str] | None = None,
    chromosomes: Sequence[str | int] | None = None,
    positions: Sequence[int] | None = None,
    alleles: Sequence[tuple[str, str]] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a small fileset ``<out>.bed/.bim/.fam`` from an array in memory.

    Parameters
    ----------
    out : str or path
        Prefix of the three files; extensions are appended to it.
    dosages : array_like of shape (n_snps, n_samples)
        Copies of A2: 0, 1 or 2, of any numeric type; −1, 255 or NaN where missing. Not modified.
    iid, fid : sequence of str, optional
        Per sample; s0001, s0002, … and 0 by default.
    snp_ids, chromosomes, positions : sequence, optional
        Per SNP; snp0000001, …, chromosome 1, and 1000, 2000, … by default.
    alleles : sequence of (str, str), optional
        A1 and A2 (the counted allele) per SNP; A and G by default.
    overwrite : bool
        Replace existing files instead of refusing.

    Returns
    -------
    Path
        The .bed file.

    Raises
    ------
    UsageError
        A dosage has another value, or a sequence another length than the samples or SNPs.
    OutputExistsError
        One of the three files exists and `overwrite` is not set.
    WriteError
        A file cannot be written; none of the three is left behind.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     bed = write_plink(Path(folder) / "two", [[0, 1, 2], [2, np.nan, 0]], iid=["a", "b", "c"])
    ...     bed.read_bytes().hex(" ")
    '6c 1b 01 38 07'
    """
    calls = np.asarray(dosages)
    if calls.ndim != 2 or calls.dtype.kind not in "biuf":
        raise UsageError(
            f"dosages have shape {calls.shape} and dtype {calls.dtype}; "
            "pass numbers in an array of shape (n_snps, n_samples)"
        )
    missing = np.isin(calls, (-1, 255)) | (calls != calls)  # NaN alone differs from itself
    _check_dosages(calls, ~(missing | np.isin(calls, (0, 1, 2))))
    packed = encode_bed(np.where(missing, -1, calls).astype(np.int8))
    n_snps, n_samples = calls.shape
    samples = {
        "fid": ["0"] * n_samples if fid is None else fid,
        "iid": _sample_ids(n_samples) if iid is None else iid,
    }
    snps: dict[str, Sequence[Any]] = {
        "chromosomes": ["1"] * n_snps if chromosomes is None else chromosomes,
        "snp_ids": [_snp_id(i) for i in range(n_snps)] if snp_ids is None else snp_ids,
        "positions": range(1000, 1000 * (n_snps + 1), 1000) if positions is None else positions,
        "alleles": [("A", "G")] * n_snps if alleles is None else alleles,
    }
    for what, n, columns in (("samples", n_samples, samples), ("SNPs", n_snps, snps)):
        for name, column in columns.items():
            if len(column) != n:
                raise UsageError(
                    f"{name} has {len(column)} values, but dosages have {n} {what}; pass one each"
                )
    bim_text = "".join(
        f"{chromosome}\t{snp_id}\t0\t{position}\t{a1}\t{a2}\n"
        for chromosome, snp_id, position, (a1, a2) in zip(*snps.values(), strict=True)
    )
    paths = [Path(f"{os.fspath(out)}.{name}") for name in ("bim", "fam", "bed")]
    with _whole_files(paths, overwrite) as (bim, fam, bed):
        bim.write(bim_text.encode())
        fam.write(_fam_text(samples["fid"], samples["iid"]))
        bed.write(BED_MAGIC)
        bed.write(packed.data)
    return paths[2]


@dataclass(frozen=True)
class _Loci:
    """What is drawn per SNP in one chunk; rows count from SNP `first`."""

    first: int
    rng: np.random.Generator  # has drawn everything here; its further numbers are the genotypes
    frequencies: Float32  # (n_snps_chunk, n_populations), of A2
    fixed: Float32  # (n_snps_chunk,), 0 or 1 where monomorphic, NaN elsewhere
    causal_rows: list[int]
    chromosomes: list[int]
    positions: list[int]
    alleles: list[tuple[str, str]]  # A1, A2


@dataclass(frozen=True)
class _Genome:
    """The model of `simulate` once samples and causal SNPs are known."""

    ancestry: Float32  # (n_populations, n_samples)
    gradients: Float64  # (n_samples, n_variables), mean 0 and variance 1
    selection: dict[int, tuple[int, float]]  # causal SNP → variable, effect
    n_snps: int
    n_chromosomes: int
    fst: float
    missing_rate: float
    monomorphic_rate: float
    seed: int

    def draw_loci(self, chunk: int) -> _Loci:
        """Draw the SNPs of a chunk: positions, alleles and frequencies."""
        # Stream 0 is that of the samples.
        rng = np.random.default_rng([self.seed, 1 + chunk])
        first = chunk * SNPS_PER_CHUNK
        snps = np.arange(first, min(first + SNPS_PER_CHUNK, self.n_snps))
        causal_rows = [row for row, snp in enumerate(snps.tolist()) if snp in self.selection]

        chromosomes = snps * self.n_chromosomes // self.n_snps
        chromosome_starts = -(-chromosomes * self.n_snps // self.n_chromosomes)
        # One position in each interval of equal length: increasing without a look at the last chunk.
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
            chromosomes=(chromosomes + 1).tolist(),
            positions=positions.tolist(),
            alleles=[("ACGT"[i], "ACGT"[j]) for i, j in zip(a1.tolist(), a2.tolist(), strict=True)],
        )

    def _draw_frequencies(self, rng: np.random.Generator, n_snps: int) -> Float64:
        """Draw the frequency of A2 in every population, shape (n_snps, n_populations)."""
        ancestral = rng.uniform(0.05, 0.95, (n_snps, 1))
        shape = (n_snps, len(self.ancestry))
        if self.fst == 0:
            return np.broadcast_to(ancestral, shape)
        scale = (1 - self.fst) / self.fst
        return rng.beta(ancestral * scale, (1 - ancestral) * scale, shape)

    def draw_genotypes(self, loci: _Loci, block_size: int) -> Iterator[UInt8]:
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
            # One uniform number decides it all; rows in turn, so that the cut into blocks does not matter.
            loci.rng.random(dtype=np.float32, out=u)
            _draw_codes(f, u, self.missing_rate, codes[:, :n_samples])
            yield _pack_codes(codes)

    def _fill_frequencies(self, loci: _Loci, start: int, stop: int, work: Float32, f_out: Float32) -> None:
        """Frequency of A2 in every sample at SNPs start:stop of a chunk; `work` is overwritten."""
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
        fixed = loci.fixed[start:stop]
        is_fixed = ~np.isnan(fixed)
        f_out[is_fixed] = fixed[is_fixed, None]


def _draw_codes(f: Float32, u: Float32, missing_rate: float, codes_out: UInt8) -> None:
    """Turn allele frequencies and uniform numbers into .bed codes.

    With r the call rate, u < r f² is dosage 2, u < r f(2 − f) at least 1, and u ≥ r missing. A code's high
    bit says "1 or more", its low bit "2", and the low bit alone "missing".
    """
    call_rate = np.float32(1 - missing_rate)
    missing = u >= call_rate
    # Both thresholds are rounded in the same order, so that 2 implies 1 or more.
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


def _pack_codes(codes: UInt8) -> UInt8:
    """Pack 2-bit codes (n_snps, 4·n_bytes), one per byte, into (n_snps, n_bytes); pad codes are zero."""
    words = codes.view("<u4")
    packed = words >> 6
    packed |= words
    high = words >> 18
    packed |= high
    np.right_shift(words, 12, out=high)
    packed |= high
    return packed.astype(np.uint8)


def _draw_ancestry(rng: np.random.Generator, home: Int64, n_populations: int, admixture: float) -> Float64:
    """Share of every population in every sample, (n_samples, n_populations)."""
    mixed = rng.dirichlet(np.ones(n_populations), len(home))
    return (1 - admixture) * np.eye(n_populations)[home] + admixture * mixed


def _draw_gradients(
    rng: np.random.Generator, ancestry: Float64, n_variables: int, confounding: float
) -> Float64:
    """Variables of mean 0 and variance 1 whose multiple correlation with the ancestry is `confounding`."""
    # Sums instead of matrix products, whose last bit may depend on the threads of BLAS.
    basis: list[Float64] = []
    for share in ancestry.T:
        basis.append(_standardised(_without(share, basis)))
    n_samples, n_populations = ancestry.shape
    gradients = np.empty((n_samples, n_variables))
    for j in range(n_variables):
        weights = rng.standard_normal(n_populations)
        noise = rng.standard_normal((n_samples,))
        # The shares of a sample sum to 1, so that the basis spans the mean as well.
        gradients[:, j] = np.sqrt(1 - confounding**2) * _standardised(_without(noise, basis))
        if confounding > 0:
            gradient = (ancestry * weights).sum(axis=1)
            gradients[:, j] += confounding * _standardised(gradient - gradient.mean())
    return gradients


def _without(vector: Float64, basis: list[Float64]) -> Float64:
    """Part of a vector orthogonal to an orthogonal basis of mean squares 1."""
    for direction in basis:
        vector = vector - (direction * vector).mean() * direction
    return vector


def _standardised(vector: Float64) -> Float64:
    """Scale a vector to mean square 1."""
    scaled: Float64 = vector / np.sqrt((vector * vector).mean())
    return scaled


def _integer(name: str, value: int, least: int) -> int:
    """Return a parameter as int, or refuse it."""
    try:
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{name} is {value!r}; it must be an integer") from None
    if number < least:
        raise UsageError(f"{name} is {number}; it must be at least {least}")
    return number


def _check_number(name: str, value: float, condition: str, holds: bool) -> None:
    if not holds:
        raise UsageError(f"{name} is {value}; it must be {condition}")


def _check_dosages(dosages: NDArray[Any], is_wrong: NDArray[np.bool_]) -> None:
    if is_wrong.any():
        snp, sample = np.argwhere(is_wrong)[0].tolist()
        raise UsageError(
            f"dosage {dosages[snp, sample]} at SNP {snp}, sample {sample} (counted from 0); "
            "a dosage is 0, 1 or 2, and −1 or 255 where missing"
        )


def _check_sizes(
    n_samples: int, n_snps: int, n_variables: int, n_populations: int, n_causal: int, n_chromosomes: int
) -> None:
    """Refuse sizes that contradict each other."""
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


def _snp_id(index: int) -> str:
    return f"snp{index + 1:07d}"


def _sample_ids(n_samples: int) -> list[str]:
    return [f"s{i + 1:04d}" for i in range(n_samples)]


def _fam_text(fid: Sequence[str], iid: Sequence[str]) -> bytes:
    return "".join(
        f"{family}\t{sample}\t0\t0\t0\t-9\n" for family, sample in zip(fid, iid, strict=True)
    ).encode()


def _env_text(iid: Sequence[str], variables: Float64) -> bytes:
    """CSV of IID and variables, in the fewest digits that read back as the same numbers."""
    lines = [",".join(["IID", *(f"env{j + 1}" for j in range(variables.shape[1]))])]
    lines += [
        ",".join([sample, *map(repr, row)]) for sample, row in zip(iid, variables.tolist(), strict=True)
    ]
    return ("\n".join(lines) + "\n").encode()


def _bim_text(loci: _Loci) -> bytes:
    snps = range(loci.first, loci.first + len(loci.positions))
    return "".join(
        f"{chromosome}\t{_snp_id(snp)}\t0\t{position}\t{a1}\t{a2}\n"
        for snp, chromosome, position, (a1, a2) in zip(
            snps, loci.chromosomes, loci.positions, loci.alleles, strict=True
        )
    ).encode()


def _truth_text(
    causal: tuple[Int64, ...], effects: tuple[Float64, ...], places: dict[int, tuple[int, int]]
) -> bytes:
    """TSV of the causal SNPs; `places` gives chromosome and position by index."""
    lines = ["variable\tID\tindex\tCHROM\tPOS\teffect"]
    for j, (snps, sizes) in enumerate(zip(causal, effects, strict=True)):
        for snp, effect in zip(snps.tolist(), sizes.tolist(), strict=True):
            chromosome, position = places[snp]
            lines.append(f"env{j + 1}\t{_snp_id(snp)}\t{snp}\t{chromosome}\t{position}\t{effect!r}")
    return ("\n".join(lines) + "\n").encode()


@contextmanager
def _whole_files(paths: Sequence[Path], overwrite: bool) -> Iterator[list[BinaryIO]]:
    """Open files under ``.part`` names and give all of them their final names, or leave none."""
    existing = [path for path in paths if os.path.lexists(path)]
    if existing and not overwrite:
        raise OutputExistsError(
            f"{existing[0]} exists{f', and {len(existing) - 1} more of its set' if existing[1:] else ''}; "
            "choose another prefix, or pass overwrite=True"
        )
    parts = [path.with_name(path.name + ".part") for path in paths]
    renamed: list[Path] = []
    try:
        with ExitStack() as stack:
            files: list[BinaryIO] = [stack.enter_context(part.open("wb")) for part in parts]
            yield files
            for file in files:
                file.flush()
                os.fsync(file.fileno())
        for part, path in zip(parts, paths, strict=True):
            part.replace(path)
            renamed.append(path)
        _sync_folder(paths[0].parent)
    except BaseException as error:
        # A set of old and new files is worse than none.
        for path in (*parts, *renamed):
            with suppress(OSError):
                path.unlink()
        if isinstance(error, OSError):
            raise WriteError(
                f"{error.filename or paths[0].parent}: cannot be written ({error.strerror or error}); "
                "choose a folder that exists, may be written to and has room"
            ) from error
        raise


def _sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
