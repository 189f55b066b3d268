"""Names and paths that come from others: what a name may be, and where a path may lead.

A workflow that is shared carries both, and the machine that runs it is not the one that it was made on.
"""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

from ..wording import brief

#: Bytes of a name in UTF-8, so that file systems take it with what is put around it.
LONGEST_FILE_NAME = 150
#: Windows takes these for devices in any folder and whatever follows a dot.
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(10))}


def check_name(name: str) -> None:
    """Refuse what could not name a file or a folder of ours on every system.

    A name has letters and digits of any script, spaces, "-", "_", and dots within it.

    Raises:
        ValueError: says what a name may be.
    """
    expected = f"name must be letters, digits, spaces, '-', '_' and dots within it, not {brief(name)}"
    if not isinstance(name, str) or not name or not all(c in " -_." or _is_of_a_word(c) for c in name):
        raise ValueError(f"{expected}: give the name alone, not a path.")
    if name[0] in " ." or name[-1] in " ." or ".." in name:
        raise ValueError(f"{expected}: no dot or space at its ends, and no two dots side by side.")
    if len(name.encode()) > LONGEST_FILE_NAME:
        raise ValueError(f"{expected}: at most {LONGEST_FILE_NAME} bytes in UTF-8.")
    if name.split(".")[0].rstrip().upper() in _DEVICES:
        raise ValueError(f"{expected}: Windows takes this one for a device. Give another.")


def named_path(folder: Path, name: str, suffix: str = "") -> Path:
    """Where a thing of that name lies in a folder, links followed.

    Raises:
        ValueError: it may not be called so, or a link leads out of the folder.
    """
    check_name(name)
    return path_within(folder, f"{name}{suffix}")


def path_within(root: Path, path: str | Path) -> Path:
    """A path from elsewhere, absolute or relative to a root, which it may not leave; links are followed.

    Nothing outside the root is so much as looked at: on Windows that could ask another machine.

    Raises:
        ValueError: it leads out of the root; names both.
    """
    try:
        given_root, real_root = os.path.abspath(root), os.path.realpath(root)
        written = Path(os.path.abspath(os.path.join(given_root, path)))
        if written.is_relative_to(given_root) or written.is_relative_to(real_root):
            real = Path(os.path.realpath(written))
            if real.is_relative_to(real_root):
                return real
    except ValueError:  # a NUL, or half a character
        pass
    raise ValueError(f"{brief(str(path))} was expected to lie in {root}, links followed. Put it there.")


def _is_of_a_word(character: str) -> bool:
    """Whether it is a letter, a mark on one, or a digit; many scripts write their vowels as marks."""
    category = unicodedata.category(character)
    return category[0] in "LM" or category == "Nd"
