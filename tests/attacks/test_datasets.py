"""Datasets that were damaged, made to do harm, or written by two at a time: what is read is what was recorded."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_recording import (
    RECORDS_A_SHARD,
    SETTINGS,
    SHARDS,
    ToyModel,
    ToySource,
    content,
    record_toy,
    start,
)

from steering_core.classifier import ClassifierSettings
from steering_core.cli.main import main
from steering_core.training.dataset import MANIFEST, read_manifest, read_records, shard_file
from steering_core.training.settings import TrainingSettings
from steering_core.training.sources import coco_pictures
from steering_core.training.train import train_classifier

UNIT = Path(__file__).parents[1] / "unit"
OTHER = dataclasses.replace(SETTINGS, seed=1)


@pytest.fixture
def dataset(tmp_path) -> Path:
    return record_toy(tmp_path / "data")


def read(folder):
    return read_records(folder, read_manifest(folder))


def check_refusal(folder) -> str:
    """Reading ends well, or in one line that names the folder."""
    with pytest.raises(ValueError) as refused:
        read(folder)
    assert len(str(refused.value).splitlines()) == 1 and str(folder) in str(refused.value)
    return str(refused.value)


def half_its_members(shard: bytes) -> bytes:
    """Cut where a member begins, and ended as a tar file is."""
    with tarfile.open(fileobj=io.BytesIO(shard)) as archive:
        cut = archive.getmembers()[RECORDS_A_SHARD].offset
    return shard[:cut] + bytes(1024)


DAMAGES = {
    "cut_at_a_member": half_its_members,
    "cut_without_an_end": lambda shard: half_its_members(shard)[:-1024],
    "cut_anywhere": lambda shard: shard[:3000],
    "empty": lambda shard: b"",
    "header": lambda shard: shard[:100] + b"\xff" * 8 + shard[108:],
    "one_bit": lambda shard: shard[:700] + bytes([shard[700] ^ 1]) + shard[701:],
    "more_behind_it": lambda shard: shard + b"more",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_shard_is_named_left_out_and_recorded_anew(dataset, damage):
    whole, file = content(dataset), shard_file(dataset, 1)
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    seen = read(dataset)
    assert [shard.file for shard in seen.damaged] == [file]
    assert str(seen.damaged[0]) == f"{file}: it is not as it was recorded (its SHA-256 is not the manifest's)"
    assert len(seen.maps) == (SHARDS - 1) * RECORDS_A_SHARD
    assert content(record_toy(dataset)) == whole
    assert read(dataset).damaged == ()


def test_a_shard_of_another_dataset_or_place_is_not_taken(dataset, tmp_path):
    other = record_toy(tmp_path / "other", settings=OTHER)
    shard_file(dataset, 0).write_bytes(shard_file(other, 0).read_bytes())
    shard_file(dataset, 1).write_bytes(shard_file(dataset, 2).read_bytes())
    assert [shard.file.name for shard in read(dataset).damaged] == ["000000.tar", "000001.tar"]


def test_training_names_what_is_damaged(dataset, tmp_path, capsys):
    shard_file(dataset, 1).write_bytes(b"")
    small = ["--width", "16", "--epochs", "1", "--no-leakage-test", "--out", str(tmp_path / "out")]
    assert main(["train", "--data", str(dataset), "--validation", str(dataset), *small]) == 0
    assert f"left out, damaged: {shard_file(dataset, 1)}: it is not as it was recorded" in capsys.readouterr().out


def test_a_path_is_a_path(tmp_path, monkeypatch):
    """webdataset took it for a list of addresses, and ran what follows pipe:."""
    monkeypatch.chdir(tmp_path)
    for name in ("x.tar::pipe:touch MARK;#", "pipe:touch MARK", "{a,b}", "${HOME}", "C:", "http:--x.tar"):
        assert len(read(record_toy(tmp_path / "in" / name)).maps) == SHARDS * RECORDS_A_SHARD
        assert not (tmp_path / "MARK").exists()
    assert "webdataset" not in sys.modules


MANIFESTS = {
    "nothing": b"",
    "no_json": b"{'a': 1}",
    "no_text": b"\xff\xfe\x00",
    "a_list": b"[]",
    "a_number": b"7",
    "deep": b"[" * 100_000,
    "deep_inside": b'{"format": "spatial-steering token maps, version 2", "source": ' + b'{"a":' * 100_000,
}
ENTRIES = {
    "nan": ("layout", "total", float("nan")),
    "infinite": ("layout", "total", 1e999),
    "list_for_a_number": ("settings", "steps", [2]),
    "text_for_a_list": ("settings", "layers", "up.0"),
    "null": ("settings", "method", None),
    "unknown_method": ("settings", "method", "guess"),
    "huge": ("settings", "steps", 10**400),
    "large": ("settings", "steps", 10**13),
    "large_maps": ("settings", "map_size", 10**9),
    "other_layers": ("settings", "layers", ["up.1"]),
    "no_heads": ("layout", "network", [{"stage": "up", "number": 0, "level": 0, "heads": 0}]),
    "many_heads": ("layout", "network", [{"stage": "up", "number": 0, "level": 0, "heads": 10**12}]),
    "true_for_a_number": (None, "examples", True),
    "no_examples": (None, "examples", 0),
    "endless": (None, "examples", 10**18),
    "shards_without_size": (None, "shard_size", 0),
    "list_of_shards": (None, "index", []),
    "a_shard_elsewhere": (None, "index", {"../000000.tar": {"records": 1, "sha256": ""}}),
    "a_shard_of_none": (None, "index", {"000007.tar": {"records": 1, "sha256": ""}}),
    "another_digit": (None, "index", {"00000٠.tar": {"records": 1, "sha256": ""}}),
    "shard_without_digest": (None, "index", {"000000.tar": {"records": 1}}),
    "more": (None, "more", 1),
    "other_format": (None, "format", "another"),
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_a_manifest_that_is_none_is_told_on_one_line(dataset, kind):
    (dataset / MANIFEST).write_bytes(MANIFESTS[kind])
    assert MANIFEST in check_refusal(dataset)


@pytest.mark.parametrize("kind", ENTRIES)
def test_a_wrong_entry_of_a_manifest_is_told_on_one_line(dataset, kind):
    part, key, value = ENTRIES[kind]
    told = json.loads((dataset / MANIFEST).read_text())
    (told[part] if part else told)[key] = value
    (dataset / MANIFEST).write_text(json.dumps(told))
    check_refusal(dataset)


def test_every_entry_of_a_manifest_is_needed(dataset):
    told = json.loads((dataset / MANIFEST).read_text())
    for part, key in [*((None, key) for key in told), ("layout", "total"), ("settings", "seed")]:
        less = json.loads((dataset / MANIFEST).read_text())
        del (less[part] if part else less)[key]
        (dataset / MANIFEST).write_text(json.dumps(less))
        check_refusal(dataset)
        (dataset / MANIFEST).write_text(json.dumps(told))


def test_a_manifest_without_digests_says_to_record_again(dataset):
    told = json.loads((dataset / MANIFEST).read_text())
    told.update(format="spatial-steering token maps, version 1")
    (dataset / MANIFEST).write_text(json.dumps(told))
    assert "Record the dataset again, into another folder" in check_refusal(dataset)
    with pytest.raises(ValueError, match="Record the dataset again"):
        record_toy(dataset)


def test_changed_bytes_of_a_manifest_never_give_a_traceback(dataset):
    rng, whole = random.Random(0), (dataset / MANIFEST).read_bytes()
    refused = 0
    for _ in range(1000):
        changed = bytearray(whole)
        for _ in range(rng.choice((1, 1, 2, 8))):
            place = rng.randrange(len(changed))
            changed[place : place + rng.choice((0, 1, 1, 30))] = rng.choice(
                (b"", b"[", b"-", b"9", b"1e", b"\xc3", b'"')
            )
        (dataset / MANIFEST).write_bytes(changed)
        try:
            read(dataset)
        except ValueError as error:
            refused += 1
            assert len(str(error).splitlines()) == 1 and str(dataset) in str(error)
    assert refused > 500


class Evil:
    def __reduce__(self):
        return os.mkdir, ("MARK",)


def npy(array, **options) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def npy_with(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(64)


SHAPE = (2, 2, 2, 4, 4)
LABEL = {"subject": "dog", "relation": "above", "object": "cat", "stated": "above"}
MAPS = {
    "pickled": npy(np.array([Evil()], dtype=object), allow_pickle=True),
    "pickle": pickle.dumps(Evil()),
    "claims_terabytes": npy_with("{'descr': '<f2', 'fortran_order': False, 'shape': (1000000000000,), }"),
    "negative": npy_with("{'descr': '<f2', 'fortran_order': False, 'shape': (-1, 2), }"),
    "no_header": npy_with("("),
    "deep_header": npy_with("-" * 9000),
    "other_shape": npy(np.zeros((2, 2, 2, 4, 5), np.float16)),
    "other_type": npy(np.zeros(SHAPE, np.float64)),
    "fortran": npy(np.asfortranarray(np.random.default_rng(0).random(SHAPE).astype(np.float16))),
    "not_all_of_it": npy(np.zeros(SHAPE, np.float16))[:-2],
    "nan": npy(np.full(SHAPE, np.nan, np.float16)),
    "nothing": b"",
}
LABELS = {
    "no_json": b"above",
    "deep": b"[" * 100_000,
    "a_list": b"[]",
    "missing": b"{}",
    "list_for_a_relation": json.dumps({**LABEL, "relation": ["above"]}).encode(),
    "unknown": json.dumps({**LABEL, "stated": "inside"}).encode(),
    "not_learned": json.dumps({**LABEL, "stated": "next_to"}).encode(),
    "number_for_a_name": json.dumps({**LABEL, "subject": 7}).encode(),
    "no_text": b"\xff\xfe",
    "large": json.dumps(LABEL).encode() + b" " * 2**21,
}


def put(dataset, shard: bytes) -> None:
    """Give the dataset a shard of somebody's, with the digest that belongs to it."""
    shard_file(dataset, 1).write_bytes(shard)
    told = json.loads((dataset / MANIFEST).read_text())
    told["index"]["000001.tar"] = {"records": 1, "sha256": hashlib.sha256(shard).hexdigest()}
    (dataset / MANIFEST).write_text(json.dumps(told))


def tar(*members: tuple[str, bytes], **about) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in about.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()


GOOD = npy(np.ones(SHAPE, np.float16)), json.dumps(LABEL).encode()
HEADER = tarfile.TarInfo("a.maps.npy")


def negative_size() -> bytes:
    """A header that says so in base 256; some versions of Python never come back from it."""
    header = bytearray(HEADER.tobuf(tarfile.USTAR_FORMAT))
    header[124:136] = b"\xff" * 11 + b"\x00"
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    return bytes(header) + bytes(1024)


TARS = {
    "no_tar": b"no tar",
    "no_end": tar(("a.maps.npy", GOOD[0]), ("a.label.json", GOOD[1]))[:2048],
    "negative_size": negative_size(),
    "link": tar(("a.maps.npy", b""), ("a.label.json", b""), type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "extended_header": tar(("a" * 300 + ".maps.npy", GOOD[0]), ("a" * 300 + ".label.json", GOOD[1])),
    "label_first": tar(("a.label.json", GOOD[1]), ("a.maps.npy", GOOD[0])),
    "of_two_pictures": tar(("a.maps.npy", GOOD[0]), ("b.label.json", GOOD[1])),
    "maps_alone": tar(("a.maps.npy", GOOD[0])),
    "more_records": tar(*[("a.maps.npy", GOOD[0]), ("a.label.json", GOOD[1])] * 2),
    "no_members": tar(),
}


@pytest.mark.parametrize(
    "shard",
    [
        *(pytest.param(tar(("a.maps.npy", maps), ("a.label.json", GOOD[1])), id=name) for name, maps in MAPS.items()),
        *(
            pytest.param(tar(("a.maps.npy", GOOD[0]), ("a.label.json", label)), id=name)
            for name, label in LABELS.items()
        ),
        *(pytest.param(shard, id=name) for name, shard in TARS.items()),
    ],
)
def test_a_shard_that_was_made_to_do_harm_is_named_and_left_out(dataset, monkeypatch, tmp_path, shard):
    monkeypatch.chdir(tmp_path)
    put(dataset, shard)
    seen = read(dataset)
    assert [damaged.file.name for damaged in seen.damaged] == ["000001.tar"]
    assert len(str(seen.damaged[0]).splitlines()) == 1 and "SHA-256" not in str(seen.damaged[0])
    assert not (tmp_path / "MARK").exists()


def test_a_shard_of_somebodys_that_is_whole_is_read(dataset):
    """What the refusals above are held against."""
    put(dataset, tar(("a.maps.npy", GOOD[0]), ("a.label.json", GOOD[1])))
    assert read(dataset).damaged == () and len(read(dataset).maps) == 2 * RECORDS_A_SHARD + 1


def test_a_folder_has_one_recording_at_a_time(tmp_path):
    first = start(tmp_path / "data")
    next(first)
    for second in (start(tmp_path / "data"), start(tmp_path / "data", ToyModel("another"))):
        with pytest.raises(
            ValueError, match=r"Another recording is writing into .*data\. Wait until it has ended, or give"
        ):
            next(second)
    assert list(first) == [4, 6]
    assert content(tmp_path / "data") == content(record_toy(tmp_path / "alone"))


class Meeting(ToyModel):
    """While its first shard is being recorded, something else happens."""

    def __init__(self, meanwhile, **options):
        super().__init__(**options)
        self._meanwhile = meanwhile

    def prompted(self, *arguments):
        meanwhile, self._meanwhile = self._meanwhile, lambda: None
        meanwhile()
        return super().prompted(*arguments)


def test_no_shard_ends_under_the_manifest_of_another_dataset(tmp_path):
    """Two that no lock keeps apart: of one process, and the second of two."""
    shared = {"process": 1, "processes": 2}
    other = ToyModel("other"), ToySource(), OTHER
    late = start(tmp_path / "data", Meeting(lambda: record_toy(tmp_path / "data", *other, **shared)))
    with pytest.raises(ValueError, match=r"manifest\.json differs in model: 'other' there, 'toy' here; settings\."):
        next(late)
    assert content(tmp_path / "data") == content(record_toy(tmp_path / "alone", *other, **shared))


def test_processes_of_one_recording_share_a_folder_however_they_are_numbered(tmp_path):
    folder = tmp_path / "data"
    record_toy(folder, Meeting(lambda: record_toy(folder, process=1, processes=2)))
    assert content(folder) == content(record_toy(tmp_path / "alone"))


def test_a_recording_that_was_killed_blocks_nothing_and_leaves_nothing(tmp_path):
    script = (
        "import os, signal, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from toy_recording import ToyModel, start\n"
        "class Killed(ToyModel):\n"
        "    calls = 0\n"
        "    def prompted(self, *arguments):\n"
        "        self.calls += 1\n"
        "        if self.calls == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().prompted(*arguments)\n"
        "list(start(Path(sys.argv[1]), Killed()))\n"
    )
    folder = tmp_path / "data"
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder), str(UNIT)], cwd=UNIT.parents[1], capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [file for file in content(folder) if file.endswith(".partial")]
    assert content(record_toy(folder)) == content(record_toy(tmp_path / "alone"))


@pytest.mark.parametrize("stop", range(1, 8))
def test_a_recording_stopped_at_any_moment_goes_on(tmp_path, monkeypatch, stop):
    """Every file is put in its place by a rename: the process ends before one of them."""
    folder, calls, replace = tmp_path / "data", [], Path.replace

    def stopped(self, target):
        calls.append(target)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", stopped)
        record_toy(folder)
    assert content(record_toy(folder)) == content(record_toy(tmp_path / "alone"))


def test_a_full_disk_leaves_what_is_whole(tmp_path):
    resource = pytest.importorskip("resource")
    folder, limits = tmp_path / "data", resource.getrlimit(resource.RLIMIT_FSIZE)
    recording = start(folder)
    next(recording)
    before = content(folder)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        with pytest.raises(OSError, match="too large"):
            next(recording)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert content(folder) == before
    assert content(record_toy(folder)) == content(record_toy(tmp_path / "alone"))


def test_tar_files_of_somebody_else_are_not_written_over(tmp_path):
    (tmp_path / "000000.tar").write_bytes(b"photographs")
    with pytest.raises(ValueError, match=r"holds tar files that no manifest\.json tells of"):
        record_toy(tmp_path)
    assert (tmp_path / "000000.tar").read_bytes() == b"photographs"


def test_maps_that_are_no_numbers_are_not_recorded(tmp_path):
    with pytest.raises(ValueError, match=r"Picture 0000000-\d: .*no finite numbers.*higher precision"):
        record_toy(tmp_path, ToyModel(value=float("nan")))
    assert "000000.tar" not in content(tmp_path)


def test_the_annotations_that_a_dataset_was_made_from_are_hashed(tmp_path):
    boxes = [[0, 40, 20, 20], [80, 40, 20, 20]]
    told = {
        "images": [{"id": 1, "width": 100, "height": 100, "file_name": "1.png"}],
        "categories": [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}],
        "annotations": [{"image_id": 1, "category_id": 1 + n, "bbox": box} for n, box in enumerate(boxes)],
    }
    (tmp_path / "1.png").write_bytes(b"")
    file, seen = tmp_path / "boxes.json", []
    for description in (told, {**told, "info": "corrected"}):
        file.write_text(json.dumps(description))
        seen.append(coco_pictures(file, tmp_path, 0).description)
    assert seen[0] == {
        "kind": "coco",
        "annotations": "boxes.json",
        "sha256": hashlib.sha256(json.dumps(told).encode()).hexdigest(),
        "seed": 0,
    }
    assert seen[0] != seen[1]


def test_maps_come_back_bit_by_bit(dataset):
    stored, again = (all_maps(read(folder)) for folder in (dataset, record_toy(dataset.parent / "again")))
    assert stored.dtype == torch.float16 and torch.equal(stored, again) and stored.std() > 0


def all_maps(records) -> torch.Tensor:
    return torch.stack([step for maps in records.maps for step in maps])


def test_records_are_told_from_others_by_their_content(dataset, tmp_path):
    """So a stopped training goes on with a dataset that was moved, and not with another."""
    digest = read(dataset).digest
    assert read(dataset.rename(tmp_path / "moved")).digest == digest
    others = [record_toy(tmp_path / "other", settings=OTHER), record_toy(tmp_path / "longer", source=ToySource(7))]
    damaged = record_toy(tmp_path / "damaged")
    shard_file(damaged, 1).write_bytes(b"")
    assert digest not in [read(folder).digest for folder in (*others, damaged)]
    whole = read(tmp_path / "moved")
    swapped = dataclasses.replace(whole, maps=whole.maps[::-1])
    assert digest not in (whole.with_true_prompts().digest, swapped.digest)


@pytest.mark.parametrize("damage", ["cut_at_a_member", "cut_anywhere", "empty", "one_bit"])
def test_a_shard_that_changes_after_it_was_checked_is_named(dataset, damage):
    """By its content: its time stays as it was."""
    records, file = read(dataset), shard_file(dataset, 1)
    about = file.stat()
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    with pytest.raises(ValueError, match=re.escape(f"{file} has changed since it was checked. Record the dataset ag")):
        all_maps(records)


def test_a_shard_that_is_gone_is_named(dataset):
    records, file = read(dataset), shard_file(dataset, 1)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=re.escape(str(file))):
        all_maps(records)


def test_a_training_whose_data_changes_goes_on_when_they_are_as_they_were(dataset, tmp_path):
    manifest, file = read_manifest(dataset), shard_file(dataset, 1)
    sizes = ClassifierSettings(manifest.layout.map_size, 16, manifest.settings.steps)
    arguments = manifest.layout, SETTINGS.recorded, sizes, TrainingSettings(epochs=3), tmp_path / "out"

    def train(on_epoch=lambda told: None):
        records, seen = read(dataset), []
        train_classifier(records, records, *arguments, lambda told: (seen.append(told.epoch), on_epoch(told)))
        return seen

    with pytest.raises(ValueError, match=re.escape(f"{file} has changed since it was checked")):
        train(lambda told: file.write_bytes(b"damaged") if told.epoch == 2 else None)
    with pytest.raises(ValueError, match="other data"):
        train()
    record_toy(dataset)
    assert train() == [3]
