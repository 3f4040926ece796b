"""How busy the machine is: the allowance of tests that look at the clock."""

from __future__ import annotations

import time


def slowdown(seconds: float = 0.2) -> float:
    """Return how many times longer work takes now than on an idle processor, at least 1."""
    began, spent = time.monotonic(), time.process_time()
    while time.process_time() - spent < seconds:
        pass
    return max((time.monotonic() - began) / seconds, 1.0)
