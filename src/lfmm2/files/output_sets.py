"""Files of one command that appear together, and the rule for what they may replace.

Only a file that lfmm2 itself has written under its present name, and that nobody has changed since, may be replaced or
removed, and only when the new ones are complete. The record of a run, and the manifest that every other command leaves
beside its files, tell by size and SHA-256 which files these are.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from lfmm2._typing import AnyPath
from lfmm2.errors import OutputExistsError, ReadError, UsageError, WriteError
from lfmm2.files.seals import matches, read_note, seal_json
from lfmm2.files.whole_files import WholeFile, sync_folder, translated

#: Bytes and SHA-256 of a file.
Stamp = dict[str, Any]
# Facts by which a file is known to be the one that was compared before.
_Signature = tuple[int, int, int, int]


def manifest_of(prefix: AnyPath, command: str) -> Path:
    """Return the path of the manifest of the files that a command writes with this prefix."""
    return Path(f"{os.fspath(prefix)}.lfmm2-{command}.json")


class OwnFiles:
    """Files that lfmm2 has written under their present names.

    Parameters
    ----------
    stamps : mapping of Path to list of dict
        Sizes and SHA-256 with which each file was written.
    """

    def __init__(self, stamps: Mapping[Path, list[Stamp]]) -> None:
        self.stamps = dict(stamps)
        self._compared: dict[Path, tuple[_Signature, Stamp]] = {}

    @classmethod
    def of_manifest(cls, manifest: Path) -> OwnFiles:
        """Return the files that a manifest lists; none if it is absent.

        Raises
        ------
        OutputExistsError
            If the manifest is damaged, or is another file.
        """
        entries = read_note(manifest) if manifest.is_file() else None
        if entries is None:
            if os.path.lexists(manifest):
                raise _not_own([manifest])
            return cls({})
        stamps: dict[Path, list[Stamp]] = {}
        for part in (entries.get("files"), entries.get("replaced")):
            for name, stamp in part.items() if isinstance(part, dict) else ():
                if isinstance(stamp, dict) and {"bytes", "sha256"} <= stamp.keys():
                    stamps.setdefault(manifest.parent / name, []).append(stamp)
        return cls(stamps)

    def holds(self, path: Path) -> bool:
        """Return True if a file is as it was written."""
        return self.find_stamp(path) is not None

    def find_stamp(self, path: Path) -> Stamp | None:
        """Return the stamp that a file has, or None; its contents are read only if it has changed since the last time.

        A file that cannot be read has none.
        """
        with contextlib.suppress(OSError, ReadError, ValueError):  # ValueError for a name that no file can have
            signature = _sign(path)
            if path in self._compared and self._compared[path][0] == signature:
                return self._compared[path][1]
            for stamp in self.stamps.get(path, ()):
                if path.is_file() and matches(path, stamp):
                    self._compared[path] = signature, stamp
                    return stamp
        return None


def _sign(path: Path) -> _Signature:
    """Return what tells that a file is still the same one."""
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def check_outputs(paths: Iterable[AnyPath], overwrite: bool, own: OwnFiles | None = None) -> None:
    """Check, before any work, that files of these final names can be written.

    Raises
    ------
    UsageError, WriteError, OutputExistsError
        If two outputs have the same name; if a folder is absent or cannot be written, or an output is a folder; if
        outputs exist and `overwrite` is false, or one is not among the files of lfmm2's `own`, which it may replace.
        Without `own` any file may be replaced.
    """
    outputs = [Path(path) for path in paths]
    _check_names(outputs)
    for path in outputs:
        if not path.parent.is_dir():
            raise WriteError(f"{path}: there is no folder {path.parent}; create it first")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise WriteError(f"{path}: no permission to write to {path.parent}; choose another folder")
        if path.is_dir():
            raise WriteError(f"{path}: is a folder; choose another name")
    existing = [path for path in outputs if _is_there(path)]
    if existing and not overwrite:
        raise _exists(existing)
    if own is not None and (strange := [path for path in existing if not own.holds(path)]):
        raise _not_own(strange)


def _is_there(path: Path) -> bool:
    """Tell whether a name is taken, also by a link to nothing; WriteError if the disk cannot tell."""
    with translated(path):
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError for a name that no file can have
            return False
    return True


def _exists(paths: list[Path]) -> OutputExistsError:
    """Return the error about files that are in the way."""
    return OutputExistsError(f"output exists: {_list_paths(paths)}; choose another name, or replace with --overwrite")


def _not_own(paths: list[Path]) -> OutputExistsError:
    """Return the error about files that `overwrite` does not replace."""
    return OutputExistsError(
        f"{_list_paths(paths)}: not a file that lfmm2 has written here, or changed since, so it is not replaced; "
        "move it away, or choose another name"
    )


def _list_paths(paths: list[Path]) -> str:
    """List up to five paths for a message."""
    return ", ".join(map(str, paths[:5])) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")


def _check_names(paths: list[Path]) -> None:
    """Raise UsageError if two names are equal, or OutputExistsError if the disk takes two for the same file."""
    seen: dict[Path, Path] = {}
    for path in paths:
        twin = seen.setdefault(path.with_name(fold_name(path.name)), path)
        if twin is path:
            continue
        if twin == path:
            raise UsageError(f"{path} would be written twice; give the variables different names")
        if fold_name(path.name, keep_case=True) == fold_name(twin.name, keep_case=True):
            raise OutputExistsError(f"{twin} and {path} look the same, they differ in the bytes; rename one variable")
        if path.parent.is_dir() and ignores_case(path.parent):
            raise OutputExistsError(f"{twin} and {path} are one file on this disk; rename one of the variables")


def fold_name(name: str, keep_case: bool = False) -> str:
    """Return a form of a name that is the same for all names that some disk takes for one."""
    composed = unicodedata.normalize("NFC", name)
    return composed if keep_case else unicodedata.normalize("NFC", composed.casefold())


def ignores_case(folder: Path) -> bool:
    """Tell whether the disk of a folder takes upper for lower case."""
    with translated(folder), tempfile.NamedTemporaryFile(prefix="lfmm2-case-", dir=folder) as file:
        return os.path.lexists(folder / Path(file.name).name.swapcase())


class OutputSet:
    """Files that appear together: all complete on the disk before the first takes its name.

    As a context manager it commits at the end of the block, and on an exception removes all it wrote. Files that are
    replaced come back if one of the new ones cannot take its name.

    Parameters
    ----------
    overwrite : bool
        Replace files that exist.

    Raises
    ------
    OutputExistsError, WriteError
        From `open`, if another run is writing the same file. From `commit`, if a file has appeared under a final name,
        or is not one that may be replaced; on any failure to create, write, flush or rename, after which the files
        are as they were before.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, OutputSet() as outputs:
    ...     outputs.open(folder + "/a.txt").write(b"first")
    ...     outputs.open(folder + "/b.txt").write(b"second")
    5
    6
    """

    def __init__(self, overwrite: bool = False) -> None:
        self._overwrite = overwrite
        self._files: list[tuple[WholeFile, Path | None]] = []
        self._manifests: dict[Path, WholeFile] = {}
        self._streams: dict[Path, BinaryIO] = {}
        # Copies of the files that are replaced, in folders that are made for them, and these files.
        self._set_aside: list[tuple[Path, Path]] = []
        self._folders: dict[Path, Path] = {}

    def __enter__(self) -> OutputSet:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.commit()
        else:
            self.abort()

    def open(self, path: AnyPath, manifest: Path | None = None) -> BinaryIO:
        """Begin the file of this final name, as ``<path>.part``; what an earlier run left there is lost.

        With a `manifest` the file replaces only one that this manifest lists, and the new file is listed there.
        """
        if manifest is not None and manifest not in self._manifests:
            self._manifests[manifest] = WholeFile(manifest, hashed=True)
            self._streams[manifest] = self._manifests[manifest].begin()
        # The set knows the file before it exists, because an interrupt may come at any point.
        self._files.append((WholeFile(path, hashed=manifest is not None), manifest))
        return self._files[-1][0].begin()

    def commit(self) -> None:
        """Flush all, then rename all in the order of `open`, after the manifests; on failure put all back."""
        try:
            for file, _ in self._files:
                file.flush()
            known = {manifest: OwnFiles.of_manifest(manifest) for manifest in self._manifests}
            replaced = self._find_replaced(known)
            for path, file in self._manifests.items():
                self._streams[path].write(self._describe(path, known[path], replaced))
                file.flush()
            files = [*self._manifests.values(), *(file for file, _ in self._files)]
            for file in files:
                if _is_there(file.target) and not file.target.is_dir():
                    self._keep_copy(file.target)
            for file in files:
                file.rename()
            for folder in sorted({file.target.parent for file in files}):
                sync_folder(folder)
        except BaseException as error:
            for copy, target in self.abort():
                error.add_note(f"{target}: could not be put back, the earlier file is {copy}")
            raise
        for copy, _ in self._set_aside:
            with contextlib.suppress(OSError):
                copy.unlink(missing_ok=True)
        self._end()

    def abort(self) -> list[tuple[Path, Path]]:
        """Remove all that was written since the last commit, and put back what it has replaced.

        Return the copies that could not be put back, each with the path of the file.
        """
        lost = [pair for pair in reversed(self._set_aside) if not _put_back(*pair)]
        set_aside = {target for _, target in self._set_aside}
        for file in [*self._manifests.values(), *(file for file, _ in self._files)]:
            file.discard(renamed=file.target not in set_aside)
        self._end()
        return lost

    def _end(self) -> None:
        """Forget all files, and remove the folders of copies, which stay while there is a copy."""
        for folder in self._folders.values():
            with contextlib.suppress(OSError):
                folder.rmdir()
        self._files, self._manifests, self._streams, self._set_aside, self._folders = [], {}, {}, [], {}

    def _find_replaced(self, known: dict[Path, OwnFiles]) -> dict[Path, Stamp]:
        """Return the stamps of the files that are replaced; raise OutputExistsError if one may not be."""
        targets = [(file.target, manifest) for file, manifest in self._files]
        existing = [(path, manifest) for path, manifest in targets if _is_there(path) and not path.is_dir()]
        if existing and not self._overwrite:
            raise _exists([path for path, _ in existing])
        stamps = {path: known[manifest].find_stamp(path) for path, manifest in existing if manifest is not None}
        if strange := [path for path, stamp in stamps.items() if stamp is None]:
            raise _not_own(strange)
        return {path: stamp for path, stamp in stamps.items() if stamp is not None}

    def _describe(self, path: Path, known: OwnFiles, replaced: dict[Path, Stamp]) -> bytes:
        """Return a manifest of the new files, and of the others that it listed before.

        The manifest takes its name first, and lists what is replaced too: a process that ends between two renames
        leaves nothing that its manifest does not know.
        """
        new = {made.target: made.stamp for made, manifest in self._files if manifest == path}
        others = {other: stamps[0] for other, stamps in known.stamps.items() if _is_there(other)}
        parts = {"files": others | new, "replaced": {name: stamp for name, stamp in replaced.items() if name in new}}
        return seal_json(
            {
                part: {os.path.relpath(name, path.parent): stamp for name, stamp in files.items()}
                for part, files in parts.items()
            }
        )

    def _keep_copy(self, target: Path) -> None:
        """Give the file that is replaced a second name, from which it comes back if a later step fails."""
        with translated(target):
            if target.parent not in self._folders:
                self._folders[target.parent] = Path(tempfile.mkdtemp(prefix=".lfmm2-replaced-", dir=target.parent))
            copy = self._folders[target.parent] / target.name
            self._set_aside.append((copy, target))
            try:
                os.link(target, copy, follow_symlinks=False)
            except (OSError, NotImplementedError):  # a disk without hard links
                target.replace(copy)


def _put_back(copy: Path, target: Path) -> bool:
    """Give a copy the name of the file of which it is one; return False if it stays where it is."""
    try:
        if os.path.lexists(copy):
            copy.replace(target)
            # Nothing happened if the file has both names still.
            copy.unlink(missing_ok=True)
    except OSError:
        return os.path.lexists(target) and copy.samefile(target)
    return True
