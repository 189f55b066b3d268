"""Files that are written whole or not at all, and told apart by a hash."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EIO
from pathlib import Path
from stat import S_IMODE
from uuid import uuid4

#: Bytes that are read at once.
_PIECE = 2**20
#: How the names of files end that are not yet in place, and the seconds after which nobody writes one any more.
_PARTIAL, _ABANDONED = ".partial", 3600
#: Seconds that a writer who begins takes to remove what others have left.
_CLEARING = 2
#: How they end where their writer has no name.
_UNNAMED = re.compile(r"\.[0-9a-f]{32}\.partial$")


def sha256_of(file: Path) -> str:
    """Of a file's content, in hexadecimal digits; the file is never in memory as a whole.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while piece := opened.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


@contextmanager
def written_whole(file: Path, writer: str | None = None) -> Iterator[Path]:
    """Where to write what becomes ``file`` when the context is left, and nothing at all if it is left by an error.

    The path lies beside the file, since only within one file system is a file put in place at once. What was
    there before stays until then; where it is a link, the link is replaced. It gets the mode that the process gives
    to every new file, whatever the writer does.

    Args:
        writer: a name that nobody else writes under at the time, so that ``only_writer`` can tell what it has left;
            one that is like no other when not given.

    Raises:
        OSError: the file cannot be written, or not be put in place; names it. One that is raised in the context for
            another file names that one.
    """
    partial = file.with_name(f"{file.name}.{writer or uuid4().hex}{_PARTIAL}")
    try:
        try:
            partial.touch()
            mode = S_IMODE(partial.stat().st_mode)
            yield partial
            partial.chmod(mode)  # safetensors, for one, writes files that nobody else may read
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)
    # A write that fails does not say of what; and where nothing can be written, nothing can be removed.
    except OSError as error:
        if error.filename not in (None, str(partial)):  # another file, which it names
            raise
        raise OSError(error.errno or EIO, error.strerror or str(error), str(file)) from error


@contextmanager
def only_writer(folder: Path, writer: str, what: str) -> Iterator[None]:
    """In this context a folder, which is made, is written by nobody else of this name.

    What a writer of the name has left unfinished when it was killed is removed, and so is what others have that are not
    at work. The system gives a lock up when its process ends, however it ends.

    Args:
        writer: of ``written_whole``.
        what: such as "recording", for the error.

    Raises:
        ValueError: somebody is; names the folder.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    # A generator may be closed by another thread than the one that it ran in.
    lock = FileLock(str(folder / f".{writer}.lock"), thread_local=False)
    try:
        lock.acquire(timeout=_CLEARING)  # another that begins may be looking whether this one has ended
    except Timeout:
        raise ValueError(
            f"Another {what} is writing into {folder}. Wait until it has ended, or give another folder."
        ) from None
    try:
        for name in (writer, *_ended_writers(folder, writer)):
            for partial in folder.glob(f"*.{name}{_PARTIAL}"):
                partial.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def _ended_writers(folder: Path, writer: str) -> Iterator[str]:
    """Others that have written into a folder, one after the other, each kept from beginning again meanwhile."""
    from filelock import FileLock, Timeout

    for file in folder.glob(".*.lock"):
        name = file.name.removeprefix(".").removesuffix(".lock")
        if name != writer:
            with suppress(Timeout, OSError), FileLock(str(file), timeout=0):
                yield name


def remove_abandoned(folder: Path) -> None:
    """Remove what writers without a name that were killed have left in a folder and below it.

    Nobody has written into these for an hour: others may be at work here. What cannot be removed stays.
    """
    for partial in folder.rglob(f"*{_PARTIAL}"):
        with suppress(OSError):  # its writer has put it in place, or it is somebody else's
            if _UNNAMED.search(partial.name) and time.time() - partial.stat().st_mtime > _ABANDONED:
                partial.unlink()


def save_text(content: str, file: Path, writer: str | None = None) -> None:
    """Write a text in UTF-8, whole or not at all.

    Args:
        writer: of ``written_whole``.

    Raises:
        OSError: it cannot be written; names the file.
    """
    with written_whole(file, writer) as partial:
        partial.write_text(content, encoding="utf-8")
