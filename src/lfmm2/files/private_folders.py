"""Folders that only this user may write to, and warnings of folders in which others may replace files."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
import tempfile
import warnings
from pathlib import Path

from lfmm2.errors import InputWarning, OutputExistsError

# Permission of the group and of all others to write.
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def check_private(folder: Path) -> None:
    """Raise OutputExistsError if others may have put files into a folder that an earlier run has left.

    Some disks have no owners and permissions of their own. There every new folder has those of `folder`, which are
    then accepted.
    """
    status = folder.stat()
    if status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_WRITE:
        return
    with tempfile.TemporaryDirectory(prefix="lfmm2-", dir=folder.parent) as made:
        usual = Path(made).stat()
    if status.st_uid != usual.st_uid:
        fault = "belongs to another user"
    elif status.st_mode & ~usual.st_mode & _OTHERS_WRITE:
        fault = "can be written to by other users"
    else:
        return
    raise OutputExistsError(
        f"{folder}: {fault}, so what it keeps may not be of this run; move it away, or choose another --out"
    )


def warn_of_others(folder: Path) -> None:
    """Warn if other users may replace files in the folder above a private one, while a run writes there."""
    above = folder.parent.absolute()
    with contextlib.suppress(OSError):
        status = above.stat()
        # A disk without permissions shows the same ones everywhere, also in the folder that was made private.
        if status.st_mode & stat.S_ISVTX or folder.stat().st_mode & _OTHERS_WRITE:
            return
        if status.st_mode & stat.S_IWOTH:
            who = "every user"
        elif status.st_mode & stat.S_IWGRP and not _is_group_of_one(status.st_gid):
            who = f"the group {_name_group(status.st_gid)}"
        else:
            return
        fact = f"{above}: {who} may rename and remove files there, also those of this run"
        warnings.warn(f"{fact}; chmod +t {above} leaves that to their owners", InputWarning, stacklevel=3)


def _name_group(number: int) -> str:
    """Return the name of a group, or its number if it has none."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _is_group_of_one(number: int) -> bool:
    """Tell whether a group is the one that many systems make for each user alone: both have the same name."""
    with contextlib.suppress(KeyError):
        return grp.getgrgid(number).gr_name == pwd.getpwuid(os.geteuid()).pw_name
    return False
