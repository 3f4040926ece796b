"""The command line: options to a job, a job to an exit code. All work is done elsewhere."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from lfmm2._interrupt import end_within, say_nothing
from lfmm2.errors import InsufficientMemoryError, LfmmError, LfmmWarning, ReadError, UsageError, WriteError

F = TypeVar("F", bound=Callable[..., Any])

INTERRUPTED = 130
# from a signal to the end of the process, at most; a second with what the system takes
GRACE_SECONDS = 0.8
_OF_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EPIPE)


def _version() -> str:
    from lfmm2.record import package_version

    return package_version()


def _show_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        _say(f"lfmm2 {_version()}")
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


# readable: an input that is not is an error of reading, which has its own exit code
_PATH = click.Path(path_type=Path, readable=False)


def _options(*options: Callable[[F], F]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


_input_options = _options(
    click.option("--bed", "bed", type=_PATH, required=True, help="Genotypes to test: .bed, or its prefix."),
    click.option("--env", "env", type=_PATH, required=True, help="Table of variables: CSV, TSV or PLINK style."),
    click.option("--covar", type=_PATH, help="Table of nuisance variables: adjusted for, not reported."),
    click.option("--keep", type=_PATH, help="Use only the samples listed."),
    click.option("--remove", type=_PATH, help="Do not use the samples listed."),
    click.option("--extract", type=_PATH, help="Use only the SNPs listed."),
    click.option("--exclude", type=_PATH, help="Do not use the SNPs listed."),
    click.option("--maf", type=float, help="Drop SNPs with a lower minor allele frequency."),
    click.option("--geno", type=float, help="Drop SNPs with a higher rate of missing calls."),
    click.option("--missing-code", help="A value of the tables that means missing, such as -9."),
    click.option(
        "--missing", type=click.Choice(["error", "drop", "mean"]), default="error", show_default=True,
        help="Samples that lack a value: stop, leave them out, or take the variable's mean.",
    ),
    click.option("--intersect", is_flag=True, help="Use the samples that have all variables."),
    click.option(
        "--count-allele", type=click.Choice(["a2", "a1"]), default="a2", show_default=True,
        help="Allele of the .bim whose copies are counted.",
    ),
)  # fmt: skip

_factor_options = _options(
    click.option("-K", "--factors", "n_factors", type=int, required=True, help="Number of latent factors."),
    click.option("--lambda", "lambda_", type=float, default=1e-5, show_default=True, help="Ridge penalty."),
    click.option("--est-bed", type=_PATH, help="Estimate the factors from this fileset."),
    click.option("--est-rate", type=float, help="Estimate the factors from a random share of the SNPs."),
    click.option("--est-extract", type=_PATH, help="Estimate the factors from the SNPs listed."),
    click.option(
        "--solver", type=click.Choice(["auto", "exact", "krylov", "power"]), default="auto", show_default=True,
        help="exact: Gram matrix; krylov: iterate to --tol; power: randomised SVD; auto: exact or krylov by cost.",
    ),
    click.option("--tol", type=float, default=1e-4, show_default=True, help="Residual that krylov must reach."),
    click.option("--power-iter", type=int, default=2, show_default=True, help="Power iterations of power."),
    click.option("--oversampling", type=int, default=10, show_default=True, help="Extra columns of the solvers."),
    click.option("--scale", type=click.Choice(["hwe"]), help="Scale SNPs by 1/sqrt(2f(1-f)) for the factors."),
    click.option(
        "--df", type=click.Choice(["paper", "intercept"]), default="paper", show_default=True,
        help="Degrees of freedom: n-d-K, or one less for the mean.",
    ),
)  # fmt: skip

_run_options = _options(
    click.option("--out", required=True, metavar="PREFIX", help="Prefix of the result files."),
    click.option(
        "--format", "format_", type=click.Choice(["parquet", "tsv", "tsv.gz", "tsv.zst"]), default="parquet",
        show_default=True, help="Of the tables.",
    ),
    click.option("--loadings", is_flag=True, help="Write the loadings V too."),
    click.option("--overwrite", is_flag=True, help="Replace existing result files."),
    click.option("--resume", is_flag=True, help="Go on with an unfinished run of the same command, if there is one."),
    click.option("--threads", type=int, help="Threads; all processors by default."),
    click.option("--memory", help="Budget in MiB, or with a unit such as 4GB; half of the free memory by default."),
    click.option(
        "--seed", type=int, default=0, show_default=True, help="Of --est-rate, and of where krylov and power start."
    ),
    click.option("--dry-run", is_flag=True, help="Check all inputs, print the plan, and stop."),
)  # fmt: skip


def _give_up_output() -> None:
    """Send what is left in the buffer of standard output nowhere; Python would try again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(text: str) -> None:
    """Print on standard output."""
    try:
        click.echo(text)
    except OSError as error:
        _give_up_output()
        if isinstance(error, BrokenPipeError):
            raise WriteError(
                "standard output was closed by its reader; send it to a file, or let it be read"
            ) from error
        raise WriteError(f"standard output cannot be written, {error.strerror}; send it elsewhere") from error


def _whisper(text: str) -> None:
    """Print on standard error; that it cannot be written to is no reason to stop."""
    with contextlib.suppress(OSError):
        click.echo(text, err=True)


@cli.command()
@_input_options
@_factor_options
@_run_options
def run(
    bed: Path, env: Path, covar: Path | None, keep: Path | None, remove: Path | None, extract: Path | None,
    exclude: Path | None, maf: float | None, geno: float | None, missing_code: str | None, missing: str,
    intersect: bool, count_allele: str, n_factors: int, lambda_: float, est_bed: Path | None, est_rate: float | None,
    est_extract: Path | None, solver: str, tol: float, power_iter: int, oversampling: int, scale: str | None, df: str,
    out: str, format_: str, loadings: bool, overwrite: bool, resume: bool, threads: int | None, memory: str | None,
    seed: int, dry_run: bool,
) -> None:  # fmt: skip
    """Estimate the factors and test every SNP.

    Samples are matched by ID. The plan is printed and all inputs are checked before any work; result files appear
    when they are complete. A run that was interrupted goes on with --resume.

    Example: lfmm2 run --bed plants.bed --env climate.csv -K 5 --out results
    """
    from lfmm2.eigensolvers import SolverOptions
    from lfmm2.inputs import SampleOptions
    from lfmm2.pipeline import Job, RunOptions
    from lfmm2.plan import aligned
    from lfmm2.result_files import OutputOptions
    from lfmm2.snps import SnpOptions

    options = RunOptions(
        lambda_=lambda_,
        df=df,
        seed=seed,
        n_threads=threads,
        memory=_memory(memory),
        loadings=loadings,
        solver=SolverOptions(solver, tol, power_iter, oversampling, seed),
        samples=SampleOptions(keep, remove, missing_code, intersect, missing),
        snps=SnpOptions(extract, exclude, maf, geno, est_rate, est_extract, scale, count_allele),
        output=OutputOptions(out, format_, overwrite, resume),
        progress=True,
        command=shlex.join(["lfmm2", *sys.argv[1:]]),
    )
    with Job(est_bed, bed, env, n_factors, options, covar) as job:
        _say(job.plan.describe())
        if job.files.is_complete:
            _say("These results are complete; nothing is left to do.")
        elif kept := job.files.unfinished():
            _say(aligned({"resumed with": kept}))
        if dry_run:
            return
        result = job.execute()
    factors = result.factors
    lines = {"factors": f"{factors.solver}, {factors.n_passes} pass(es), residual {factors.residuals.max():.1e}"}
    lines |= {f"GIF of {name}": f"{gif:.4f}" for name, gif in zip(result.variables, result.gif, strict=True)}
    lines |= {f"{name} file": str(path) for name, path in result.paths.items()}
    _say(aligned(lines))


def _memory(memory: str | None) -> str | None:
    """A plain number is MiB, as in plink2."""
    return f"{memory}MiB" if memory is not None and re.fullmatch(r"\s*[0-9.]+\s*", memory) else memory


@cli.command()
@click.option("--out", type=_PATH, required=True, help="Prefix of the files.")
@click.option("--samples", type=int, default=500, show_default=True, help="Number of samples.")
@click.option("--snps", type=int, default=50_000, show_default=True, help="Number of SNPs.")
@click.option("--variables", type=int, default=2, show_default=True, help="Number of variables.")
@click.option("--populations", type=int, default=4, show_default=True, help="Number of populations.")
@click.option("--causal", type=int, default=20, show_default=True, help="Causal SNPs per variable.")
@click.option("--missing-rate", type=float, default=0.01, show_default=True, help="Share of missing calls.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the random numbers.")
@click.option("--overwrite", is_flag=True, help="Replace existing files.")
def simulate(
    out: Path, samples: int, snps: int, variables: int, populations: int, causal: int, missing_rate: float, seed: int,
    overwrite: bool,
) -> None:  # fmt: skip
    """Write a structured data set with known causal SNPs."""
    from lfmm2.simulation import simulate as simulate_data

    data = simulate_data(
        out, samples, snps, variables, n_populations=populations, n_causal=causal, missing_rate=missing_rate, seed=seed,
        overwrite=overwrite,
    )  # fmt: skip
    for path in (data.bed, data.bim, data.fam, data.env, data.truth):
        _say(str(path))


@cli.command()
@click.option("--out", type=_PATH, default=Path("lfmm2-demo/demo"), show_default=True, help="Prefix of the files.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the simulation.")
def demo(out: Path, seed: int) -> None:
    """Simulate data, run lfmm2 on it, and show the hits beside the truth."""
    from lfmm2.demo import run_demo

    run_demo(out, seed, _say)


@cli.command()
@click.argument("results", type=_PATH)
def verify(results: Path) -> None:
    """Read the files of a run again and compare them with its record.

    RESULTS is the --out of the run. The exit code is 0 only if all files are as the run wrote them.
    """
    from lfmm2.plan import aligned
    from lfmm2.text_tables import with_spaces
    from lfmm2.verification import verify as verify_results

    sizes = verify_results(results)
    _say(aligned({name: f"{with_spaces(size)} bytes, as written" for name, size in sizes.items()}))


@cli.command()
def info() -> None:
    """Show version, processor, BLAS, threads and SIMD."""
    from lfmm2.machine import describe_machine

    _say(describe_machine())


def _print_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: Any = None,
) -> None:
    _whisper(f"Warning: {message}")


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
        _give_up_output()
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
        _whisper("Interrupted.")
        return int(stop.args[0])
    except (click.Abort, KeyboardInterrupt) as error:
        _print_notes(error)
        _whisper("Interrupted.")
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
    _whisper(f"Error: {text or error}")
    _print_notes(error)
    return code


def _print_notes(error: BaseException) -> None:
    """What was added to an error on its way, such as where the state of the run is."""
    for note in getattr(error, "__notes__", ()):
        _whisper(note)
