"""What the commands of a run print: as much as `--quiet` and `--verbose` ask, and for programs with `--log-json`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lfmm2.cli.terminal import say, speak_json, tell, tell_program
from lfmm2.errors import UsageError

if TYPE_CHECKING:
    from lfmm2.process import Progress
    from lfmm2.results import AssociationResult, RunRecord

#: Names of the options of which a `CommandOutput` is made.
OUTPUT_OPTIONS = ("quiet", "verbose", "log_json")


class CommandOutput:
    """Prints the plan, the results and the answer of a command.

    Parameters
    ----------
    quiet : bool
        Print warnings and errors alone.
    verbose : bool
        Print all that the log has.
    log_json : bool
        Write progress, warnings and the answer as JSON on standard error.

    Raises
    ------
    UsageError
        If both `quiet` and `verbose` are wanted.
    """

    def __init__(self, quiet: bool = False, verbose: bool = False, log_json: bool = False) -> None:
        if quiet and verbose:
            raise UsageError("--quiet and --verbose are the opposite of each other; give one of them")
        self._quiet, self._verbose, self._log_json = quiet, verbose, log_json
        self._started = time.monotonic()
        speak_json(log_json)

    @classmethod
    def take(cls, arguments: dict[str, Any]) -> CommandOutput:
        """Return the output that the options in `arguments` ask for, and remove these from it."""
        return cls(**{name: arguments.pop(name) for name in OUTPUT_OPTIONS if name in arguments})

    def progress(self) -> bool | Progress:
        """Return the argument `progress` of the functions."""
        from lfmm2.process import json_progress

        return json_progress() if self._log_json else not self._quiet

    def say(self, text: str) -> None:
        """Print a text for people."""
        if not self._quiet:
            say(text)

    def say_results(self, result: AssociationResult, out: str, report: bool, overwrite: bool, is_new: bool) -> None:
        """Print the results of a run, and write its report if that is wanted.

        `overwrite` lets the report replace an earlier one; `is_new` is False if the run was complete before.
        """
        from lfmm2._words import aligned
        from lfmm2.results import answer_facts, answer_lines, open_record
        from lfmm2.statistics import sweep_lines

        if result.sweep is not None:
            self.say("\n" + "\n".join(sweep_lines(result.sweep, result.variables)) + "\n")
        record = open_record(result.paths["record"])
        paths = {name: str(path) for name, path in result.paths.items()}
        if report:
            from lfmm2.report import write_report

            paths |= {"report": str(write_report(out, overwrite=overwrite)[0])}
        elif is_new and (pictures := Path(f"{out}.report.html")).exists():
            tell("warning", f"{pictures} shows earlier results; lfmm2 report {out} --overwrite renews it")
        seconds = time.monotonic() - self._started
        self.say(self._describe_results(record, paths))
        self.say("\n" + aligned(answer_lines(record, out, seconds)))
        tell_program("answer", **answer_facts(record), seconds=round(seconds, 3), files=paths)

    def _describe_results(self, record: RunRecord, paths: dict[str, str]) -> str:
        """Return the lines about all that the run has found and written."""
        from lfmm2._words import aligned
        from lfmm2.results import pass_lines, result_lines, software_line

        lines = result_lines(record)
        if not self._verbose:
            del lines["singular values"]
            if not any(facts.others for facts in record.collinearity.values()):
                lines.pop("VIF", None)  # No variable is correlated so far that it matters.
        lines |= {("report" if name == "report" else f"{name} file"): path for name, path in paths.items()}
        more = [software_line(record), aligned(pass_lines(record))] if self._verbose else []
        return "\n\n".join([aligned(lines), *more])
