"""The properties of tests/test_properties.py on many examples."""

from __future__ import annotations

import json
import time
from typing import Any

import test_properties
from hypothesis import given, settings

MANY, FEW = 300, 5


def run(full: bool) -> dict[str, object]:
    """Run the topic; AssertionError shows the smallest example that was found."""
    profile = settings(test_properties.CHECKS, max_examples=MANY if full else FEW)
    test_properties.EXAMPLES.clear()
    began = time.perf_counter()
    for function, strategies in test_properties.PROPERTIES.values():
        test: Any = profile(given(**strategies)(function))
        test()
    examples = dict(test_properties.EXAMPLES)
    assert len(examples) == len(test_properties.PROPERTIES), f"without an example: {examples}"
    return {"examples": sum(examples.values()), "seconds": round(time.perf_counter() - began), "of each": examples}


if __name__ == "__main__":
    print(json.dumps(run(full=True), indent=2))
