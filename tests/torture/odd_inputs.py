"""One truth given in 5 000 ways to a run and to the genetic offset: none may give a wrong answer without a word.

PYTHONPATH=src:tests python -m torture.odd_inputs
"""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from typing import Any

import odd_inputs
import odd_offsets
from hypothesis import given, settings
from test_properties import CHECKS

MANY, FEW = {"run": 4000, "offset": 1000}, {"run": 20, "offset": 10}


def try_ways(judge: Any, ways: Any, n: int) -> dict[str, Counter[str]]:
    """Judge so many ways; return how they ended, by the names of their oddities."""
    ends: dict[str, Counter[str]] = defaultdict(Counter)

    @settings(CHECKS, max_examples=n)
    @given(ways)
    def tried(way: Any) -> None:
        ended = judge(way)
        for name in ("all", *(way.all_oddities or ["plain"])):
            ends[name][ended] += 1

    tried()
    return ends


def run(full: bool) -> dict[str, object]:
    """Run the topic; AssertionError shows the smallest example that was found."""
    examples = MANY if full else FEW
    began = time.perf_counter()
    by_run = try_ways(odd_inputs.judge, odd_inputs.ways(), examples["run"])
    by_offset = try_ways(odd_offsets.judge, odd_offsets.offset_ways(), examples["offset"])
    ends = by_run["all"] + by_offset["all"]
    return {
        "examples": sum(ends.values()),
        "ends": dict(sorted(ends.items())),
        "kinds of oddity": len({*by_run, *by_offset} - {"all", "plain"}),
        "silent and wrong": 0,
        "seconds": round(time.perf_counter() - began),
    }


if __name__ == "__main__":
    print(json.dumps(run(full=True), indent=2))
