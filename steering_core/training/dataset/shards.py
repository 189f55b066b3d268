"""A shard of a dataset: a tar file with the maps and the label of each of its records."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...files.described import described, parse_json
from ...files.whole import sha256_of, written_whole
from ...relations.relation import CARDINAL_RELATIONS, Relation
from ...wording import brief, one_line
from ..recording import Record
from .manifest import Manifest, Shard, note
from .stored import StoredMaps

_MAPS, _LABEL = ".maps.npy", ".label.json"
#: An array's file begins so, in the first version of the format, and goes on with the length of its header.
_NUMPY = b"\x93NUMPY\x01\x00"
_CHUNK = 2**20
#: Of a label, in bytes; it is some names.
_LARGEST_LABEL = 2**20
#: Maps, positions in ``CARDINAL_RELATIONS`` of the true relation and of the one in the prompt, names of the objects.
Row = tuple[StoredMaps, int, int, tuple[str, str]]


def read_shard(file: Path, manifest: Manifest) -> list[Row]:
    """Its records: of each the label, and where its maps lie.

    The file is gone through once, a recorded step of a record at a time: a shard may be larger than the memory.

    Raises:
        ValueError: it is anything but what was written; says what of it, not which file.
        OSError: it cannot be read.
    """
    noted = manifest.index[file.name]
    with file.open("rb") as opened:
        content = _Hashed(opened)
        try:
            rows = list(_rows(content, file, manifest))
        except ValueError:
            # What was damaged is told as that, whatever is wrong with it.
            _check_digest(content, noted)
            raise
        _check_digest(content, noted)
    if len(rows) != noted.records:
        raise ValueError(f"it has {len(rows)} records, where {noted.records} were expected")
    return rows


class _Hashed:
    """A file that is read from its beginning to its end, and hashed on the way."""

    def __init__(self, opened: BinaryIO) -> None:
        self._opened, self._digest = opened, hashlib.sha256()
        self._size, self.offset = os.fstat(opened.fileno()).st_size, 0

    @property
    def left(self) -> int:
        """How many bytes are still to be read."""
        return self._size - self.offset

    def read(self, size: int) -> bytes:
        """The next bytes; fewer where the file ends."""
        content = self._opened.read(size)
        self._digest.update(content)
        self.offset += len(content)
        return content

    def skip_to(self, offset: int) -> None:
        """Go on there, or to the end where the file ends sooner."""
        while self.offset < offset and self.read(min(_CHUNK, offset - self.offset)):
            pass

    def sha256(self) -> str:
        """Of the whole file, in hexadecimal digits."""
        while self.read(_CHUNK):
            pass
        return self._digest.hexdigest()


def _check_digest(content: _Hashed, noted: Shard) -> None:
    if content.sha256() != noted.sha256:
        raise ValueError("it is not as it was recorded (its SHA-256 is not the manifest's)")


def _rows(content: _Hashed, file: Path, manifest: Manifest) -> Iterator[Row]:
    members = _members(content)
    for name, size in members:
        maps = _as_maps(content, size, name, file, manifest)
        label_name, label_size = next(members, ("", 0))
        if name.removesuffix(_MAPS) != label_name.removesuffix(_LABEL):
            raise ValueError(f"the members {brief(name)} and {brief(label_name)} are no maps with their label")
        if label_size > _LARGEST_LABEL:
            raise ValueError(f"{brief(label_name)} has {label_size} bytes, which is too large for a label")
        yield maps, *_as_label(content.read(label_size), label_name)


def _members(content: _Hashed) -> Iterator[tuple[str, int]]:
    """Names and sizes of a tar file's members, each when its content is what comes next.

    Block by block, and nothing but plain files: ``TarFile`` also reads what a shard never has, such as holes and
    extended headers, and earlier versions of Python never come back from some of them (CVE-2025-8194).
    """
    block = tarfile.BLOCKSIZE
    while (header := content.read(block)) != bytes(block):
        try:
            member = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
        except tarfile.TarError as error:
            raise ValueError(f"it is no tar file, or is cut off: {one_line(error)}") from error
        if member.type != tarfile.REGTYPE or not 0 <= member.size <= content.left:
            raise ValueError(f"{brief(member.name)} is no plain file in it, or is cut off")
        end = content.offset + -(-member.size // block) * block
        yield member.name, member.size
        content.skip_to(end)


def _as_maps(content: _Hashed, size: int, name: str, file: Path, manifest: Manifest) -> StoredMaps:
    """Check the maps that come next, (recorded steps, 2, maps, map_size, map_size) in float16."""
    steps, side = len(manifest.settings.recorded), manifest.layout.map_size
    shape = (2, manifest.layout.maps, side, side)
    end = content.offset + size
    # As text: numpy's own reader of it ends in whatever error its bytes happen to ask for.
    start = content.read(min(len(_NUMPY) + 2, size))
    header = content.read(min(int.from_bytes(start[len(_NUMPY) :], "little"), end - content.offset))
    wanted = f"{{'descr': '<f2', 'fortran_order': False, 'shape': {(steps, *shape)}, }}"
    if not start.startswith(_NUMPY) or header.rstrip() != wanted.encode():
        raise ValueError(
            f"{brief(name)} was expected to be an array of numpy's in float16 of the shape {(steps, *shape)}"
        )
    offset, step_size = content.offset, 2 * math.prod(shape)
    if end - offset != steps * step_size:
        raise ValueError(f"{brief(name)} has {end - offset} bytes, where {steps * step_size} were expected")
    digests = []
    for _ in range(steps):
        values = content.read(step_size)
        if not np.isfinite(np.frombuffer(values, "<f2")).all():
            raise ValueError(f"{brief(name)} has values that are no finite numbers")
        digests.append(hashlib.sha256(values).digest())
    return StoredMaps(file, offset, shape, tuple(digests))


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


def _as_label(content: bytes, name: str) -> tuple[int, int, tuple[str, str]]:
    label = described(_Label, parse_json(content, brief(name)), brief(name))
    relation, stated = (CARDINAL_RELATIONS.index(member) for member in (label.relation, label.stated))
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
        note(file, manifest, Shard(count, sha256_of(partial)), writer)


def _as_members(recorded: Record) -> Iterator[tuple[str, bytes]]:
    if not recorded.maps.isfinite().all():
        raise ValueError(
            f"Picture {recorded.key}: the model's attention has values that are no finite numbers, from which nothing "
            f"can be learned. Run the model in a higher precision, or take the picture out."
        )
    label = {
        "subject": recorded.subject,
        "relation": recorded.relation.value,
        "object": recorded.object,
        "stated": recorded.stated.value,
    }
    content = io.BytesIO()
    np.save(content, recorded.maps.numpy().astype("<f2"), allow_pickle=False)
    yield recorded.key + _MAPS, content.getvalue()
    yield recorded.key + _LABEL, json.dumps(label).encode()


def is_whole(file: Path, noted: Shard | None) -> bool:
    """Whether a shard is there as it was noted."""
    return noted is not None and file.is_file() and sha256_of(file) == noted.sha256
