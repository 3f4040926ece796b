"""The rule of the catalogue of bad input: how a fault must end, through the command line and the functions.

A row of the catalogue is a fault in the good fileset d and its table env.csv (`input_cases`), the class of the error,
and what the message says. The rows stand in `test_input_catalogue` and, by subject, in the modules `test_catalogue_*`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import lfmm2
import lfmm2.pipeline.run  # imported before the clock runs
from lfmm2.cli.program import main

# Processor time: the time on the clock depends on what else the machine does.
MOST_SECONDS = 2.0


def check_refused(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    way: str,
    error: type[Exception],
    match: str,
    *,
    options: Sequence[str] = (),
    filesets: Sequence[str] = ("d",),
    est_filesets: Sequence[str] = (),
    **parameters: Any,
) -> str:
    """A run of d and env.csv fails in this way, soon, and writes nothing; return the message.

    `way` is "command" or "function". `options` are added to the command, `parameters` to the call. Other genotypes than
    d may be given; of a single fileset the function gets the name, of several a list.
    """
    before = sorted(folder.iterdir())
    start = time.process_time()
    if way == "command":
        given = [part for name in filesets for part in ("--bed", name)]
        given += [part for name in est_filesets for part in ("--est-bed", name)]
        with pytest.raises(SystemExit) as ended:
            main(["run", *given, "--env", "env.csv", "-K", "3", "--out", "result", *options])
        seconds = time.process_time() - start
        err = capsys.readouterr().err
        (message,) = re.findall(r"^Error: (.*)", err, re.MULTILINE | re.DOTALL)
        assert ended.value.code == error.exit_code, err
        assert "Traceback" not in err
    else:
        est, full = (names[0] if len(names) == 1 else list(names) or None for names in (est_filesets, filesets))
        with pytest.raises(error) as caught:
            lfmm2.run(est, full, "env.csv", 3, out="result", **parameters)  # type: ignore[arg-type]
        seconds = time.process_time() - start
        message = str(caught.value)
    assert re.search(match, message), message
    assert re.search(r"[;,] [a-z]", message), message  # a remedy
    assert len(message) < 1000
    assert seconds < MOST_SECONDS
    assert sorted(folder.iterdir()) == before
    return message
