"""What options of the command line may be."""

from __future__ import annotations

import argparse
from pathlib import Path


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 on was expected, not {text}")
    return int(text)


def whole_number(text: str) -> int:
    """A whole number from 0 on, as large as a seed may be."""
    if not text.isdecimal() or int(text) >= 2**64:
        raise argparse.ArgumentTypeError(f"a whole number from 0 to 2^64 - 1 was expected, not {text}")
    return int(text)


def check_picture(file: Path) -> None:
    """Refuse what could not be written as a picture, before the work for it is done."""
    from PIL import Image

    check_folder(file)
    if Image.registered_extensions().get(file.suffix.lower()) not in Image.SAVE:
        raise ValueError(f"{file}: a picture's name was expected, such as one that ends in .png.")


def check_folder(file: Path) -> None:
    """Refuse a file whose folder is not there."""
    if not file.parent.is_dir():
        raise ValueError(f"{file}: the folder {file.parent} does not exist. Make it first, or give another path.")
    if file.is_dir():
        raise ValueError(f"{file} is a folder; the name of a file to write was expected.")
