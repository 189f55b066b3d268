"""Datasets of records: tar files, called shards, in a folder, with a manifest.

Shard n holds the records of the source's examples n·size to (n + 1)·size: for each the members
KEY.maps.npy and KEY.label.json, as WebDataset has it. A shard is written whole or not at all, and the
manifest notes how many records it has and its SHA-256. So a recording that was stopped goes on with
the shards that are missing or damaged, several processes take turns at them with the same outcome,
and what has changed since is not taken for data.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import math
import re
import tarfile
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from filelock import FileLock, Timeout

from ..classifier import MapLayout
from ..described import brief, described, one_line, parse_json, read_json
from ..files import remove_unfinished, written_whole
from ..relations import CARDINAL_RELATIONS, Relation
from .recording import Record, RecordableModel, RecordingSettings, record
from .sources import Source

MANIFEST = "manifest.json"
_FORMAT = "spatial-steering token maps, version 2"
_FORMAT_WITHOUT_DIGESTS = "spatial-steering token maps, version 1"
_MAPS, _LABEL = ".maps.npy", ".label.json"
#: An array's file begins so, in the first version of the format, and goes on with the length of its header.
_NUMPY = b"\x93NUMPY\x01\x00"
_CHUNK = 2**20


@dataclass(frozen=True)
class Shard:
    """What a manifest notes of a shard: how many records it has, and the SHA-256 of the file in hexadecimal digits."""

    records: int
    sha256: str


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
        index: of the shards that have been written, by the names of their files.

    Raises:
        ValueError: there are no pictures, or the parts contradict each other.
    """

    model: str
    layout: MapLayout
    source: dict[str, Any]
    settings: RecordingSettings
    examples: int
    shard_size: int
    index: dict[str, Shard] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.examples < 1 or self.shard_size < 1:
            raise ValueError(f"examples and shard_size must be 1 or more, not {self.examples} and {self.shard_size}.")
        if self.layout != self.settings.layout(self.layout.network):
            raise ValueError(f"the layout is not that of its settings, but {self.layout}.")
        if unknown := [name for name in self.index if not self._has(name)]:
            raise ValueError(f"index: the dataset has {self.shards} shards, {brief(unknown[0])} is none of them.")

    @property
    def shards(self) -> int:
        """How many the whole dataset has."""
        return -(-self.examples // self.shard_size)

    def differences(self, other: Manifest) -> list[str]:
        """In which parts another dataset differs, whatever has been written of both."""
        names = (part.name for part in fields(self) if part.name != "index")
        return [name for name in names if getattr(self, name) != getattr(other, name)]

    def _has(self, name: str) -> bool:
        number = re.fullmatch(r"(\d{6,})\.tar", name, re.ASCII)
        return number is not None and name == _shard_name(int(number[1])) and int(number[1]) < self.shards


def write_dataset(
    model: RecordableModel,
    source: Source,
    settings: RecordingSettings,
    folder: Path,
    shard_size: int = 64,
    batch: int = 4,
    process: int = 0,
    processes: int = 1,
) -> Generator[int, None, None]:
    """Record a source into a folder, going on where an earlier call was stopped.

    The folder is this recording's until the iterator is closed.

    Args:
        batch: pictures that are worked on at a time.
        process, processes: which of several this one is; each takes every so manieth shard.

    Yields:
        The number of pictures done in this call, after each shard.

    Raises:
        ValueError: the folder holds another dataset or files of somebody else, another recording writes into
            it, or the model's maps are no finite numbers.
        OSError: the disk is full, or the folder is no place to write.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _only_writer(folder, process) as writer:
        # What the manifest will be read as, in which there are no tuples.
        described_source = parse_json(json.dumps(dict(source.description), allow_nan=False), "The pictures")
        manifest = Manifest(
            model.hash, settings.layout(model.network), described_source, settings, len(source), shard_size
        )
        index, done = _claim(folder, manifest, writer), 0
        for number in range(process, manifest.shards, processes):
            file = shard_file(folder, number)
            examples = range(number * shard_size, min((number + 1) * shard_size, len(source)))
            if not _is_whole(file, index.get(file.name)):
                _write_shard(file, manifest, _recorded(model, source, settings, examples, batch), writer)
            done += len(examples)
            yield done


def _recorded(
    model: RecordableModel, source: Source, settings: RecordingSettings, examples: range, batch: int
) -> Iterator[Record]:
    for first in range(examples.start, examples.stop, batch):
        chosen = [source[index] for index in range(first, min(first + batch, examples.stop))]
        yield from record(model, chosen, settings, first)


def shard_file(folder: Path, number: int) -> Path:
    """Where a shard lies."""
    return folder / _shard_name(number)


def _shard_name(number: int) -> str:
    return f"{number:06d}.tar"


def read_manifest(folder: Path) -> Manifest:
    """What a dataset's folder says of itself.

    Raises:
        ValueError: it is no dataset's folder, or the manifest is damaged or of an earlier version; names the file.
    """
    file = folder / MANIFEST
    if not file.is_file():
        raise ValueError(f"{folder} is no dataset: {MANIFEST} was expected in it, as written by: steer record")
    content = read_json(file)
    told = content.pop("format", None) if isinstance(content, dict) else None
    if told == _FORMAT_WITHOUT_DIGESTS:
        raise ValueError(
            f"{file} was written by an earlier version, without the digests that tell damaged data from whole. Record "
            f"the dataset again, into another folder."
        )
    if told != _FORMAT:
        raise ValueError(f"{file}: the format {_FORMAT!r} was expected.")
    return described(Manifest, content, str(file))


def check_alike(first: Path, wanted: Manifest, folder: Path, there: Manifest) -> None:
    """Refuse to train on maps of one model and test on those of another.

    Raises:
        ValueError: the two datasets are of different models, maps or steps; names both.
    """
    if (there.model, there.layout) != (wanted.model, wanted.layout):
        raise ValueError(f"{folder} holds maps of another model, or other maps of it, than {first}.")
    if (there.settings.steps, there.settings.recorded) != (wanted.settings.steps, wanted.settings.recorded):
        raise ValueError(f"{folder} holds other steps of the diffusion time than {first}.")


class Damaged(NamedTuple):
    """A shard that cannot be used, and why."""

    file: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


@dataclass(frozen=True)
class Records:
    """A dataset in memory, a row for each picture and prompt.

    Attributes:
        maps: (rows, recorded steps, 2, maps, map_size, map_size) in float16.
        relation: the true ones, (rows,), positions in ``CARDINAL_RELATIONS``.
        stated: those in the prompts, likewise.
        objects: names of the two objects of every row.
        damaged: shards that are not as they were recorded, and were left out.
    """

    maps: torch.Tensor
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
    present = {name for name in manifest.index if (folder / name).is_file()}
    if missing := manifest.shards - len(present):
        first = next(name for name in map(_shard_name, itertools.count()) if name not in present)
        raise ValueError(
            f"{folder} is not complete: {missing} of {manifest.shards} shards are missing, {first} the first. Go on "
            f"with the same steer record command."
        )
    rows, damaged = [], []
    for number in range(manifest.shards):
        file = shard_file(folder, number)
        try:
            rows += _read_shard(file, manifest)
        except (OSError, ValueError) as error:
            damaged.append(Damaged(file, one_line(error)))
    if not rows:
        raise ValueError(
            f"None of the {manifest.shards} shards in {folder} can be read ({damaged[0].reason}). Record the dataset "
            f"again."
        )
    maps, relation, stated, objects = zip(*rows)
    return Records(
        torch.from_numpy(np.stack(maps)), torch.tensor(relation), torch.tensor(stated), objects, tuple(damaged)
    )


_Row = tuple[np.ndarray, int, int, tuple[str, str]]


def _read_shard(file: Path, manifest: Manifest) -> list[_Row]:
    """Its records; raises ValueError for anything but what was written."""
    noted, content = manifest.index[file.name], file.read_bytes()
    if hashlib.sha256(content).hexdigest() != noted.sha256:
        raise ValueError("it is not as it was recorded (its SHA-256 is not the manifest's)")
    members = list(_members(content))
    rows = []
    for (maps_name, maps), (label_name, label) in zip(members[::2], members[1::2]):
        if maps_name.removesuffix(_MAPS) != label_name.removesuffix(_LABEL):
            raise ValueError(f"the members {brief(maps_name)} and {brief(label_name)} are no maps with their label")
        rows.append((_as_maps(maps, maps_name, manifest), *_as_label(label, label_name)))
    if len(members) != 2 * len(rows) or len(rows) != noted.records:
        raise ValueError(f"it has {len(members)} members, where {noted.records} records of two were expected")
    return rows


def _members(content: bytes) -> Iterator[tuple[str, memoryview]]:
    """Names and contents of a tar file's members.

    Block by block, and nothing but plain files: ``TarFile`` also reads what a shard never has, such as holes and
    extended headers, and earlier versions of Python never come back from some of them (CVE-2025-8194).
    """
    block, start, whole = tarfile.BLOCKSIZE, 0, memoryview(content)
    while (header := content[start : start + block]) != bytes(block):
        try:
            member = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        except tarfile.TarError as error:
            raise ValueError(f"it is no tar file, or is cut off: {one_line(error)}") from error
        start += block
        if member.type != tarfile.REGTYPE or not 0 <= member.size <= len(content) - start:
            raise ValueError(f"{brief(member.name)} is no plain file in it, or is cut off")
        yield member.name, whole[start : start + member.size]
        start += -(-member.size // block) * block


def _as_maps(content: memoryview, name: str, manifest: Manifest) -> np.ndarray:
    """(recorded steps, 2, maps, map_size, map_size) in float16."""
    side = manifest.layout.map_size
    shape = (len(manifest.settings.recorded), 2, manifest.layout.maps, side, side)
    # As text: numpy's own reader of it ends in whatever error its bytes happen to ask for.
    header = content[len(_NUMPY) + 2 :][: int.from_bytes(content[len(_NUMPY) :][:2], "little")]
    values = content[len(_NUMPY) + 2 + len(header) :]
    wanted = f"{{'descr': '<f2', 'fortran_order': False, 'shape': {shape}, }}"
    if content[: len(_NUMPY)] != _NUMPY or bytes(header).rstrip() != wanted.encode():
        raise ValueError(f"{brief(name)} was expected to be an array of numpy's in float16 of the shape {shape}")
    if len(values) != 2 * math.prod(shape):
        raise ValueError(f"{brief(name)} has {len(values)} bytes, where {2 * math.prod(shape)} were expected")
    maps = np.frombuffer(values, "<f2").reshape(shape)
    if not np.isfinite(maps).all():
        raise ValueError(f"{brief(name)} has values that are no finite numbers")
    return maps


@dataclass(frozen=True)
class _Label:
    """What a picture shows, and what its prompt stated."""

    subject: str
    relation: Relation
    object: str
    stated: Relation

    def __post_init__(self) -> None:
        for relation in (self.relation, self.stated):
            if relation not in CARDINAL_RELATIONS:
                raise ValueError(f"left, right, above or below was expected, not {relation.value}.")


def _as_label(content: memoryview, name: str) -> tuple[int, int, tuple[str, str]]:
    label = described(_Label, parse_json(bytes(content), brief(name)), brief(name))
    relation, stated = (CARDINAL_RELATIONS.index(told) for told in (label.relation, label.stated))
    return relation, stated, (label.subject, label.object)


def _write_shard(file: Path, manifest: Manifest, records: Iterable[Record], writer: str) -> None:
    """Put a shard in its place, and note it in the manifest."""
    with written_whole(file, writer) as partial:
        count = 0
        with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as archive:
            for recorded in records:
                count += 1
                for name, content in _as_members(recorded):
                    member = tarfile.TarInfo(name)
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
        # Noted first: what is stopped in between is a shard that is missing, and never one of another dataset.
        _note(file, manifest, Shard(count, _sha256(partial)), writer)


def _as_members(recorded: Record) -> Iterator[tuple[str, bytes]]:
    if not recorded.maps.isfinite().all():
        raise ValueError(
            f"Picture {recorded.key}: the model's attention has values that are no finite numbers, from which nothing "
            f"can be learned. Run the model in a higher precision, or take the picture out."
        )
    told = {
        "subject": recorded.subject,
        "relation": recorded.relation.value,
        "object": recorded.object,
        "stated": recorded.stated.value,
    }
    content = io.BytesIO()
    np.save(content, recorded.maps.numpy().astype("<f2"), allow_pickle=False)
    yield recorded.key + _MAPS, content.getvalue()
    yield recorded.key + _LABEL, json.dumps(told).encode()


def _is_whole(file: Path, noted: Shard | None) -> bool:
    """Whether a shard is there as it was noted."""
    return noted is not None and file.is_file() and _sha256(file) == noted.sha256


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def _only_writer(folder: Path, process: int) -> Iterator[str]:
    """The folder is written by one recording at a time, of which each process has a lock; gives the writer's name.

    The system gives a lock up when its process ends, however it ends.
    """
    writer = f"writer{process}"
    # A generator may be closed by another thread than the one that it ran in.
    lock = FileLock(str(folder / f".{writer}.lock"), thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"Another recording is writing into {folder}. Wait until it has ended, or give another folder."
        ) from None
    try:
        remove_unfinished(folder, writer)
        yield writer
    finally:
        lock.release()


def _manifest_lock(folder: Path) -> FileLock:
    """Held for as long as it takes to read and write a manifest, by all processes of a recording in turn."""
    return FileLock(str(folder / ".manifest.lock"))


def _claim(folder: Path, manifest: Manifest, writer: str) -> dict[str, Shard]:
    """Make the folder this dataset's, which it may be already; returns the shards that have been written."""
    with _manifest_lock(folder):
        there = read_manifest(folder) if (folder / MANIFEST).exists() else None
        if there is None and any(folder.glob("*.tar")):
            raise ValueError(f"{folder} holds tar files that no {MANIFEST} tells of. Give another folder.")
        if there is not None and there.index:
            _check_same(folder, there, manifest)
            return there.index
        _write_manifest(folder, manifest, writer)
        return {}


def _note(file: Path, manifest: Manifest, shard: Shard, writer: str) -> None:
    """Add a shard to the folder's manifest, if that is still of the same dataset."""
    with _manifest_lock(file.parent):
        there = read_manifest(file.parent)
        _check_same(file.parent, there, manifest)
        index = dict(sorted({**there.index, file.name: shard}.items()))
        _write_manifest(file.parent, replace(there, index=index), writer)


def _check_same(folder: Path, there: Manifest, manifest: Manifest) -> None:
    if differences := manifest.differences(there):
        raise ValueError(
            f"{folder} holds another dataset: its {MANIFEST} differs in {', '.join(differences)}. Give another folder, "
            f"or the settings of that one."
        )


def _write_manifest(folder: Path, manifest: Manifest, writer: str) -> None:
    with written_whole(folder / MANIFEST, writer) as partial:
        partial.write_text(json.dumps({"format": _FORMAT, **asdict(manifest)}, indent=1), encoding="utf-8")
