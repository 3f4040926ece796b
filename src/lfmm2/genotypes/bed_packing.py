"""Packing of a .bed to a .bed.zst: the same bytes in frames of zstd, any of which is unpacked by itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lfmm2._checks import check_flag, check_path, check_progress, is_whole, quoted
from lfmm2._typing import AnyPath, Packed
from lfmm2._words import counted, decimal_bytes
from lfmm2.errors import ReadError, UsageError, WriteError
from lfmm2.files import (
    ZSTD_LEVELS,
    OutputSet,
    OwnFiles,
    check_outputs,
    check_prefix_name,
    load_zstandard,
    manifest_of,
    open_regular,
    write_frames,
)
from lfmm2.genotypes.plink import BED_ENDS, BedFile
from lfmm2.genotypes.plink_writer import BED_MAGIC
from lfmm2.genotypes.segments import segment_snps
from lfmm2.process import Progress, resolve_threads, terminal_progress

#: Name of the command in the name of the manifest.
COMMAND = "pack"
_END = BED_ENDS[1]
# Most bytes of a frame, unless a SNP has more. Blocks of a pass are some MB, so that several threads share out their
# frames; smaller frames gain nothing, and the calls of the library would show.
_FRAME_BYTES = 1 << 18


@dataclass(frozen=True)
class PackedFileset:
    """A fileset whose .bed is compressed.

    Attributes
    ----------
    bed, bim, fam : Path
        The .bed.zst, and the texts beside it.
    source : Path
        The .bed that was read.
    n_samples, n_snps : int
    n_bytes, n_packed_bytes : int
        Sizes of the .bed and of the .bed.zst.
    """

    bed: Path
    bim: Path
    fam: Path
    source: Path
    n_samples: int
    n_snps: int
    n_bytes: int
    n_packed_bytes: int

    def summary(self) -> dict[str, str]:
        """Return names and values of the lines that the command prints."""
        sizes = f"{decimal_bytes(self.n_bytes)} became {decimal_bytes(self.n_packed_bytes)}"
        share = 100 * self.n_packed_bytes / self.n_bytes
        return {
            "source": str(self.source),
            "fileset": f"{counted(self.n_snps, 'SNP')} of {counted(self.n_samples, 'sample')}",
            "size": f"{sizes}, {share:.3g} %",
            "bed.zst file": str(self.bed),
        }


def pack(
    path: AnyPath,
    out: AnyPath | None = None,
    *,
    level: int = 3,
    n_threads: int | None = None,
    overwrite: bool = False,
    progress: bool | Progress = False,
) -> PackedFileset:
    """Compress the .bed of a fileset with zstd, for storage that is slower than unpacking.

    The .bed.zst is taken wherever a .bed is, and gives the same bits; ``zstd -d`` gives back the .bed.

    Parameters
    ----------
    path : path
        The .bed, or the prefix of the fileset.
    out : path, optional
        The .bed.zst, or its prefix; beside the .bed by default. With another prefix the .bim and the .fam are copied
        there.
    level : int
        Level of compression of zstd, from 1 to 19. A higher one takes longer and makes the file a little smaller.
    n_threads : int, optional
        Threads that compress; all processors that the process may use by default. The bytes do not depend on it.
    overwrite : bool
        Replace files that lfmm2 has written before.
    progress : bool or Progress
        True shows progress on stderr; a `Progress` receives it instead.

    Returns
    -------
    PackedFileset

    Raises
    ------
    UsageError
        If an argument is none of these, or the library zstandard is not installed.
    ReadError, MalformedInputError, InconsistentInputError
        If the fileset cannot be read, as `open_bed` raises them, or changes meanwhile.
    OutputExistsError, WriteError
        If files exist and may not be replaced, or cannot be written; none of them is left behind.

    Notes
    -----
    One pass over the file. Frames have a power of two of SNPs, up to a whole segment, with 256 KiB at most unless a SNP
    has more, and a checksum each. Memory is a few frames for each thread.

    Examples
    --------
    >>> import lfmm2, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> data = lfmm2.simulate(folder + "/data", n_samples=50, n_snps=200, n_variables=1)
    >>> made = lfmm2.pack(data.bed)
    >>> made.bed.name, made.n_snps
    ('data.bed.zst', 200)
    """
    check_path(path, "the fileset")
    check_flag(overwrite, "overwrite")
    check_progress(progress, or_flag=True)
    if not is_whole(level) or level not in ZSTD_LEVELS:
        raise UsageError(f"level is {quoted(level)}; give a whole number from {ZSTD_LEVELS[0]} to {ZSTD_LEVELS[-1]}")
    n_threads = resolve_threads(n_threads)
    load_zstandard()
    receiver = progress if isinstance(progress, Progress) else terminal_progress() if progress else Progress()
    with BedFile(path) as source:
        targets, manifest = _find_targets(source, out)
        check_outputs(targets.values(), overwrite, OwnFiles.of_manifest(manifest))
        with OutputSet(overwrite) as outputs:
            for text in (source.bim_path, source.fam_path):
                if text in targets:
                    _copy(text, outputs.open(targets[text], manifest))
            stream = outputs.open(targets[source.path], manifest)
            receiver.start(f"pack {source.path.name}", source.n_snps, source.n_bytes)
            try:
                n_packed = write_frames(_frames(source, receiver), stream, int(level), n_threads)
            finally:
                receiver.finish()
            source.check_unchanged()
        bim, fam = (targets.get(text, text) for text in (source.bim_path, source.fam_path))
        shape = source.n_samples, source.n_snps
        return PackedFileset(targets[source.path], bim, fam, source.path, *shape, source.n_bytes, n_packed)


def _find_targets(source: BedFile, out: AnyPath | None) -> tuple[dict[Path, Path], Path]:
    """Return the file that each file of the fileset becomes, without texts that stay where they are; and the manifest.

    Raises
    ------
    UsageError
        If `out` is no name of a .bed.zst, or an output would replace what is read.
    """
    stem = _stem(source.path)
    prefix = stem
    if out is not None:
        check_prefix_name(out)
        name = os.fspath(out)
        if name.endswith((".bed", ".zst")) and not name.endswith(_END):
            raise UsageError(f"out is {quoted(name)}; give a name that ends in {_END}, or the prefix before it")
        prefix = name.removesuffix(_END)
        check_prefix_name(prefix)
    targets = {}
    if os.path.realpath(f"{prefix}.bed") != os.path.realpath(f"{stem}.bed"):
        for text in (source.fam_path, source.bim_path):
            # The end of the text may have two parts, as that of a .bim.zst.
            targets[text] = Path(prefix + text.name.removeprefix(Path(stem).name))
    targets[source.path] = Path(prefix + _END)
    for target in targets.values():
        if os.path.realpath(target) in map(os.path.realpath, source.paths):
            raise UsageError(f"{target}: is read, and would be written; give another name with --out")
    return targets, manifest_of(prefix, COMMAND)


def _stem(bed: Path) -> str:
    """Return the path of a .bed without its end."""
    known = next((known for known in BED_ENDS if bed.name.endswith(known)), "")
    return str(bed).removesuffix(known)


def _copy(source: Path, stream: BinaryIO) -> None:
    """Copy a text as it is, also if it is compressed."""
    with open_regular(source) as file:
        try:
            shutil.copyfileobj(file, stream)
        except WriteError:
            raise
        except OSError as error:
            raise ReadError(f"{source}: {error.strerror}; check the disk") from error


def _frames(source: BedFile, progress: Progress) -> Iterator[Packed]:
    """Yield the bytes of the .bed, cut into frames; the first one begins with those that name the format."""
    n_snps = segment_snps()
    while n_snps > 1 and n_snps * source.bytes_per_snp > _FRAME_BYTES:
        n_snps //= 2
    head = np.frombuffer(BED_MAGIC, np.uint8)
    for first in range(0, source.n_snps, n_snps):
        packed = np.empty((min(n_snps, source.n_snps - first), source.bytes_per_snp), np.uint8)
        source.read_packed(first, packed)
        yield packed.reshape(-1) if first else np.concatenate([head, packed.reshape(-1)])
        progress.advance(len(packed), packed.nbytes)
