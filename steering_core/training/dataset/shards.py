"""A shard of a dataset: a tar file with the maps and the label of each of its records."""

from __future__ import annotations

import hashlib
import io
import json
import math
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...described import brief, described, one_line, parse_json
from ...files import written_whole
from ...relations import CARDINAL_RELATIONS, Relation
from ..recording import Record
from .manifest import Manifest, Shard, note

_MAPS, _LABEL = ".maps.npy", ".label.json"
#: An array's file begins so, in the first version of the format, and goes on with the length of its header.
_NUMPY = b"\x93NUMPY\x01\x00"
_CHUNK = 2**20
#: Maps, positions in ``CARDINAL_RELATIONS`` of the true relation and of the one in the prompt, names of the objects.
Row = tuple[np.ndarray, int, int, tuple[str, str]]


def read_shard(file: Path, manifest: Manifest) -> list[Row]:
    """Its records: of each the maps, (recorded steps, 2, maps, map_size, map_size) in float16, and the label.

    Raises:
        ValueError: it is anything but what was written; says what of it, not which file.
        OSError: it cannot be read.
    """
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


def write_shard(file: Path, manifest: Manifest, records: Iterable[Record], writer: str) -> None:
    """Put a shard in its place, and note it in the manifest.

    Args:
        writer: a name that nobody else writes under at the time.

    Raises:
        ValueError: maps are no finite numbers, or the folder holds another dataset by now.
        OSError: it cannot be written.
    """
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
        note(file, manifest, Shard(count, _sha256(partial)), writer)


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


def is_whole(file: Path, noted: Shard | None) -> bool:
    """Whether a shard is there as it was noted."""
    return noted is not None and file.is_file() and _sha256(file) == noted.sha256


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
