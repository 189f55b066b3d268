"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import time

import pytest

from steering_core.files.whole import remove_abandoned, save_text, written_whole


def test_where_nothing_can_be_written_the_file_is_named_that_was_to_be(tmp_path, monkeypatch):
    """A read-only file system refuses to remove, too, even what is not there."""

    def refuse(path, *arguments, **named):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    for name in ("write_text", "unlink"):
        monkeypatch.setattr(f"pathlib.Path.{name}", refuse)
    with pytest.raises(OSError, match="Read-only") as refused:
        save_text("{}", tmp_path / "results.json")
    assert refused.value.filename == str(tmp_path / "results.json")


def test_another_file_that_fails_meanwhile_is_named_itself(tmp_path):
    photograph = tmp_path / "gone.jpg"
    with pytest.raises(FileNotFoundError) as refused, written_whole(tmp_path / "shard.tar"):
        photograph.read_bytes()
    assert refused.value.filename == str(photograph)
    assert not list(tmp_path.iterdir())


def test_what_a_killed_writer_left_is_removed_once_nobody_writes_it(tmp_path):
    (tmp_path / "found").mkdir()
    ending = f"{'0a' * 16}.partial"
    left, begun = (tmp_path / "found" / f"{name}.json.{ending}" for name in ("left", "begun"))
    others = [tmp_path / "film.mp4.partial", tmp_path / "000000.tar.writer1.partial", tmp_path / f"folder.{ending}"]
    for file in (left, begun, *others[:2]):
        file.touch()
    others[2].mkdir()
    for file in (left, *others):
        os.utime(file, (time.time() - 4000,) * 2)
    remove_abandoned(tmp_path)
    assert not left.exists() and begun.exists() and all(other.exists() for other in others)
