"""The command line: options to a job, a job to an exit code. All work is done elsewhere."""

from __future__ import annotations

import errno
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from lfmm2.cli._interrupt import end_within, say_nothing
from lfmm2.cli.option_command import OptionCommand, of_other_command
from lfmm2.cli.result_commands import hits, offset, report, verify
from lfmm2.cli.run_command import run
from lfmm2.cli.terminal import give_up_output, say, whisper
from lfmm2.errors import InsufficientMemoryError, LfmmError, LfmmWarning, ReadError, UsageError, WriteError
from lfmm2.pipeline.options import NUMBER, PATH, WHOLE, Option

F = TypeVar("F", bound=Callable[..., Any])

INTERRUPTED = 130
# from a signal to the end of the process, at most; a second with what the system takes
GRACE_SECONDS = 0.8
_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EPIPE)


def _version() -> str:
    from lfmm2._version import __version__

    return __version__


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        say(f"lfmm2 {_version()}")
        context.exit()


class _Group(click.Group):
    """Suggests the command that was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise UsageError(f"{error.message} Commands: {', '.join(self.list_commands(ctx))}") from error


@click.group(
    cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}, no_args_is_help=True
)
@click.option("--debug", is_flag=True, help="Show a traceback when something fails; may stand anywhere.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show the version."
)
def cli(debug: bool) -> None:
    """Exact LFMM2: find the genes behind adaptation, traits and exposures.

    The main job is `lfmm2 run`; `lfmm2 demo` shows it at work on simulated data. Any command takes --help.
    """


_SIMULATE = (
    Option("out", "--out", PATH, required=True, help="Prefix of the files."),
    Option("n_samples", "--samples", WHOLE, default=500, help="Number of samples."),
    Option("n_snps", "--snps", WHOLE, default=50_000, help="Number of SNPs."),
    Option("n_variables", "--variables", WHOLE, default=2, help="Number of variables."),
    Option("n_populations", "--populations", WHOLE, default=4, help="Number of populations."),
    Option("n_causal", "--causal", WHOLE, default=20, help="Causal SNPs per variable."),
    Option("missing_rate", "--missing-rate", NUMBER, default=0.01, help="Share of missing calls."),
    of_other_command("seed", help="Of the random numbers."),
    of_other_command("overwrite", help="Replace existing files."),
)  # fmt: skip
_DEMO = (
    Option("out", "--out", PATH, default=Path("lfmm2-demo/demo"), help="Prefix of the files."),
    of_other_command("seed", default=1, help="Of the simulation."),
)  # fmt: skip


@cli.command(cls=OptionCommand, options=_SIMULATE)
def simulate(**arguments: Any) -> None:
    """Write a structured data set with known causal SNPs."""
    from lfmm2.simulation import simulate as simulate_data

    data = simulate_data(**arguments)
    for path in (data.bed, data.bim, data.fam, data.env, data.truth):
        say(str(path))


@cli.command(cls=OptionCommand, options=_DEMO)
def demo(out: Path, seed: int) -> None:
    """Simulate data, run lfmm2 on it, and show the hits beside the truth."""
    from lfmm2.cli.demo import run_demo

    run_demo(out, seed, say)


@cli.command()
def info() -> None:
    """Show version, processor, BLAS, threads and SIMD."""
    from lfmm2.process import describe_machine

    say(describe_machine())


for _command in (run, hits, offset, report, verify):
    cli.add_command(_command)


def _print_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: Any = None,
) -> None:
    whisper(f"Warning: {message}")


class _Stopped(BaseException):
    """A signal has asked the program to end; its argument is the exit code."""


def _stop(signum: int, frame: Any) -> None:
    raise _Stopped(128 + signum)


def _ignore_stopped(unraisable: Any, otherwise: Callable[[Any], object] = sys.unraisablehook) -> None:
    """Say nothing where a signal came in a callback that cannot raise: then the timer ends the process."""
    if not isinstance(unraisable.exc_value, _Stopped):
        otherwise(unraisable)


def _catch_signals() -> None:
    """Leave through the exception path if that is fast enough; what nohup ignores stays ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    caught = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    for number in caught:
        signal.signal(number, _stop)
    sys.unraisablehook = _ignore_stopped
    end_within(GRACE_SECONDS, caught)


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with the code of the error class."""
    warnings.simplefilter("always", LfmmWarning)
    warnings.showwarning = _print_warning
    arguments = sys.argv[1:] if argv is None else argv
    # taken in any place, and by itself no command
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"] or ["--help"]
    try:
        _catch_signals()
        code = _run_command(arguments, debug)
    except _Stopped as stop:  # before the command began, or while an error was being printed
        code = int(stop.args[0])
    try:
        if sys.stdout is not None:  # it is where standard output was closed
            sys.stdout.flush()
    except OSError:  # of what click has printed itself
        give_up_output()
        code = code or WriteError.exit_code
    sys.exit(code)


def _run_command(arguments: list[str], debug: bool) -> int:
    """The exit code of a command line, whose errors have been printed."""
    try:
        code = cli.main(args=arguments, prog_name="lfmm2", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except LfmmError as error:
        return _fail(error, error.exit_code, debug)
    except click.UsageError as error:
        where = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        return _fail(error, UsageError.exit_code, debug, error.format_message() + where)
    except click.ClickException as error:
        return _fail(error, error.exit_code, debug, error.format_message())
    except _Stopped as stop:
        say_nothing()
        _print_notes(stop)
        whisper("Interrupted.")
        return int(stop.args[0])
    except (click.Abort, KeyboardInterrupt) as error:
        _print_notes(error)
        whisper("Interrupted.")
        return INTERRUPTED
    except MemoryError as error:
        return _fail(error, InsufficientMemoryError.exit_code, debug, "out of memory; lower --memory or --threads")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        code = WriteError.exit_code if error.errno in _OF_WRITING else ReadError.exit_code
        return _fail(error, code, debug, f"{where}{error.strerror or error}; check disk and network")
    except Exception as error:
        return _fail(error, 1, debug, f"internal error: {type(error).__name__}: {error}; --debug shows where")


def _fail(error: BaseException, code: int, debug: bool, text: str | None = None) -> int:
    if debug:
        import traceback

        traceback.print_exception(error)
    whisper(f"Error: {text or error}")
    _print_notes(error)
    return code


def _print_notes(error: BaseException) -> None:
    """What was added to an error on its way, such as where the state of the run is."""
    for note in getattr(error, "__notes__", ()):
        whisper(note)
