"""Datasets of records: WebDataset shards in a folder, with a manifest.

Shard n holds the records of the source's examples n·size to (n + 1)·size, and is written whole or
not at all. So a recording that was stopped goes on with the shards that are missing, and several
processes take turns at them: the outcome is the same.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset

from ..classifier import MapLayout
from ..relations import CARDINAL_RELATIONS, Relation
from .recording import Record, RecordableModel, RecordingSettings, record
from .sources import Source

MANIFEST = "manifest.json"
_FORMAT = "spatial-steering token maps, version 1"


@dataclass(frozen=True)
class Manifest:
    """What a dataset holds.

    Attributes:
        model: hash of the weights that were recorded.
        layout: of the maps.
        source: description of the pictures.
        settings: of the recording.
        examples: pictures in the source.
        shard_size: pictures in a shard.
    """

    model: str
    layout: MapLayout
    source: dict[str, Any]
    settings: RecordingSettings
    examples: int
    shard_size: int

    @property
    def shards(self) -> int:
        """How many the whole dataset has."""
        return -(-self.examples // self.shard_size)


def write_dataset(
    model: RecordableModel,
    source: Source,
    settings: RecordingSettings,
    folder: Path,
    shard_size: int = 64,
    batch: int = 4,
    process: int = 0,
    processes: int = 1,
) -> Iterator[int]:
    """Record a source into a folder, going on where an earlier call was stopped.

    Args:
        batch: pictures that are worked on at a time.
        process, processes: which of several this one is; each takes every so manieth shard.

    Yields:
        The number of pictures done in this call, after each shard.

    Raises:
        ValueError: the folder holds another dataset.
    """
    manifest = Manifest(
        model.hash, settings.layout(model.network), dict(source.description), settings, len(source), shard_size
    )
    _claim(folder, manifest)
    done = 0
    for number in range(process, manifest.shards, processes):
        file = shard_file(folder, number)
        examples = range(number * shard_size, min((number + 1) * shard_size, len(source)))
        if not file.exists():
            partial = file.with_suffix(f".{process}.partial")
            with webdataset.TarWriter(str(partial), mtime=0) as writer:
                for first in range(examples.start, examples.stop, batch):
                    chosen = [source[index] for index in range(first, min(first + batch, examples.stop))]
                    for recorded in record(model, chosen, settings, first):
                        writer.write(_as_sample(recorded))
            partial.replace(file)
        done += len(examples)
        yield done


def shard_file(folder: Path, number: int) -> Path:
    """Where a shard lies."""
    return folder / f"{number:06d}.tar"


def read_manifest(folder: Path) -> Manifest:
    """What a dataset's folder says of itself.

    Raises:
        ValueError: it is no dataset's folder.
    """
    file = folder / MANIFEST
    if not file.exists():
        raise ValueError(f"{folder} is no dataset: {MANIFEST} was expected in it, as written by: steer record")
    content = json.loads(file.read_text(encoding="utf-8"))
    if content.pop("format", None) != _FORMAT:
        raise ValueError(f"{file}: the format {_FORMAT!r} was expected.")
    content["layout"] = MapLayout.from_json(content["layout"])
    settings: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content["settings"].items()
    }
    content["settings"] = RecordingSettings(**settings)
    return Manifest(**content)


@dataclass(frozen=True)
class Records:
    """A dataset in memory, a row for each picture and prompt.

    Attributes:
        maps: (rows, recorded steps, 2, maps, map_size, map_size) in float16.
        relation: the true ones, (rows,), positions in ``CARDINAL_RELATIONS``.
        stated: those in the prompts, likewise.
        objects: names of the two objects of every row.
        damaged: shards that could not be read, and were left out.
    """

    maps: torch.Tensor
    relation: torch.Tensor
    stated: torch.Tensor
    objects: tuple[tuple[str, str], ...]
    damaged: tuple[Path, ...]

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

    @property
    def digest(self) -> str:
        """A hash that tells these records from others."""
        digest = hashlib.sha256(json.dumps(self.objects).encode())
        for part in (self.maps, self.relation, self.stated):
            digest.update(part.numpy().data)
        return digest.hexdigest()

    def _chosen(self, rows: list[int]) -> Records:
        objects = tuple(self.objects[row] for row in rows)
        return Records(self.maps[rows], self.relation[rows], self.stated[rows], objects, self.damaged)


def together(parts: Sequence[Records]) -> Records:
    """Several datasets as one, in their order."""
    return Records(
        maps=torch.cat([part.maps for part in parts]),
        relation=torch.cat([part.relation for part in parts]),
        stated=torch.cat([part.stated for part in parts]),
        objects=tuple(pair for part in parts for pair in part.objects),
        damaged=tuple(file for part in parts for file in part.damaged),
    )


def read_records(folder: Path, manifest: Manifest) -> Records:
    """Load a dataset; shards that are damaged are left out.

    Raises:
        ValueError: shards are missing, or none can be read.
    """
    files = [shard_file(folder, number) for number in range(manifest.shards)]
    missing = [file.name for file in files if not file.exists()]
    if missing:
        raise ValueError(
            f"{folder} is not complete: {len(missing)} of {len(files)} shards are missing, {missing[0]} the first. Go "
            f"on with the same steer record command."
        )
    rows, damaged = [], []
    for file in files:
        try:
            rows += list(webdataset.WebDataset(str(file), shardshuffle=False).map(_from_sample))
        except (tarfile.TarError, OSError, EOFError, ValueError, KeyError):
            damaged.append(file)
    if not rows:
        raise ValueError(f"None of the {len(files)} shards in {folder} can be read. Record the dataset again.")
    maps, relation, stated, objects = zip(*rows)
    return Records(
        torch.from_numpy(np.stack(maps)), torch.tensor(relation), torch.tensor(stated), objects, tuple(damaged)
    )


def _as_sample(recorded: Record) -> dict[str, Any]:
    told = {
        "subject": recorded.subject,
        "relation": recorded.relation.value,
        "object": recorded.object,
        "stated": recorded.stated.value,
    }
    content = io.BytesIO()
    np.save(content, recorded.maps.numpy(), allow_pickle=False)
    return {"__key__": recorded.key, "maps.npy": content.getvalue(), "label.json": json.dumps(told).encode()}


def _from_sample(sample: dict[str, Any]) -> tuple[np.ndarray, int, int, tuple[str, str]]:
    maps = np.load(io.BytesIO(sample["maps.npy"]), allow_pickle=False)
    told = json.loads(sample["label.json"])
    relation, stated = (CARDINAL_RELATIONS.index(Relation(told[key])) for key in ("relation", "stated"))
    return maps, relation, stated, (told["subject"], told["object"])


def _claim(folder: Path, manifest: Manifest) -> None:
    """Write the manifest, or check that the one there is the same."""
    file = folder / MANIFEST
    text = json.dumps({"format": _FORMAT, **asdict(manifest)}, indent=1)
    begun = any(folder.glob("*.tar"))
    if begun and file.exists() and file.read_text(encoding="utf-8") != text:
        raise ValueError(
            f"{folder} holds another dataset: its {MANIFEST} differs in {_difference(file, text)}. Give another "
            f"folder, or the settings of that one."
        )
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def _difference(file: Path, text: str) -> str:
    """The parts in which two manifests differ."""
    there, wanted = json.loads(file.read_text(encoding="utf-8")), json.loads(text)
    return ", ".join(key for key in wanted if there.get(key) != wanted[key])
