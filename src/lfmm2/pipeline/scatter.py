"""A run in three steps, each in processes of its own: estimate, test parts, combine.

The first step is the run up to the factors, the second its tests over a range of SNPs, the third the rest of it, so the
results have the bytes of the run in one process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

from lfmm2._checks import check_path
from lfmm2._typing import AnyPath
from lfmm2.errors import ReadError, UsageError
from lfmm2.pipeline.part_files import PartFile, StartFile
from lfmm2.pipeline.parts import GatheredParts, PartNote, PartNumber, check_parts, read_part
from lfmm2.pipeline.run import PreparedRun, Purpose, choose_k, choose_snps, estimate, prepare_run, test_snps
from lfmm2.pipeline.run_options import RunOptions
from lfmm2.pipeline.run_start import RunStart, StartCheckpoints, read_start, record_arguments
from lfmm2.process import open_files_allowed, single_threaded_blas
from lfmm2.results import FIXED_ENDINGS

# Arguments of a run that are no options.
_DATA = ("est_bed", "full_bed", "X", "K")


def _prepare(arguments: Mapping[str, Any], command: str, purpose: Purpose) -> PreparedRun:
    """Prepare a run from all of its arguments."""
    options = RunOptions.from_arguments(arguments, command)
    est_bed, full_bed, X, K = (arguments.get(name) for name in _DATA)
    return prepare_run(est_bed, full_bed, X, K, options, arguments.get("covar"), purpose)


def prepare_start(arguments: Mapping[str, Any], command: str) -> PreparedRun:
    """Read and check the inputs of a run whose tests are made in parts; arguments as those of `lfmm2.run`.

    Raises
    ------
    UsageError
        If there is no `out`; if data are in memory, or genotypes are to be converted.
    LfmmError
        As `prepare_run`.
    """
    if arguments.get("out") is None:
        raise UsageError("the factors of parts are written to a file; give out")
    recorded = record_arguments(arguments)
    return _prepare(arguments, command, Purpose(partial(StartFile, recorded)))


def execute_start(prepared: PreparedRun) -> Path:
    """Choose samples and SNPs, estimate the factors, choose K, and write all of it to a file; return its path."""
    files = cast(StartFile, prepared.files)
    if files.is_complete:
        files.remove_rest()
        return files.path
    with single_threaded_blas(), files.begin(prepared.identity, prepared.inputs.check_unchanged) as (kept, publication):
        kept.remove("*.sent")
        if not publication.is_complete():
            checkpoints = StartCheckpoints(kept)
            run = choose_snps(prepared, checkpoints)
            estimation = estimate(run, checkpoints)
            choose_k(run, estimation, checkpoints)
            own = cast(StartFile, run.prepared.files)
            own.write_start(publication, estimation.factors, checkpoints, prepared.identity, run.choice.n_tested)
        files.publish(publication)
    return files.path


@dataclass(frozen=True)
class PreparedPart:
    """A part that is read, checked and planned; as a context manager it closes what was opened for it."""

    prepared: PreparedRun
    start: RunStart
    part: PartNumber

    def __enter__(self) -> PreparedPart:
        return self

    def __exit__(self, *error: Any) -> None:
        self.prepared.__exit__(*error)

    def summary(self) -> dict[str, str]:
        """Return what will be tested, in words."""
        snps = self.part.snps(self.start.n_tested)
        assert snps.end is not None
        tested = f"{snps.first + 1:,} to {snps.end:,}" if snps.end > snps.first else "none, there are few SNPs"
        return {
            "factors": f"{self.start.path}, K = {self.start.arguments.get('K') or 'as the scree suggests'}",
            "part": f"{self.part.number} of {self.part.n_parts}",
            "SNPs": f"{tested}, of {self.start.n_tested:,}".replace(",", " ").replace("  of", ", of"),
        }


def prepare_part(factors: AnyPath, part: str, arguments: Mapping[str, Any], command: str) -> PreparedPart:
    """Read and check the inputs of a part.

    Parameters
    ----------
    factors : path
        The file of `execute_start`.
    part : str
        Number of the part, and of all parts, as "3/22".
    arguments : mapping of str to object
        `out`, the prefix of the file, None for that of the factors; `overwrite`, `resume`, and options of resources.
    command : str

    Raises
    ------
    InconsistentInputError
        If inputs have changed since the factors were estimated, or the program is another one.
    LfmmError
        As `prepare_run`.
    """
    number = PartNumber.parse(part)
    check_path(factors, "the factors file")
    start = read_start(factors)
    out = arguments.get("out")
    prefix = os.fspath(factors).removesuffix(FIXED_ENDINGS["factors"]) if out is None else os.fspath(out)

    def identify(identity: dict[str, Any]) -> dict[str, Any]:
        start.check_identity(identity)
        return number.extend(identity, start)

    purpose = Purpose(partial(PartFile, number), identify, (start.path,), tests_alone=True)
    own = {**arguments, "out": f"{prefix}.part-{number.number}-of-{number.n_parts}"}
    return PreparedPart(_prepare({**start.arguments, **own}, command, purpose), start, number)


def execute_part(prepared_part: PreparedPart) -> Path:
    """Test the SNPs of a part, and write their rows to a file; return its path."""
    prepared, start = prepared_part.prepared, prepared_part.start
    files = cast(PartFile, prepared.files)
    if files.is_complete:
        files.remove_rest()
        return files.path
    allowed = open_files_allowed(prepared.plan.n_store_files)
    begun = files.begin(prepared.identity, prepared.inputs.check_unchanged)
    with single_threaded_blas(), allowed, begun as (kept, publication):
        if not publication.is_complete():
            checkpoints = start.checkpoints(kept)
            run = choose_snps(prepared, checkpoints)
            fit = choose_k(run, estimate(run, checkpoints, start.factors), checkpoints)
            snps, n_before = prepared_part.part.snps(run.choice.n_tested), len(run.engine.passes)
            store = test_snps(run, fit, checkpoints, snps)
            with contextlib.closing(store):
                note = PartNote(
                    prepared.identity, str(start.path), snps.first, snps.first + store.n_snps, run.choice.n_tested,
                    len(run.prepared.inputs.variables.rows), store.shapes, store.tally.counts is not None,
                    [record.to_json() for record in run.engine.passes[n_before:]],
                )  # fmt: skip
                files.write_part(publication, note, store)
        files.publish(publication)
    return files.path


def prepare_combination(
    paths: Sequence[AnyPath], factors: AnyPath | None, arguments: Mapping[str, Any], command: str
) -> tuple[PreparedRun, GatheredParts]:
    """Read and check the parts of a run, and prepare the rest of it, which `execute_run` does.

    Parameters
    ----------
    paths : sequence of path
        Files of all parts, in any order.
    factors : path or None
        The file of `execute_start`; by default where it was when the parts were tested.
    arguments : mapping of str to object
        `out`, `overwrite`, `resume`, and options of resources.
    command : str

    Raises
    ------
    InconsistentInputError
        If parts do not belong together, lack SNPs, or have some twice; if inputs have changed meanwhile.
    LfmmError
        As `prepare_run`.
    """
    if isinstance(paths, str | os.PathLike) or not paths:
        raise UsageError("the parts are a list of paths, of at least one; give all files that the tests have written")
    for path in paths:
        check_path(path, "the part")
    parts = check_parts([read_part(Path(path)) for path in paths])
    place = parts[0].note.factors_file if factors is None else factors
    try:
        start = read_start(place)
    except ReadError as error:
        if factors is None:
            error.add_note("the parts were tested with this factors file; name its place with --use-factors")
        raise
    gathered = GatheredParts(start, parts)
    gathered.check_start()

    def identify(identity: dict[str, Any]) -> dict[str, Any]:
        start.check_identity(identity)
        return identity

    purpose = Purpose(identify=identify, inputs=(start.path, *(part.path for part in parts)))
    return _prepare({**start.arguments, **arguments}, command, purpose), gathered
