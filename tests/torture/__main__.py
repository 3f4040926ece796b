"""All topics in their full tier, one after the other; writes reliability.json.

    PYTHONPATH=tests python -m torture [--out FILE] [--merge] [TOPIC ...]

A topic that cannot run here (no strace, no root, no clang) is recorded with the reason. With --merge the file's figures
of other topics stay.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torture.runs import Unavailable

TOPICS = (
    "catalogue",
    "faults",
    "kills",
    "disk_full",
    "truncation",
    "bit_identity",
    "memory_limits",
    "big_offsets",
    "sanitizers",
    "properties",
    "odd_inputs",
    "fuzz",
    "canaries",
)


def run_topic(name: str) -> dict[str, Any]:
    """The counts of one topic, with ``passed`` and ``seconds``."""
    started = time.monotonic()
    result: dict[str, Any]
    try:
        counts = importlib.import_module(f"torture.{name}").run(full=True)
        result = {"passed": True, **counts}
    except Unavailable as reason:
        result = {"passed": None, "not run": str(reason)}
    except Exception:
        traceback.print_exc()
        result = {"passed": False}
    return result | {"seconds": round(time.monotonic() - started)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=", ".join(TOPICS))
    parser.add_argument("--out", type=Path, default=Path("reliability.json"), help="file of figures")
    parser.add_argument("--merge", action="store_true", help="keep the figures of other topics")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.topics) - set(TOPICS))
    if unknown:
        parser.error(f"{', '.join(unknown)}: unknown; topics are {', '.join(TOPICS)}")
    import lfmm2
    from lfmm2.process.versions import software

    topics: dict[str, Any] = {}
    if arguments.merge and arguments.out.exists():
        topics = json.loads(arguments.out.read_text())["topics"]
    for name in arguments.topics or TOPICS:
        print(f"=== {name}", flush=True)
        topics[name] = run_topic(name)
        print(json.dumps(topics[name], indent=2), flush=True)
        report = {
            "lfmm2": lfmm2.__version__,
            "date": datetime.now(UTC).date().isoformat(),
            "software": software() | {"kernel": platform.release().split("-")[0]},
            "topics": {name: topics[name] for name in TOPICS if name in topics},
        }
        arguments.out.write_text(json.dumps(report, indent=2) + "\n")
    failed = [name for name, result in topics.items() if result["passed"] is False]
    print(
        f"{len(topics) - len(failed)} of {len(topics)} topics without a fault"
        + "".join(f"; {n} FAILED" for n in failed)
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
