"""Maps that stay in their shard until they are asked for."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class StoredMaps:
    """The maps of one record, a sequence with an item for each recorded step.

    A file is open only while a step is read from it: a dataset may have more shards than a process may have files.

    Attributes:
        file: the shard.
        offset: where the first step's maps begin in it, in bytes.
        shape: of a step's maps, (2, maps, map_size, map_size).
        digests: SHA-256 of each step's maps as they were when the shard was checked.
    """

    file: Path
    offset: int
    shape: tuple[int, ...]
    digests: tuple[bytes, ...]

    def __len__(self) -> int:
        return len(self.digests)

    def __getitem__(self, position: int) -> Tensor:
        """The maps of one step, (2, maps, map_size, map_size) in float16.

        Raises:
            IndexError: there is no such step.
            ValueError: the file has changed since it was checked; names it.
            OSError: it is gone, or cannot be read.
        """
        step = range(len(self))[position]
        content = bytearray(2 * math.prod(self.shape))
        with self.file.open("rb") as opened:
            opened.seek(self.offset + step * len(content))
            opened.readinto(content)
        if hashlib.sha256(content).digest() != self.digests[step]:
            raise ValueError(
                f"{self.file} has changed since it was checked. Record the dataset again, with the same settings and "
                f"into the same folder, then start the same training again: it goes on where it was."
            )
        return torch.from_numpy(np.frombuffer(content, "<f2").reshape(self.shape))
