"""The demonstration: simulated data with known causal SNPs, one run, the hits beside the truth, and a report."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lfmm2._words import duration, with_error
from lfmm2.api import run
from lfmm2.errors import UsageError
from lfmm2.report import write_report
from lfmm2.results import AssociationResult
from lfmm2.simulation import Simulation, simulate

# Number of factors of the run: the 4 simulated populations have 3 axes of structure.
N_FACTORS = 3
# Level of q below which a SNP counts as discovered.
FDR = 0.05
# Number of the strongest SNPs that are listed for each variable.
N_TOP = 10


def run_demo(out: Path, seed: int, write: Callable[[str], None]) -> AssociationResult:
    """Simulate 500 samples × 50 000 SNPs and 2 variables, test them, and compare the hits with the truth.

    Parameters
    ----------
    out : Path
        Prefix of all files; those of an earlier demonstration are replaced.
    seed : int
        Seed of the simulation.
    write : callable
        Function that is called with each line of text.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    write("1/3 Simulate 500 samples of 4 populations, 50 000 SNPs, 2 variables with 20 causal SNPs each ...")
    started = time.monotonic()
    data = simulate(out, seed=seed, overwrite=True)
    simulated = time.monotonic()
    results = out.with_name(out.name + ".results")
    write(f"    {duration(simulated - started)}")
    write("2/3 Estimate 3 latent factors, and test every SNP with both variables ...")
    write(f"    lfmm2 run --bed {data.bed} --env {data.env} -K {N_FACTORS} --out {results} --overwrite")
    result = run(None, data.bed, data.env, N_FACTORS, out=results, overwrite=True)
    tested = time.monotonic()
    write(f"    {duration(tested - simulated)}")
    write("3/3 Draw the report ...")
    report = _draw_report(results)
    write(f"    {duration(time.monotonic() - tested)}")
    for j, name in enumerate(result.variables):
        write("")
        for line in report_variable(result, data, j, name):
            write(line)
    write("")
    write("Results: " + "  ".join(str(path) for path in result.paths.values()))
    write(f"Truth:   {data.truth}")
    write(f"Report:  {report}")
    return result


def _draw_report(results: Path) -> str:
    """Write the report of the run; return its path, or in words why there is none."""
    try:
        return str(write_report(results, overwrite=True)[0])
    except UsageError as error:
        return f"none, {error}"


def report_variable(result: AssociationResult, data: Simulation, j: int, name: str) -> list[str]:
    """Return lines of text on a variable: the top hits beside the truth, GIF, power, false discovery proportion."""
    table = result.table(name)
    columns = {key: table[key].to_numpy() for key in ("BETA", "T_STAT", "P_CAL", "Q")}
    effects = dict(zip(data.causal[j].tolist(), data.effects[j].tolist(), strict=True))
    order = np.argsort(-np.nan_to_num(np.abs(columns["T_STAT"])), kind="stable")
    lines = [
        f"{name}: top {N_TOP} of {table.num_rows} SNPs",
        f"{'SNP':<12} {'CHROM':>5} {'POS':>10} {'BETA':>10} {'T':>7} {'P_CAL':>9} {'Q':>9}   truth",
    ]
    for i in order[:N_TOP].tolist():
        truth = f"causal, effect {effects[i]:+.2f}" if i in effects else "not causal"
        lines.append(
            f"{table['ID'][i].as_py():<12} {table['CHROM'][i].as_py():>5} {table['POS'][i].as_py():>10} "
            f"{columns['BETA'][i]:>10.3g} {columns['T_STAT'][i]:>7.2f} {columns['P_CAL'][i]:>9.2e} "
            f"{columns['Q'][i]:>9.2e}   {truth}"
        )
    discovered = set(np.flatnonzero(columns["Q"] < FDR).tolist())
    found = len(discovered & set(effects))
    proportion = (len(discovered) - found) / max(len(discovered), 1)
    lines.append(
        f"GIF {with_error(result.gif[j], result.gif_se[j])}; at q < {FDR}: {len(discovered)} discoveries, "
        f"power {found}/{len(effects)} = {found / len(effects):.2f}, false discovery proportion {proportion:.2f}"
    )
    return lines
