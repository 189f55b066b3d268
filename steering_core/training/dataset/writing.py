"""Recording a source into a dataset."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ...described import parse_json
from ...files import remove_unfinished
from ..recording import Record, RecordableModel, RecordingSettings, record
from ..sources import Source
from .manifest import Manifest, claim, shard_file
from .shards import is_whole, write_shard


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
        index, done = claim(folder, manifest, writer), 0
        for number in range(process, manifest.shards, processes):
            file = shard_file(folder, number)
            examples = range(number * shard_size, min((number + 1) * shard_size, len(source)))
            if not is_whole(file, index.get(file.name)):
                write_shard(file, manifest, _recorded(model, source, settings, examples, batch), writer)
            done += len(examples)
            yield done


def _recorded(
    model: RecordableModel, source: Source, settings: RecordingSettings, examples: range, batch: int
) -> Iterator[Record]:
    for first in range(examples.start, examples.stop, batch):
        chosen = [source[index] for index in range(first, min(first + batch, examples.stop))]
        yield from record(model, chosen, settings, first)


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
