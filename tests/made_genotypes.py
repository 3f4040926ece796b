"""One simulated truth, written as plain text in each foreign format that `lfmm2 convert` reads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lfmm2.genotypes.plink_writer import write_plink

Floats = NDArray[np.float64]
CONTIGS = ("chr2", "scaffold_12|size345", "HLA:A*01", "MT")
COLUMNS = ("#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT")
# Variants that are left out, between the SNPs: REF, ALT, and calls of two samples.
OTHERS = {
    "multiallelic": ("A", "C,G", "1/2"),
    "indels and other longer alleles": ("AT", "A", "0/1"),
    "symbolic alleles": ("A", "<DEL>", "0/1"),
    "no ALT": ("A", ".", "0/0"),
}


@dataclass(frozen=True)
class Truth:
    """Genotypes as they are: dosages of A2, NaN where missing, shape (n_snps, n_samples), and all names."""

    dosages: Floats
    iid: list[str]
    chromosomes: list[str]
    positions: list[int]
    ids: list[str]
    alleles: list[tuple[str, str]]

    @property
    def codes(self) -> list[list[int]]:
        """Dosages as whole numbers, −1 where missing."""
        return [[-1 if np.isnan(d) else int(d) for d in row] for row in self.dosages]

    def write_bed(self, out: Path) -> Path:
        """Write the fileset that every format must be converted to."""
        return write_plink(
            out, self.dosages, iid=self.iid, snp_ids=self.ids, chromosomes=self.chromosomes, positions=self.positions,
            alleles=self.alleles,
        )  # fmt: skip

    def bim_rows(self) -> list[list[str]]:
        """Lines of the .bim, as cells."""
        rows = zip(self.chromosomes, self.ids, self.positions, self.alleles, strict=True)
        return [[chromosome, snp_id, "0", str(position), *pair] for chromosome, snp_id, position, pair in rows]


def simulate(n_samples: int, n_snps: int = 90, seed: int = 3) -> Truth:
    """Draw genotypes of three populations with missing calls; A2 is the first allele of a VCF (REF)."""
    rng = np.random.default_rng(seed)
    frequencies = np.clip(rng.uniform(0.2, 0.8, (n_snps, 1)) + rng.normal(0, 0.15, (n_snps, 3)), 0.05, 0.95)
    dosages = rng.binomial(2, frequencies[:, np.arange(n_samples) % 3]).astype(float)
    dosages[rng.random(dosages.shape) < 0.04] = np.nan
    contig = np.sort(rng.integers(0, len(CONTIGS), n_snps))
    positions = (np.arange(n_snps) * 100 + 1).tolist()
    letters = [("C", "A"), ("T", "G"), ("A", "T")]
    chromosomes = [CONTIGS[k] for k in contig]
    ids = [f"{chromosomes[j]}:{positions[j]}" if j % 3 == 0 else f"rs{j}" for j in range(n_snps)]
    iid = [f"tree-{k}" for k in range(n_samples)]
    return Truth(dosages, iid, chromosomes, positions, ids, [letters[j % 3] for j in range(n_snps)])


def nameless(truth: Truth) -> Truth:
    """The same genotypes with the names that are made where a format has none."""
    n_snps, n_samples = truth.dosages.shape
    return Truth(
        truth.dosages, [f"s{k + 1:04d}" for k in range(n_samples)], ["0"] * n_snps, [0] * n_snps,
        [f"snp{j + 1:07d}" for j in range(n_snps)], [("1", "2")] * n_snps,
    )  # fmt: skip


def vcf_call(dosage: int, k: int) -> str:
    """A GT with this dosage of REF; `k` chooses one of several ways to write it."""
    if dosage < 0:
        return ("./.", ".", "./1", "0/.", ".|.", "1|.")[k % 6]
    return {0: ("1/1", "1|1", "1"), 1: ("0/1", "0|1", "1|0"), 2: ("0/0", "0|0", "0")}[dosage][k % 3]


def vcf_text(truth: Truth, others: bool = True, declared: bool = True) -> str:
    """A VCF of the truth, with SNPs that are left out between the others, and FORMAT in several orders."""
    n_samples = len(truth.iid)
    header = ["##fileformat=VCFv4.2", '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth, of all">']
    header += ['##FILTER=<ID=q10,Description="low">']
    header += [f"##contig=<ID={name}>" for name in CONTIGS] if declared else []
    header += [
        f'##FORMAT=<ID={key},Number=1,Type={kind},Description="{key}">'
        for key, kind in (("GT", "String"), ("DP", "Integer"), ("GL", "Float"))
    ]
    rows = [*header, "\t".join([*COLUMNS, *truth.iid])]
    reasons = list(OTHERS)
    for j, codes in enumerate(truth.codes):
        site = f"{truth.chromosomes[j]}\t{truth.positions[j]}"
        alt, ref = truth.alleles[j]
        form = ("GT", "GT:DP", "DP:GT")[j % 3 if others else 0]
        calls = [vcf_call(code, 7 * j + k) for k, code in enumerate(codes)]
        cells = {"GT": calls, "GT:DP": [f"{c}:9" if k % 2 else c for k, c in enumerate(calls)],
                 "DP:GT": [f"9:{c}" if c != "." else "9" for c in calls]}[form]  # fmt: skip
        snp_id = "." if j % 3 == 0 else truth.ids[j]
        rows.append("\t".join([site, snp_id, ref, alt, "50", "PASS", "DP=9", form, *cells]))
        if others and j % 20 == 0:
            ref, alt, call = OTHERS[reasons[j // 20 % len(reasons)]]
            rows.append("\t".join([site, ".", ref, alt, ".", "q10", ".", "GT", *[call] * n_samples]))
    if others:
        rows.append("\t".join([site, ".", "A", "C", ".", ".", ".", "DP", *["3"] * n_samples]))
    return "\n".join(rows) + "\n"


def lfmm_text(truth: Truth, missing: str = "9", mark: str = " ") -> str:
    return "".join(
        mark.join(missing if c < 0 else str(c) for c in sample) + "\n" for sample in zip(*truth.codes, strict=True)
    )


def geno_text(truth: Truth) -> str:
    return "".join("".join("9" if c < 0 else str(c) for c in row) + "\n" for row in truth.codes)


def write_012(truth: Truth, path: Path) -> None:
    rows = (f"{k}\t" + "\t".join(map(str, sample)) for k, sample in enumerate(zip(*truth.codes, strict=True)))
    path.write_text("".join(row + "\n" for row in rows))
    Path(f"{path}.indv").write_text("".join(f"{name}\n" for name in truth.iid))
    sites = zip(truth.chromosomes, truth.positions, strict=True)
    Path(f"{path}.pos").write_text("".join(f"{name}\t{position}\n" for name, position in sites))


def raw_text(truth: Truth, mark: str = " ", het: bool = False, other: bool = True) -> str:
    """A .raw that counts A2; with `het` columns of heterozygotes too, and the other allele with `other`."""
    names = []
    for snp_id, (a1, a2) in zip(truth.ids, truth.alleles, strict=True):
        names += [f"{snp_id}_{a2}(/{a1})" if other else f"{snp_id}_{a2}", *([f"{snp_id}_HET"] if het else [])]
    rows = [mark.join(["FID", "IID", "PAT", "MAT", "SEX", "PHENOTYPE", *names])]
    for iid, sample in zip(truth.iid, zip(*truth.codes, strict=True), strict=True):
        cells = []
        for code in sample:
            cells += ["NA" if code < 0 else str(code), *(["NA" if code < 0 else str(int(code == 1))] if het else [])]
        rows.append(mark.join(["0", iid, "0", "0", "0", "-9", *cells]))
    return "\n".join(rows) + "\n"


def traw_text(truth: Truth) -> str:
    rows = ["\t".join(["CHR", "SNP", "(C)M", "POS", "COUNTED", "ALT", *(f"0_{iid}" for iid in truth.iid)])]
    for row, codes in zip(truth.bim_rows(), truth.codes, strict=True):
        chromosome, snp_id, _, position, a1, a2 = row
        rows.append("\t".join([chromosome, snp_id, "0", position, a2, a1, *("NA" if c < 0 else str(c) for c in codes)]))
    return "\n".join(rows) + "\n"


def write_ped(truth: Truth, path: Path, mark: str = " ", half: bool = False) -> None:
    """A .ped with its .map; with `half` some missing calls lack one allele only."""
    rows = []
    for k, (iid, sample) in enumerate(zip(truth.iid, zip(*truth.codes, strict=True), strict=True)):
        calls = []
        for j, ((a1, a2), code) in enumerate(zip(truth.alleles, sample, strict=True)):
            missing = (a1, "0") if half and (j + k) % 2 else ("0", "0")
            calls += {-1: missing, 0: (a1, a1), 1: (a1, a2), 2: (a2, a2)}[code]
        rows.append(mark.join(["0", iid, "0", "0", "1", "-9", *calls]) + "\n")
    path.write_text("".join(rows))
    path.with_suffix(".map").write_text("".join("\t".join(row[:4]) + "\n" for row in truth.bim_rows()))


def dosage_vcf_text(truth: Truth, seed: int = 8) -> str:
    """A VCF of the truth with GT, DS and GP, of which some are missing or left out, and haploid calls."""
    rng = np.random.default_rng(seed)
    fields = (("GT", "1", "String"), ("DS", "A", "Float"), ("GP", "G", "Float"))
    rows = ["##fileformat=VCFv4.2", *(f"##contig=<ID={name}>" for name in CONTIGS)]
    rows += [f'##FORMAT=<ID={key},Number={n},Type={kind},Description="{key}">' for key, n, kind in fields]
    rows.append("\t".join([*COLUMNS, *truth.iid]))
    for j, codes in enumerate(truth.codes):
        alt, ref = truth.alleles[j]
        form = ("GT:DS:GP", "GT:GP:DS", "GT", "DS:GP")[j % 4]
        cells = []
        for k, code in enumerate(codes):
            call = vcf_call(code, 3 * j + k)
            is_haploid = "GT" in form and len(call) == 1  # as plink2 takes "." too
            p = rng.dirichlet([1, 1] if is_haploid else [1, 1, 1]).round(3)
            ds = p[1] if is_haploid else p[1] + 2 * p[2]
            values = {"GT": call, "DS": f"{ds:.3f}", "GP": ",".join(f"{x:.3f}" for x in p)}
            if (j + k) % 5 == 0:
                values |= {"DS": ".", "GP": "."}
            cells.append(":".join(values[key] for key in form.split(":")))
        site = [truth.chromosomes[j], str(truth.positions[j]), truth.ids[j], ref, alt, ".", ".", ".", form]
        rows.append("\t".join([*site, *cells]))
    return "\n".join(rows) + "\n"
