"""A file appears whole or not at all: written under a temporary name beside its place, then renamed."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from napari_segtool.core.errors import StorageError
from napari_segtool.io._memory import size_text

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of ``path`` once it is complete and on disk.

    If anything goes wrong, the new file is removed and whatever lay at ``path`` is as it was.

    Raises
    ------
    StorageError
        If the folder is missing or not writable, the disk is full, or ``path`` is a folder or in use.
    """
    target = path.resolve() if path.is_symlink() else path
    if target.is_dir():
        raise StorageError(f"{path} is a folder, not a file.", hint="Give the name of a file in it.")
    if not target.parent.is_dir():
        raise StorageError(f"{path} cannot be written: there is no folder {target.parent}.", hint="Make the folder first, or choose another.")
    # a short name of its own: the target's may already be as long as the file system allows
    part = target.parent / f".segtool-{secrets.token_hex(6)}.part"
    try:
        with part.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, target)
        _sync_folder(target.parent)
    except OSError as error:
        raise _storage_error(error, path) from None
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power failure, on systems where a folder can be opened."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot
                raise
        finally:
            os.close(handle)


def _storage_error(error: OSError, path: Path) -> StorageError:
    kept = "What was there before is unchanged." if path.exists() else "Nothing was written."
    if error.errno in _FULL:
        with suppress(OSError):
            free = shutil.disk_usage(path.parent).free
            return StorageError(
                f"{path} cannot be written: the disk is full ({size_text(free)} free). {kept}", hint="Free some space, or choose another folder."
            )
        return StorageError(f"{path} cannot be written: the disk is full. {kept}", hint="Free some space, or choose another folder.")
    if error.errno in _FORBIDDEN:
        return StorageError(
            f"{path} cannot be written: no permission in {path.parent}. {kept}",
            hint="Choose a folder of yours, and close programs that have the file open.",
        )
    return StorageError(f"{path} cannot be written: {error.strerror or error}. {kept}", hint="Check the disk, or choose another folder.")
