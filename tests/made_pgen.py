"""PLINK 2 filesets of a simulated truth, written by Pgenlib, which the tests that use them need."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from made_genotypes import Truth
from numpy.typing import NDArray


def pvar_text(truth: Truth, header: str = "##contig=<ID=chr2>\n", info: bool = False) -> str:
    """The text of a .pvar: A2 is REF, A1 is ALT; with `info` more columns."""
    more = ("\tQUAL\tFILTER\tINFO\tCM", "\t.\tPASS\tDP=4;AF=0.5\t0") if info else ("", "")
    rows = [f"{header}#CHROM\tPOS\tID\tREF\tALT{more[0]}\n"]
    for j, (alt, ref) in enumerate(truth.alleles):
        rows.append(f"{truth.chromosomes[j]}\t{truth.positions[j]}\t{truth.ids[j]}\t{ref}\t{alt}{more[1]}\n")
    return "".join(rows)


def psam_text(truth: Truth) -> str:
    return "#IID\tSEX\n" + "".join(f"{iid}\tNA\n" for iid in truth.iid)


def write_pgen(truth: Truth, prefix: Path, dosages: NDArray[np.floating] | None = None) -> Path:
    """Write <prefix>.pgen/.pvar/.psam, with `dosages` of A2 of shape (n_snps, n_samples) beside the hard calls."""
    library = pytest.importorskip("pgenlib")
    n_snps, n_samples = truth.dosages.shape
    path = Path(f"{prefix}.pgen")
    with library.PgenWriter(
        os.fsencode(path), n_samples, variant_ct=n_snps, nonref_flags=False, dosage_present=dosages is not None
    ) as writer:
        if dosages is None:
            codes = np.array(truth.codes, np.int8)
            writer.append_biallelic_batch(np.where(codes < 0, -9, 2 - codes).astype(np.int8))
        else:
            writer.append_dosages_batch(np.where(np.isnan(dosages), -9, 2 - dosages))
    Path(f"{prefix}.pvar").write_text(pvar_text(truth))
    Path(f"{prefix}.psam").write_text(psam_text(truth))
    return path
