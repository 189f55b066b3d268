"""Datasets of records: tar files, called shards, in a folder, with a manifest.

Shard n holds the records of the source's examples n·size to (n + 1)·size: for each the members
KEY.maps.npy and KEY.label.json, as WebDataset has it. A shard is written whole or not at all, and the
manifest notes how many records it has and its SHA-256. So a recording that was stopped goes on with
the shards that are missing or damaged, several processes take turns at them with the same outcome,
and what has changed since is not taken for data.
"""

from .manifest import MANIFEST, Manifest, check_alike, read_manifest, shard_file
from .records import Records, read_records, together
from .writing import write_dataset

__all__ = [
    "MANIFEST",
    "Manifest",
    "Records",
    "check_alike",
    "read_manifest",
    "read_records",
    "shard_file",
    "together",
    "write_dataset",
]
