"""Recording a source into a dataset."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from pathlib import Path

from ...files.described import parse_json
from ...files.whole import only_writer
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
        process, processes: the number of this process, from 0, and how many there are: process i of n writes shards
            i, i + n, i + 2n, ...

    Yields:
        The number of pictures done in this call, after each shard.

    Raises:
        ValueError: the folder holds another dataset or files of somebody else, another recording writes into
            it, or the model's maps are no finite numbers.
        OSError: the disk is full, or the folder is no place to write.
    """
    writer = f"writer{process}"  # each process has a lock
    with only_writer(folder, writer, "recording"):
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
