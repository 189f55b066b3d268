"""What options of the command line may be, and the files that they name."""

from __future__ import annotations

import argparse
import io
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..training.recording import MOST_STEPS
from ..wording import brief, one_line, unencodable

#: A picture each, all in memory at once.
MOST_SEEDS = 64
#: Side of a picture, in pixels.
MOST_SIDE = 8192
#: Of a file's name, in bytes: file systems take 255, and while it is written it has a longer one.
_LONGEST_NAME = 200
#: A picture like those that are written, to try a format with.
_TRIED_SIZE = (128, 128)


def whole(least: int, most: int) -> Callable[[str], int]:
    """Reads a whole number from ``least`` to ``most``."""

    def read(text: str) -> int:
        # Digits beyond those of the largest are not worth converting.
        if not text.isdecimal() or len(text) > 2 * len(str(most)) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"a whole number from {least} to {most} was expected, not {brief(text)}")
        return int(text)

    return read


def number(least: float = -math.inf, most: float = math.inf, *, below: bool = False) -> Callable[[str], float]:
    """Reads a finite number from ``least`` to ``most``.

    Args:
        below: it must be less than ``most``.
    """
    expected = "a number"
    if math.isfinite(least) or math.isfinite(most):
        expected += f" from {least:g} to {'less than ' * below}{most:g}"

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not least <= value <= most or (below and value == most):
            raise argparse.ArgumentTypeError(f"{expected} was expected, not {brief(text)}")
        return value

    return read


#: How many of something.
positive = whole(1, 100_000)
#: Of random numbers.
seed = whole(0, 2**64 - 1)
steps = whole(1, MOST_STEPS)
guidance_scale = number(0, 100)


@contextmanager
def naming(option: str, of: type[ValueError] = ValueError) -> Iterator[None]:
    """While it lasts, an error of the library says first which option asked for what it refuses.

    The library tells what is wrong and what was expected, and knows no option: to others it is called by nodes.

    Args:
        of: the errors that the option can do something about.

    Raises:
        ValueError: there was one.
    """
    try:
        yield
    except of as error:
        raise ValueError(f"{option}: {error}") from error


def text(value: str) -> str:
    """Words that can be encoded: what a terminal hands over in another encoding cannot."""
    if complaint := unencodable(value):
        raise argparse.ArgumentTypeError(complaint)
    return value


def check_picture(file: Path, size: tuple[int, int] = _TRIED_SIZE) -> None:
    """Refuse what could not be written as a picture, before the work for it is done.

    Args:
        size: (width, height) to try, where the format's limit could be reached.

    Raises:
        ValueError: the name is none of a picture, the format cannot be written here or not in this size, or nothing
            can be written there.
    """
    from PIL import Image

    check_place(file)
    kind = Image.registered_extensions().get(file.suffix.lower())
    if kind not in Image.SAVE:
        raise ValueError(f"{file}: a picture's name was expected, such as one that ends in .png.")
    try:
        Image.new("RGB", size).save(io.BytesIO(), kind)
    except Exception as error:  # each format refuses in its own way
        raise ValueError(
            f"{file}: a picture of {size[0]}×{size[1]} cannot be written as {kind} here: {one_line(error)}. Give a "
            f"name that ends in .png."
        ) from error


def check_place(file: Path) -> None:
    """Refuse a file that could not be written.

    Raises:
        ValueError: its folder is not there or takes no file, or it is something else than a file.
    """
    if not file.parent.is_dir():
        raise ValueError(f"{file}: the folder {file.parent} does not exist. Make it first, or give another path.")
    if len(os.fsencode(file.name)) > _LONGEST_NAME:
        raise ValueError(f"{brief(str(file))}: a name of {_LONGEST_NAME} bytes at most was expected.")
    if file.is_dir():
        raise ValueError(f"{file} is a folder; the name of a file to write was expected.")
    if file.exists() and not file.is_file():
        raise ValueError(f"{file} is no ordinary file; the name of one to write was expected.")
    _check_takes_files(file.parent, file)


def check_folder(folder: Path) -> None:
    """Refuse a folder that could neither be made nor written into, before the work for it is done.

    Raises:
        ValueError: it, or something on the way to it, is no folder, or takes no file; names it.
    """
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not there.is_dir():
        raise ValueError(f"{folder}: a folder to write into was expected, and {there} is none. Give another path.")
    _check_takes_files(there, folder)


def _check_takes_files(folder: Path, wanted: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"{wanted}: the folder {folder} takes no file: {one_line(error)}") from error


def place_of(file: Path) -> Path:
    """The one path of a file that is written, however it was spelled.

    A link that the file itself is stays one: writing replaces it, and not what it leads to.
    """
    return file.parent.resolve() / file.name


def printable(file: Path) -> str:
    """A path as it can be printed, whatever its bytes are."""
    return os.fsencode(file).decode(errors="backslashreplace")
