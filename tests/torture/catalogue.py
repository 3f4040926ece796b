"""The catalogue of bad inputs, which is in the test suite: how many cases there are, and that all pass.

PYTHONPATH=src:tests python -m torture.catalogue
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# root without the right to read what is closed to everybody
UNPRIVILEGED = (
    "setpriv",
    "--bounding-set",
    "-dac_override,-dac_read_search",
    "--inh-caps",
    "-dac_override,-dac_read_search",
)
FILES = (
    *(
        f"tests/test_{name}.py"
        for name in ("bad_input", "input_catalogue", "input_changes", "bad_arguments", "sound_input")
    ),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").glob("test_catalogue_*.py")),
)


def run(full: bool) -> dict[str, object]:
    """Cases of bad and odd but sound input, by the command line and the functions."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    user = UNPRIVILEGED if os.geteuid() == 0 and shutil.which("setpriv") else ()
    done = subprocess.run(
        [*user, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *FILES],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|skipped)", done.stdout.splitlines()[-1])}
    return {"cases": counts.get("passed", 0), "skipped": counts.get("skipped", 0)}


if __name__ == "__main__":
    print(json.dumps(run(full=True), indent=2))
