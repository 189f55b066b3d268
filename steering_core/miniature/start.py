"""What every training of a miniature starts with: the pipeline that it goes on from, and a work folder of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers import DiffusionPipeline

from ..backends.diffusers import load_pipeline, pipeline_hash
from ..files.claims import differences
from ..files.described import read_json
from ..files.whole import only_writer, save_text
from .optimise import WRITER


def loaded_start(start: Path, device: str, *kinds: type[DiffusionPipeline]) -> DiffusionPipeline:
    """The pipeline that a training goes on from, in single precision.

    Raises:
        ValueError: there is none, or it is of none of these kinds.
    """
    pipeline = load_pipeline(start, device)
    if not isinstance(pipeline, kinds):
        expected = " or ".join(kind.__name__ for kind in kinds)
        raise ValueError(
            f"{start} holds a {type(pipeline).__name__}, from which this shape of miniature is not trained on. The "
            f"folder of a {expected} was expected."
        )
    return pipeline.to(torch.float32)


@contextmanager
def claimed(work_dir: Path, settings: dict[str, Any], start: DiffusionPipeline | None) -> Iterator[None]:
    """In this context the work folder is this run's alone; afterwards none goes on from it with other settings.

    Raises:
        ValueError: the folder is a run's with other settings, or that of one that is going on; or its run.json is
            damaged.
    """
    run = json.dumps({**settings, "start": pipeline_hash(start) if start else None})
    file = work_dir / "run.json"
    if file.exists() and (changed := differences(read_json(file), json.loads(run))):
        raise ValueError(f"{work_dir} belongs to another run ({changed}). Give its settings, or another work folder.")
    with only_writer(work_dir, WRITER, "training"):
        save_text(run, file, WRITER)
        yield
