"""What a folder may hold in a file's place: a pipe would be waited for, a hole of a terabyte would be read."""

from __future__ import annotations

import errno
import stat
from pathlib import Path

_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
    stat.S_IFDIR: "a folder",
}
_SMALL = 64_000_000
_BLOCK = 512


def irregular(path: Path) -> str:
    """What lies there in place of a file's bytes; empty for a regular file.

    Of a file beyond 64 MB, most has to be on the disk: a hole costs its maker nothing, and its reader hours.

    Raises:
        OSError: there is nothing, or it cannot be looked at.
    """
    found = path.lstat()
    kind = _KINDS.get(stat.S_IFMT(found.st_mode), "")
    if kind:
        return kind
    sparse = found.st_size > _SMALL and found.st_blocks * _BLOCK < found.st_size // 2
    return f"a hole of {found.st_size / 1e9:.1f} GB" if sparse else ""


def require_regular(path: Path) -> None:
    """Refuse what is no file; a link is followed.

    Raises:
        OSError: says what it is.
    """
    if kind := irregular(path.resolve()):
        raise OSError(errno.EINVAL, f"{kind}, not a file")
