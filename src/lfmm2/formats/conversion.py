"""Conversion of a foreign file of genotypes to a PLINK fileset, streamed: ``<out>.bed/.bim/.fam`` and a note."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lfmm2._checks import check_flag, check_path, check_progress, quoted
from lfmm2._choices import DOSAGE_FIELDS, DosageField
from lfmm2._typing import AnyPath, MissingCalls
from lfmm2._words import counted, with_spaces
from lfmm2.errors import InconsistentInputError, OutputExistsError, UsageError
from lfmm2.files import (
    OutputSet,
    OwnFiles,
    check_outputs,
    check_prefix_name,
    manifest_of,
    open_regular,
    read_note,
    seal_json,
)
from lfmm2.formats.calls import CallReader, ReadingOptions
from lfmm2.formats.kinds import FileKind, find_kind
from lfmm2.formats.npy_file import NpyReader
from lfmm2.formats.source_stamps import digest_source, stamp_source
from lfmm2.formats.zarr_store import is_store
from lfmm2.genotypes import DOSAGE_END, DOSAGE_MAGIC, parse_missing_calls, plink_writer
from lfmm2.process import Progress, terminal_progress

#: Version of the rules by which genotypes are converted: a note of another version stands for other genotypes.
RULES = 1
#: Name of the command in the name of the manifest.
COMMAND = "convert"


@dataclass(frozen=True)
class Conversion:
    """A PLINK fileset that was made from a foreign file.

    Attributes
    ----------
    bed, bim, fam : Path
        The .bed is a .dosages where dosages were converted.
    source : Path
        The file that was read.
    kind : str
        Its format, such as "a VCF".
    n_samples, n_snps : int
        Numbers in the fileset.
    missing_rate : float
        Share of missing calls.
    counted_allele : str
        Sentence that tells which allele is A2, the one that lfmm2 counts.
    left_out : dict of str to int
        Numbers of variants that were left out, by reason.
    notes : tuple of str
        What else is to be known, such as names that were made.
    """

    bed: Path
    bim: Path
    fam: Path
    source: Path
    kind: str
    n_samples: int
    n_snps: int
    missing_rate: float
    counted_allele: str
    left_out: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def summary(self) -> dict[str, str]:
        """Return names and values of the lines that the command prints."""
        left_out = [f"{with_spaces(number)} {reason}" for reason, number in self.left_out.items()]
        lines = {
            "source": f"{self.source}, {self.kind}",
            "fileset": f"{counted(self.n_snps, 'SNP')} of {counted(self.n_samples, 'sample')}, "
            f"{100 * self.missing_rate:.3g} % of calls missing",
            "left out": ", ".join(left_out) or "nothing",
            "alleles": self.counted_allele,
        }
        return lines | {f"note {k}": note for k, note in enumerate(self.notes, 1)}


def convert(
    path: AnyPath,
    out: AnyPath,
    *,
    samples: AnyPath | None = None,
    missing_genotype: MissingCalls | None = None,
    vcf_dosage: DosageField | None = None,
    overwrite: bool = False,
    progress: bool | Progress = False,
) -> Conversion:
    """Convert a file of genotypes to a PLINK fileset, or dosages to a fileset of dosages.

    Parameters
    ----------
    path : path
        A VCF (also compressed with gzip or bgzip), BCF, VCF Zarr (a folder, .zip or URL), .lfmm, .geno, .012, .raw,
        .traw, .ped or .npy; its format is recognised by its content. Files that belong to it, such as a
        .map, lie beside it.
    out : path
        Prefix of the files: ``<out>.bed``, ``.bim``, ``.fam``, ``.source.json`` (what was read, with its SHA-256), and
        the manifest that `overwrite` needs.
    samples : path, optional
        A list of sample IDs in the order of the genotypes, for the formats without names: .lfmm, .geno and .npy.
    missing_genotype : float or a list of these, optional
        Values that mean missing in a .npy, beside NaN; other formats have a code of their own.
    vcf_dosage : {None, "DS", "GP"}
        Field of a VCF, BCF or VCF Zarr that has dosages, to convert these in place of the hard calls: to
        ``<out>.dosages``, 4 bytes a call, which `lfmm2.run` and ``--bed`` take as they take a .bed.
    overwrite : bool
        Replace files that lfmm2 has written before.
    progress : bool or Progress
        True shows progress on stderr; a `Progress` receives it instead.

    Returns
    -------
    Conversion

    Raises
    ------
    UsageError
        If an option does not apply to the format, or the library that reads it is not installed.
    ReadError
        If a file cannot be read, or changes meanwhile.
    MalformedInputError
        If it is of no known format, damaged, truncated, or has other genotypes than calls of diploids.
    InconsistentInputError
        If samples are repeated, files do not belong together, or no SNP is left.
    OutputExistsError, WriteError
        If files exist and may not be replaced, or cannot be written; none of them is left behind.

    Notes
    -----
    One pass over the file. Memory is that of a block of SNPs, 4 MB of calls, and does not grow with their number.
    Files that go sample by sample also take a temporary file beside the output, two bits a call, and a few bytes for
    each SNP.

    Examples
    --------
    >>> import lfmm2, tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "plants.geno").write_text("0129\\n2110\\n1102\\n")
    >>> made = lfmm2.convert(folder / "plants.geno", folder / "plants")
    >>> made.n_snps, made.n_samples, made.bed.name
    (3, 4, 'plants.bed')
    """
    check_path(path, "path")
    check_prefix_name(out)
    check_flag(overwrite, "overwrite")
    check_progress(progress, or_flag=True)
    if samples is not None:
        check_path(samples, "samples")
    missing = parse_missing_calls(missing_genotype)
    receiver = progress if isinstance(progress, Progress) else terminal_progress() if progress else Progress()
    source = Path(path)
    kind = find_kind(source)
    if missing_genotype is not None and kind.open is not NpyReader:
        fact = f"missing_genotype tells what is missing in a .npy, but {source} is {kind.name}"
        raise UsageError(f"{fact}, which has a code of its own; leave it out")
    check_dosage_field(vcf_dosage)
    if vcf_dosage is not None and not kind.has_dosages:
        fact = f"the dosages of {vcf_dosage} are read from a VCF, BCF or VCF Zarr, but {source} is {kind.name}"
        raise UsageError(f"{fact}; leave --vcf-dosage out")
    targets, manifest = _targets(out, vcf_dosage), manifest_of(out, COMMAND)
    check_outputs(targets.values(), overwrite, OwnFiles.of_manifest(manifest))
    _refuse_stale_genotypes(targets, _targets(out, None if vcf_dosage else DOSAGE_FIELDS[0])["bed"])
    folder = targets["bed"].parent
    options = ReadingOptions(None if samples is None else Path(samples), missing, folder, vcf_dosage)
    stamp = stamp_source(source)
    with kind.open(source, options) as reader:
        _refuse_own_input(reader, targets)
        stamps = [stamp, *(stamp_source(other) for other in reader.paths[1:])]
        with OutputSet(overwrite) as outputs:
            streams = {name: outputs.open(target, manifest) for name, target in targets.items()}
            found = _write_calls(reader, kind, streams, targets, receiver)
            streams["note"].write(seal_json(_describe(found, [read.path for read in stamps], vcf_dosage)))
            for read in stamps:
                read.check()
    return found


def check_dosage_field(dosage: object) -> None:
    """Raise UsageError if this is no field with dosages."""
    if dosage is not None and dosage not in DOSAGE_FIELDS:
        raise UsageError(f"vcf_dosage is {quoted(str(dosage))}; it is None, {' or '.join(DOSAGE_FIELDS)}")


def _targets(out: AnyPath, dosage: str | None) -> dict[str, Path]:
    """Return the files of a conversion; the .bed or .dosages takes its name last."""
    end = "bed" if dosage is None else DOSAGE_END.removeprefix(".")
    endings = {"fam": "fam", "bim": "bim", "note": "source.json", "bed": end}
    return {name: Path(f"{os.fspath(out)}.{ending}") for name, ending in endings.items()}


def _refuse_stale_genotypes(targets: dict[str, Path], other: Path) -> None:
    """Raise OutputExistsError if the .bed, or .dosages, of an earlier conversion would get another .bim and .fam."""
    if os.path.lexists(other):
        fact = f"{other}: has the names of {targets['bim']} and {targets['fam'].name}, which would be replaced"
        raise OutputExistsError(f"{fact}; remove it, or choose another name")


def _refuse_own_input(reader: CallReader, targets: dict[str, Path]) -> None:
    """Raise UsageError if an output would replace a file that is read."""
    read = {os.path.realpath(path) for path in reader.paths}
    for target in targets.values():
        if os.path.realpath(target) in read:
            raise UsageError(f"{target}: is read, and would be written; give another prefix")


def _write_calls(
    reader: CallReader, kind: FileKind, streams: dict[str, Any], targets: dict[str, Path], progress: Progress
) -> Conversion:
    """Write all SNPs, and return what was converted."""
    n_snps = n_missing = 0
    streams["fam"].write(plink_writer.fam_text(reader.samples.fid, reader.samples.iid))
    holds_dosages = targets["bed"].name.endswith(DOSAGE_END)
    streams["bed"].write(DOSAGE_MAGIC if holds_dosages else plink_writer.BED_MAGIC)
    progress.start(f"convert {reader.path.name}", 0, 0)
    try:
        for block in reader.blocks():
            if holds_dosages:
                streams["bed"].write(np.ascontiguousarray(block.dosages, "<f4").data)
                n_missing += int(np.count_nonzero(np.isnan(block.dosages)))
            else:
                streams["bed"].write(plink_writer.encode_bed(block.dosages).data)
                n_missing += int(np.count_nonzero(block.dosages < 0))
            streams["bim"].write(plink_writer.bim_text(block.chromosomes, block.ids, block.positions, block.alleles))
            n_snps += len(block.ids)
            progress.advance(len(block.ids), 0)
    finally:
        progress.finish()
    if not n_snps:
        reasons = ", ".join(f"{with_spaces(number)} {reason}" for reason, number in reader.left_out.items())
        fact = f"{reader.path}: no biallelic SNP is left" if reasons else f"{reader.path}: has no SNPs"
        raise InconsistentInputError(f"{fact}{f' ({reasons} left out)' * bool(reasons)}; check the file")
    n_samples = len(reader.samples)
    return Conversion(
        targets["bed"], targets["bim"], targets["fam"], reader.path, kind.name, n_samples, n_snps,
        n_missing / (n_snps * n_samples), reader.counted_allele, dict(reader.left_out), tuple(reader.notes),
    )  # fmt: skip


def _describe(found: Conversion, read: Sequence[Path], dosage: str | None) -> dict[str, Any]:
    """Return the note about a conversion: its facts, and size and SHA-256 of each file that was read, unless remote."""
    facts = {name: value for name, value in asdict(found).items() if name not in ("bed", "bim", "fam", "source")}
    stamps = {path.name: stamp for path in read if (stamp := digest_source(path)) is not None}
    return {"rules": RULES, "dosage": dosage, "read": stamps, **facts}


def find_conversion(source: AnyPath, out: AnyPath, dosage: str | None = None) -> Conversion | None:
    """Return an earlier conversion of the same file to the same prefix; None unless all is as it was written.

    The source is compared by its SHA-256, and so are the files of the fileset.

    Raises
    ------
    ReadError
        If the source cannot be read.
    """
    targets = _targets(out, dosage)
    note = read_note(targets["note"])
    if note is None or note.get("rules") != RULES or not isinstance(read := note.get("read"), dict):
        return None
    if note.pop("dosage", None) != dosage:
        return None
    path = Path(source)
    if not is_store(path):
        open_regular(path).close()
    others = [path.with_name(name) for name in read]
    if path.name not in read or not all(digest_source(other) == read[other.name] for other in others):
        return None
    own = OwnFiles.of_manifest(manifest_of(out, COMMAND))
    if not all(own.holds(target) for target in targets.values()):
        return None
    del note["rules"], note["read"]
    try:
        notes = tuple(note.pop("notes"))
        return Conversion(targets["bed"], targets["bim"], targets["fam"], path, notes=notes, **note)
    except (KeyError, TypeError) as error:
        raise UsageError(f"{targets['note']}: {quoted(error)}; remove it") from error


def remove_conversion(out: AnyPath, dosage: str | None = None) -> None:
    """Remove the files of a conversion that are as lfmm2 has written them, and its manifest last."""
    manifest = manifest_of(out, COMMAND)
    own = OwnFiles.of_manifest(manifest)
    kept = [target for target in _targets(out, dosage).values() if target.exists() and not own.holds(target)]
    for target in _targets(out, dosage).values():
        if target not in kept:
            target.unlink(missing_ok=True)
    if not kept:
        manifest.unlink(missing_ok=True)
