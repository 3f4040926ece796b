"""The figures that docs/reliability.md quotes, made from reliability.json so that it cannot quote others.

PYTHONPATH=tests python -m torture.summary [--write]
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
REPORT, PAGE = ROOT / "reliability.json", ROOT / "docs" / "reliability.md"
BLOCK = re.compile(r"(<!-- figures of reliability.json -->\n).*?(<!-- end of figures -->\n)", re.DOTALL)


def shown(number: int) -> str:
    """With spaces between thousands."""
    return f"{number:,}".replace(",", " ")


def lines(report: dict[str, Any]) -> list[str]:
    """One line per kind of trial."""
    topics = report["topics"]
    faults, kills, bits = topics["faults"], topics["kills"], topics["bit_identity"]
    at_calls = kills["at_calls"]["kills"]
    n_kills = at_calls + kills["at_times"]["kills"]
    seconds = kills["most_seconds_from_signal_to_end"]
    kinds = [topics["sanitizers"][kind] for kind in ("address_and_undefined", "thread")]
    n_tests, n_bugs = (sum(kind[count] for kind in kinds) for count in ("tests_passed", "seeded_bugs_caught"))
    n_runs = sum(data["runs"] for data in bits["data sets"].values())
    offsets = topics["big_offsets"]
    n_executions = sum(topics["fuzz"]["executions"].values())
    return [
        f"* {shown(topics['catalogue']['cases'])} cases of bad and odd input, by command line and functions.",
        f"* {shown(faults['points'])} I/O faults, at every system call on our files, once and for good: "
        f"{faults['corrupt']} corrupt files, {faults['wrong_with_exit_0']} wrong results with exit code 0, "
        f"{faults['hung']} hangs.",
        f"* {shown(n_kills)} kills, {shown(at_calls)} of them at each write-side call in turn: `--resume` gave the "
        f"bytes of the straight run every time. A signal ended a run within {seconds:.2f} s.",
        f"* {shown(topics['disk_full']['points'])} disks that were too small by any amount: complete, or exit "
        "code 7 and then `--resume` to the same bytes.",
        f"* {shown(n_runs)} runs on {bits['threads'][0]} to {bits['threads'][-1]} threads: one hash per data set.",
        f"* {topics['memory_limits']['cases']} combinations of sizes, threads and `--memory`: none took more.",
        f"* A .bed of {offsets['2.5 TB']['bytes'] / 1e12:.1f} TB, and "
        f"{shown(offsets['more than 2^31 SNPs']['SNPs'])} SNPs in one pass.",
        f"* {shown(n_tests)} kernel tests under ASAN with UBSAN and under TSAN: no report; {n_bugs} seeded bugs found.",
        f"* {shown(n_executions)} inputs made by atheris: only errors of lfmm2 came out. "
        f"{shown(topics['properties']['examples'])} examples of Hypothesis agree with the dense reference.",
        f"* {shown(topics['odd_inputs']['examples'])} ways to give the same data, with "
        f"{topics['odd_inputs']['kinds of oddity']} kinds of oddity: right, or an error or a warning that names the "
        f"fault; {topics['odd_inputs']['silent and wrong']} silent and wrong.",
        f"* {topics['canaries']['breakages']} deliberate breakages: each found by its test.",
    ]


def block(report: dict[str, Any]) -> str:
    """The lines as they stand on the page, folded at 132 columns."""
    return "".join(textwrap.fill(line, 132, subsequent_indent="  ") + "\n" for line in lines(report))


def main() -> int:
    text = block(json.loads(REPORT.read_text()))
    if "--write" in sys.argv:
        PAGE.write_text(BLOCK.sub(lambda found: found[1] + text + found[2], PAGE.read_text()))
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
