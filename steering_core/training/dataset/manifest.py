"""The manifest of a dataset: what it holds, and which of its shards have been written."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock

from ...classifier import MapLayout
from ...files.claims import differences
from ...files.described import described, read_json
from ...files.whole import save_text
from ...wording import brief
from ..recording import RecordingSettings

MANIFEST = "manifest.json"
_SUFFIX = ".tar"
_FORMAT = "spatial-steering token maps, version 2"
_FORMAT_WITHOUT_DIGESTS = "spatial-steering token maps, version 1"


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

    @property
    def left_out(self) -> int:
        """How many pictures of the shards so far were left out, since their inversion did not lead back to them."""
        numbers = [int(name.removesuffix(_SUFFIX)) for name in self.index]
        pictures = sum(min(self.shard_size, self.examples - number * self.shard_size) for number in numbers)
        return pictures - sum(shard.records for shard in self.index.values()) // (1 + self.settings.false_prompts)

    @property
    def left_out_message(self) -> str:
        """How many were left out and why, as a sentence; nothing where none was."""
        if not self.left_out:
            return ""
        return f"{self.left_out} of the pictures were left out: the sampler did not come back to them from inversion."

    def differences(self, wanted: Manifest) -> str:
        """Which settings of a dataset that is wanted are others, whatever has been written of both."""
        mine, ours = (json.loads(json.dumps(asdict(replace(one, index={})))) for one in (self, wanted))
        return differences(mine, ours)

    def _has(self, name: str) -> bool:
        number = re.fullmatch(r"(\d{6,})\.tar", name, re.ASCII)
        return number is not None and name == shard_name(int(number[1])) and int(number[1]) < self.shards


def shard_file(folder: Path, number: int) -> Path:
    """Where a shard lies."""
    return folder / shard_name(number)


def shard_name(number: int) -> str:
    """What the file of a shard is called."""
    return f"{number:06d}{_SUFFIX}"


def read_manifest(folder: Path) -> Manifest:
    """What a dataset's folder says of itself.

    Raises:
        ValueError: it is no dataset's folder, or the manifest is damaged or of an earlier version; names the file.
    """
    file = folder / MANIFEST
    if not file.is_file():
        raise ValueError(f"{folder} is no dataset: {MANIFEST} was expected in it, as a recording writes it.")
    content = read_json(file)
    version = content.pop("format", None) if isinstance(content, dict) else None
    if version == _FORMAT_WITHOUT_DIGESTS:
        raise ValueError(
            f"{file} was written by an earlier version, without the digests that tell damaged data from whole. Record "
            f"the dataset again, into another folder."
        )
    if version != _FORMAT:
        raise ValueError(f"{file}: the format {_FORMAT!r} was expected.")
    if isinstance(content.get("settings"), dict):
        # Datasets from before there was a choice left out nothing.
        content["settings"].setdefault("least_psnr", 0.0)
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


def _manifest_lock(folder: Path) -> FileLock:
    """Held for as long as it takes to read and write a manifest, by all processes of a recording in turn."""
    return FileLock(str(folder / ".manifest.lock"))


def claim(folder: Path, manifest: Manifest, writer: str) -> dict[str, Shard]:
    """Make the folder this dataset's, which it may be already.

    Args:
        writer: a name that nobody else writes under at the time.

    Returns:
        The shards that have been written, by the names of their files.

    Raises:
        ValueError: the folder holds another dataset, or tar files of somebody else.
        OSError: it cannot be written.
    """
    with _manifest_lock(folder):
        there = read_manifest(folder) if (folder / MANIFEST).exists() else None
        if there is None and any(folder.glob("*.tar")):
            raise ValueError(f"{folder} holds tar files that no {MANIFEST} tells of. Give another folder.")
        if there is not None and there.index:
            _check_same(folder, there, manifest)
            return there.index
        _write_manifest(folder, manifest, writer)
        return {}


def note(file: Path, manifest: Manifest, shard: Shard, writer: str) -> None:
    """Add a shard to its folder's manifest.

    Raises:
        ValueError: the manifest is of another dataset by now.
        OSError: it cannot be written.
    """
    with _manifest_lock(file.parent):
        there = read_manifest(file.parent)
        _check_same(file.parent, there, manifest)
        index = dict(sorted({**there.index, file.name: shard}.items()))
        _write_manifest(file.parent, replace(there, index=index), writer)


def _check_same(folder: Path, there: Manifest, manifest: Manifest) -> None:
    if changed := there.differences(manifest):
        raise ValueError(
            f"{folder} holds another dataset: its {MANIFEST} differs in {changed}. Give another folder, or the "
            f"settings of that one."
        )


def _write_manifest(folder: Path, manifest: Manifest, writer: str) -> None:
    save_text(json.dumps({"format": _FORMAT, **asdict(manifest)}, indent=1), folder / MANIFEST, writer)
