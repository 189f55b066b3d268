"""Files of ``torch.save`` that anybody may have written: plain values and tensors, and nothing that is run."""

from __future__ import annotations

import pickletools
import re
import zipfile
from pathlib import Path
from typing import Any

import torch

from ..out_of_memory import is_out_of_memory
from ..wording import brief, one_line

#: Names that torch.save needs for a dict of plain values and tensors.
_NAMES = re.compile(r"collections OrderedDict|torch \w+Storage|torch Size|torch\._utils _rebuild_(tensor_v2|parameter)")


def read_pickled(file: Path) -> Any:
    """What ``torch.save`` wrote, on the CPU, if it is plain data and as large as it says.

    Raises:
        ValueError: it is damaged or holds anything else; names the file, on one line.
        OSError: it cannot be read.
    """
    with file.open("rb") as opened:
        try:
            with zipfile.ZipFile(opened) as archive:
                # torch.save compresses nothing; what is compressed can unfold to any size.
                if sum(member.file_size for member in archive.infolist()) > file.stat().st_size:
                    raise ValueError("it claims to hold more than a file of its size can.")
                for member in archive.infolist():
                    if member.filename.endswith("data.pkl"):
                        _check_names(archive.read(member))
            opened.seek(0)
            return torch.load(opened, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged archive or pickle ends in whatever its bytes happen to ask for
            if is_out_of_memory(error):
                raise
            raise ValueError(f"{file} is damaged, or no plain file of torch.save: {one_line(error)}") from error


def _check_names(pickled: bytes) -> None:
    """Refuse what weights_only lets by: calls that take memory without bound, such as bytearray(10**10)."""
    for code, argument, _ in pickletools.genops(pickled):
        if "GLOBAL" in code.name and not _NAMES.fullmatch(str(argument)):
            raise ValueError(f"plain values and tensors were expected in it, not {brief(argument)}.")
