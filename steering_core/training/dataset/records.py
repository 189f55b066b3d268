"""A dataset that is learned from."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from ...wording import one_line
from .manifest import Manifest, shard_file, shard_name
from .shards import read_shard
from .stored import StoredMaps


class Damaged(NamedTuple):
    """A shard that cannot be used, and why."""

    file: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


@dataclass(frozen=True)
class Records:
    """A dataset, a row for each picture and prompt. All but the maps is in memory.

    Attributes:
        maps: those of every row; ``maps[row][position]`` reads those of one recorded step.
        relation: the true ones, (rows,), positions in ``CARDINAL_RELATIONS``.
        stated: those in the prompts, likewise.
        objects: names of the two objects of every row.
        damaged: shards that are not as they were recorded, and were left out.
    """

    maps: tuple[StoredMaps, ...]
    relation: torch.Tensor
    stated: torch.Tensor
    objects: tuple[tuple[str, str], ...]
    damaged: tuple[Damaged, ...]

    def with_true_prompts(self) -> Records:
        """Those that there would be without dual inversion."""
        return self._chosen((self.relation == self.stated).nonzero()[:, 0].tolist())

    def without(self, names: Collection[str]) -> Records:
        """Those that show none of these objects.

        Raises:
            ValueError: none is left.
        """
        rows = [row for row, shows in enumerate(self.showing(names)) if not shows]
        if not rows:
            raise ValueError(f"Without {', '.join(names)} nothing is left of the dataset.")
        return self._chosen(rows)

    def showing(self, names: Collection[str]) -> list[bool]:
        """For each row, whether one of its two objects is among these."""
        return [not set(names).isdisjoint(pair) for pair in self.objects]

    def count_in(self, others: Records) -> int:
        """How many of these rows are among other records too, by their maps."""
        known = {maps.digests for maps in others.maps}
        return sum(maps.digests in known for maps in self.maps)

    @property
    def digest(self) -> str:
        """A hash that tells these records from others, wherever they lie."""
        digest = hashlib.sha256(json.dumps(self.objects).encode())
        for maps in self.maps:
            digest.update(b"".join(maps.digests))
        for part in (self.relation, self.stated):
            digest.update(part.numpy().data)
        return digest.hexdigest()

    def _chosen(self, rows: list[int]) -> Records:
        maps, objects = tuple(self.maps[row] for row in rows), tuple(self.objects[row] for row in rows)
        return Records(maps, self.relation[rows], self.stated[rows], objects, self.damaged)


def together(parts: Sequence[Records]) -> Records:
    """Several datasets as one, in their order."""
    return Records(
        maps=tuple(maps for part in parts for maps in part.maps),
        relation=torch.cat([part.relation for part in parts]),
        stated=torch.cat([part.stated for part in parts]),
        objects=tuple(pair for part in parts for pair in part.objects),
        damaged=tuple(file for part in parts for file in part.damaged),
    )


def read_records(folder: Path, manifest: Manifest) -> Records:
    """Check a dataset, and read all of it but its maps; shards that are damaged are left out.

    Raises:
        ValueError: shards are missing, none can be read, or those that can hold no picture.
    """
    present = {name for name in manifest.index if (folder / name).is_file()}
    if missing := manifest.shards - len(present):
        first = next(name for name in map(shard_name, itertools.count()) if name not in present)
        raise ValueError(
            f"{folder} is not complete: {missing} of {manifest.shards} shards are missing, {first} the first. Record "
            f"the dataset again with the same settings: that goes on where it was stopped."
        )
    rows, damaged = [], []
    for number in range(manifest.shards):
        file = shard_file(folder, number)
        try:
            rows += read_shard(file, manifest)
        except (OSError, ValueError) as error:
            damaged.append(Damaged(file, one_line(error)))
    if not rows and len(damaged) < manifest.shards:
        reasons = [manifest.left_out_message, *(f"Damaged is {shard}." for shard in damaged[:1])]
        raise ValueError(
            f"{folder} holds no picture to learn from. {' '.join(reasons)} Record the dataset again, into another "
            f"folder, with other pictures, a lower least_psnr, or the method noise, which leaves out none."
        )
    if not rows:
        raise ValueError(
            f"None of the {manifest.shards} shards in {folder} can be read ({damaged[0].reason}). Record the dataset "
            f"again."
        )
    maps, relation, stated, objects = zip(*rows)
    return Records(maps, torch.tensor(relation), torch.tensor(stated), objects, tuple(damaged))
