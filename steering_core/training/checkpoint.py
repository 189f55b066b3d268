"""What a stopped training of a relation classifier goes on from, and its log, in the training's folder."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from ..classifier import ClassifierSettings
from ..files.claims import differences
from ..files.described import described, parse_json
from ..files.pickled import read_pickled
from ..files.whole import written_whole
from ..wording import sentence
from .dataset import Records
from .settings import TrainingSettings

_CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.csv"
#: Of what a training keeps in its folder, by ``written_whole``.
WRITER = "training"
#: Classifier, optimizer and plateau, as they are or wrapped by accelerate.
_Parts = tuple[Any, Any, Any]
_AGAIN = f"remove it and {METRICS} to start the training again."


@dataclass
class Progress:
    """One epoch, for a progress bar, a log or a plot."""

    epoch: int
    training_loss: float
    validation_loss: float
    validation_accuracy: float
    rate: float


def check_owned(folder: Path, names: Iterable[str]) -> None:
    """Refuse a folder in which a training would write over what is none's.

    Args:
        names: of files that it writes.

    Raises:
        ValueError: names those that are there.
    """
    there = [name for name in names if (folder / name).exists()]
    if there and not (folder / _CHECKPOINT).exists():
        raise ValueError(
            f"{folder} has {', '.join(there)}, which would be replaced, and no {_CHECKPOINT} of the training that they "
            f"might be of. Give another folder, or remove them."
        )


@dataclass(frozen=True)
class _Checkpoint:
    """What the file of a stopped training holds.

    Attributes:
        run: what tells this training from others, as JSON.
        history: of the epochs so far.
        parts: states of classifier, optimizer and plateau.
        best_epoch, best_weights: of the least validation loss.
    """

    run: str
    history: tuple[Progress, ...]
    parts: tuple[Any, ...]
    best_epoch: int
    best_weights: dict[str, Any]

    def __post_init__(self) -> None:
        if not 1 <= self.best_epoch <= len(self.history):
            raise ValueError(f"best_epoch must be one of {len(self.history)}, not {self.best_epoch}.")


class TrainingState:
    """Where a training stands, in its folder.

    Args:
        settings, sizes, data: by which this training is told from others.

    Attributes:
        best_epoch, best_weights: of the least validation loss; 0 and none before the first epoch.
    """

    def __init__(
        self, folder: Path, settings: TrainingSettings, sizes: ClassifierSettings, data: Sequence[Records]
    ) -> None:
        self._file, self._metrics = folder / _CHECKPOINT, folder / METRICS
        run = {"settings": asdict(settings), "sizes": asdict(sizes), "data": [records.digest for records in data]}
        self._run = json.dumps(run)
        self._history: list[Progress] = []
        self.best_epoch = 0
        self.best_weights: dict[str, Tensor] = {}

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self._history)

    def restore(self, parts: _Parts) -> None:
        """Bring classifier, optimizer and plateau to where a stopped training was.

        Raises:
            ValueError: the checkpoint is damaged or another training's, or the folder has a log of somebody else's.
        """
        check_owned(self._file.parent, [METRICS])
        if not self._file.exists():
            return
        try:
            kept = described(_Checkpoint, read_pickled(self._file), str(self._file))
            run = parse_json(kept.run, f"{self._file}: run")
        except ValueError as error:
            raise ValueError(f"{sentence(error)} It is of no training of this version: {_AGAIN}") from error
        if changed := differences(run, json.loads(self._run)):
            raise ValueError(
                f"{self._file} belongs to a training with other settings or other data: {changed}. Give the same as "
                f"then, or another folder."
            )
        wanted = _states_after_a_step(parts)
        if not _is_alike(kept.parts, wanted) or not _is_alike(kept.best_weights, wanted[0]):
            raise ValueError(f"{self._file} holds other weights or states than this training has: {_AGAIN}")
        for part, state in zip(parts, kept.parts):
            part.load_state_dict(state)
        self._history = list(kept.history)
        self.best_epoch, self.best_weights = kept.best_epoch, kept.best_weights
        # The log follows the checkpoint: it may have been stopped between the two.
        self._write_metrics()

    def note(self, progress: Progress, classifier: Module) -> None:
        """Take down an epoch, and the weights of the best."""
        best = self._history[self.best_epoch - 1].validation_loss if self._history else math.inf
        self._history.append(progress)
        if progress.validation_loss < best:
            self.best_epoch = progress.epoch
            self.best_weights = {name: weight.cpu().clone() for name, weight in classifier.state_dict().items()}

    def save(self, parts: _Parts) -> None:
        """Write the checkpoint and the log.

        Raises:
            OSError: the disk is full; what was saved before stays.
        """
        kept = {
            "run": self._run,
            "history": [asdict(progress) for progress in self._history],
            "parts": [part.state_dict() for part in parts],
            "best_epoch": self.best_epoch,
            "best_weights": self.best_weights,
        }
        content = io.BytesIO()
        # Straight to a file, torch reports a full disk as an error of its own.
        torch.save(kept, content)
        with written_whole(self._file, WRITER) as partial:
            partial.write_bytes(content.getbuffer())
        self._write_metrics()

    def _write_metrics(self) -> None:
        with written_whole(self._metrics, WRITER) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Progress)])
            writer.writeheader()
            writer.writerows(asdict(progress) for progress in self._history)


def _states_after_a_step(parts: _Parts) -> list[Any]:
    """States like those that the parts will have, of the same shapes and types."""
    classifier, optimizer, plateau = parts
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    moments = {
        number: {"step": torch.zeros(()), "exp_avg": weight, "exp_avg_sq": weight}
        for number, weight in enumerate(weights)
    }
    return [classifier.state_dict(), {**optimizer.state_dict(), "state": moments}, plateau.state_dict()]


def _is_alike(there: Any, wanted: Any) -> bool:
    """Whether plain values have the same keys, shapes and types, and their numbers are some."""
    if isinstance(wanted, Tensor):
        is_same = isinstance(there, Tensor) and (there.shape, there.dtype) == (wanted.shape, wanted.dtype)
        return is_same and there.layout is torch.strided and bool(there.isfinite().all())
    if isinstance(wanted, Mapping):
        is_same = isinstance(there, Mapping) and there.keys() == wanted.keys()
        return is_same and all(_is_alike(there[key], wanted[key]) for key in wanted)
    if isinstance(wanted, (list, tuple)):
        is_same = isinstance(there, (list, tuple)) and len(there) == len(wanted)
        return is_same and all(map(_is_alike, there, wanted))
    numbers = (int, float)
    is_number = isinstance(wanted, numbers) and not isinstance(wanted, bool)
    return isinstance(there, numbers) if is_number else type(there) is type(wanted)
