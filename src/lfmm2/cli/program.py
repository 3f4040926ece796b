"""The program `lfmm2`: its commands, signals, error messages and exit codes."""

from __future__ import annotations

import errno
import gc
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from lfmm2.cli._interrupt import end_within, say_nothing
from lfmm2.cli.convert_command import convert
from lfmm2.cli.hints import find_hint
from lfmm2.cli.option_command import Example, OptionCommand, adapt_option
from lfmm2.cli.own_process import defer_packages, let_threads_sleep
from lfmm2.cli.pack_command import pack
from lfmm2.cli.result_commands import hits, offset, report, verify
from lfmm2.cli.run_command import run
from lfmm2.cli.scatter_commands import combine, factors, test
from lfmm2.cli.terminal import give_up_output, occupy_standard_streams, say, speak_json, tell, whisper
from lfmm2.errors import InsufficientMemoryError, LfmmError, LfmmWarning, ReadError, UsageError, WriteError
from lfmm2.pipeline.options import FLAG, NUMBER, PATH, WHOLE, Option

F = TypeVar("F", bound=Callable[..., Any])

# Exit code after Ctrl-C: 128 + SIGINT, as shells have it.
INTERRUPTED = 130
# Seconds from a signal to the end of the process, at most. With the time that the system takes it is about a second;
# more lets a user wait, less may not be enough to clean up.
GRACE_SECONDS = 0.8
# Error numbers of the system that only writing causes; other errors are taken for errors of reading.
_WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EPIPE)


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the version and end, if --version is given."""
    if wanted and not context.resilient_parsing:
        from lfmm2._version import __version__

        say(f"lfmm2 {__version__}")
        context.exit()


class _Group(click.Group):
    """The group of all commands; the message about an unknown command lists them."""

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
    adapt_option("seed", help="Seed of the random numbers."),
    adapt_option("overwrite", help="Replace files that lfmm2 wrote before."),
)  # fmt: skip
_DEMO = (
    Option("out", "--out", PATH, default=Path("lfmm2-demo/demo"), help="Prefix of the files."),
    adapt_option("seed", default=1, help="Seed of the simulation."),
)  # fmt: skip


_INFO = (
    Option("measure", "--measure", FLAG, default=False,
           help="Also measure the rates of the passes, which takes some seconds."),
)  # fmt: skip
_SIMULATE_EXAMPLES = (
    Example("lfmm2 simulate --out sim", "Files to try everything on"),
    Example("lfmm2 simulate --out big --samples 2000 --snps 1000000 --causal 50", "How long does my size take?"),
)
_DEMO_EXAMPLES = (
    Example("lfmm2 demo", "Simulate, test, and compare with the truth"),
    Example("lfmm2 demo --seed 7 --out other/demo", "Other data, in another folder"),
)
_INFO_EXAMPLES = (
    Example("lfmm2 info", "What to write into a report of a fault"),
    Example("lfmm2 info --measure", "How fast are the passes here?"),
)


@cli.command(cls=OptionCommand, options=_SIMULATE, examples=_SIMULATE_EXAMPLES)
def simulate(**arguments: Any) -> None:
    """Write a structured data set with known causal SNPs."""
    from lfmm2.simulation import simulate as simulate_data

    data = simulate_data(**arguments)
    for path in (data.bed, data.bim, data.fam, data.env, data.truth):
        say(str(path))


@cli.command(cls=OptionCommand, options=_DEMO, examples=_DEMO_EXAMPLES)
def demo(out: Path, seed: int) -> None:
    """Simulate data, run lfmm2 on it, and show the hits beside the truth."""
    from lfmm2.cli.demo import run_demo

    run_demo(out, seed, say)


@cli.command(cls=OptionCommand, options=_INFO, examples=_INFO_EXAMPLES)
def info(measure: bool) -> None:
    """Show version, processor, BLAS, threads and SIMD."""
    from lfmm2.process import describe_machine, resolve_threads

    say(describe_machine())
    if measure:
        from lfmm2._words import aligned
        from lfmm2.genotypes import measure_rates

        say(aligned(measure_rates(resolve_threads(None))))


for _command in (run, factors, test, combine, convert, pack, hits, offset, report, verify):
    cli.add_command(_command)


def _print_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: Any = None,
) -> None:
    """Print a warning as one line, in place of `warnings.showwarning`."""
    tell("warning", str(message))


class _Stopped(BaseException):
    """The end of the program by a signal; its argument is the exit code."""


# Exit codes of the signals that have come. A library may swallow the exception that a signal raises, as pyarrow does
# while it loads pandas, and fail later for want of what it was doing: that error is a consequence of the signal.
_signalled: list[int] = []


def _stop(signum: int, frame: Any) -> None:
    """Handle a signal by raising `_Stopped`."""
    _signalled.append(128 + signum)
    raise _Stopped(128 + signum)


def _ignore_stopped(unraisable: Any, otherwise: Callable[[Any], object] = sys.unraisablehook) -> None:
    """Print nothing about a signal that came in a callback that cannot raise: the timer then ends the process."""
    if not isinstance(unraisable.exc_value, _Stopped):
        otherwise(unraisable)


def _catch_signals() -> None:
    """End by an exception at a signal, and after `GRACE_SECONDS` in any case; signals that nohup ignores stay so."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    caught = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    for number in caught:
        signal.signal(number, _stop)
    sys.unraisablehook = _ignore_stopped
    end_within(GRACE_SECONDS, caught)


def start() -> None:
    """Run the command line in a process of its own, and exit."""
    defer_packages()
    try:
        main()
    finally:
        gc.freeze()  # The end of the process frees everything at once.


def main(argv: list[str] | None = None) -> None:
    """Run the command line and exit with the code of the error class."""
    let_threads_sleep()
    occupy_standard_streams()
    warnings.simplefilter("always", LfmmWarning)
    warnings.showwarning = _print_warning
    arguments = sys.argv[1:] if argv is None else argv
    # --debug may stand at any place of the line, also after the command.
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"] or ["--help"]
    speak_json("--log-json" in arguments)
    _signalled.clear()
    try:
        _catch_signals()
        code = _run_command(arguments, debug)
    except _Stopped as stop:  # The signal came before the command began, or while an error was printed.
        code = int(stop.args[0])
    try:
        if sys.stdout is not None:  # It is None if standard output was closed before the program began.
            sys.stdout.flush()
    except OSError:  # Text that click has printed itself, such as the help, could not be written.
        give_up_output()
        code = code or WriteError.exit_code
    sys.exit(code)


def _run_command(arguments: list[str], debug: bool) -> int:
    """Run a command line, print its error if there is one, and return the exit code."""
    try:
        code = cli.main(args=arguments, prog_name="lfmm2", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except LfmmError as error:
        return _fail(error, error.exit_code, debug)
    except click.UsageError as error:
        where = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        message = find_hint(error, arguments, cli.commands) or error.format_message()
        return _fail(error, UsageError.exit_code, debug, message + where)
    except click.ClickException as error:
        return _fail(error, error.exit_code, debug, error.format_message())
    except _Stopped as stop:
        say_nothing()
        return _end_interrupted(stop, int(stop.args[0]))
    except (click.Abort, KeyboardInterrupt) as error:
        return _end_interrupted(error, INTERRUPTED)
    except MemoryError as error:
        return _fail(error, InsufficientMemoryError.exit_code, debug, "out of memory; lower --memory or --threads")
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        code = WriteError.exit_code if error.errno in _WRITE_ERRORS else ReadError.exit_code
        return _fail(error, code, debug, f"{where}{error.strerror or error}; check disk and network")
    except Exception as error:
        return _fail(error, 1, debug, f"internal error: {type(error).__name__}: {error}; --debug shows where")


def _end_interrupted(error: BaseException, code: int) -> int:
    """Say that the run was interrupted, and return the exit code."""
    _print_notes(error)
    tell("interrupted", "Interrupted.", exit_code=code)
    return code


def _fail(error: BaseException, code: int, debug: bool, text: str | None = None) -> int:
    """Print an error, with `text` in place of its own message if that is given, and return the exit code."""
    if _signalled:
        return _end_interrupted(error, _signalled[0])
    if debug:
        import traceback

        whisper("".join(traceback.format_exception(error)).rstrip(), in_lines=True)
    tell("error", text or str(error), exit_code=code)
    _print_notes(error)
    return code


def _print_notes(error: BaseException) -> None:
    """Print the notes that were added to an error, such as the path of the state folder."""
    for note in getattr(error, "__notes__", ()):
        tell("note", note)
