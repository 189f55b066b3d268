"""Training of a relation classifier on recorded maps.

AdamW with the learning rate lowered on a plateau of the validation loss, and stopped early, as
published. A stopped training goes on from its last epoch.
"""

from __future__ import annotations

import csv
import io
import json
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator, PartialState
from accelerate.utils import set_seed
from torch import Tensor
from torch.nn import Module
from torch.utils.data import DataLoader, Dataset

from ..classifier import ClassifierSettings, MapLayout, RelationClassifier
from ..described import described, differences, parse_json
from ..files import only_writer, written_whole
from ..pickled import read_pickled
from ..process_wide import differentiable_attention
from ..relations import CARDINAL_RELATIONS
from ..wording import sentence
from .augmentation import augmented
from .dataset import Records
from .settings import TrainingSettings

_CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.csv"
_EVALUATION_BATCH = 256
_WRITER = "training"


@dataclass
class Progress:
    """One epoch, for a progress bar, a log or a plot."""

    epoch: int
    training_loss: float
    validation_loss: float
    validation_accuracy: float
    rate: float


def train_classifier(
    training: Records,
    validation: Records,
    layout: MapLayout,
    recorded: tuple[int, ...],
    sizes: ClassifierSettings,
    settings: TrainingSettings,
    folder: Path,
    on_epoch: Callable[[Progress], None] = lambda progress: None,
) -> RelationClassifier:
    """Train a classifier; the folder gets a log and what is needed to go on.

    The process's random numbers go on as if nothing had happened.

    Args:
        recorded: numbers of the recorded parts of the diffusion time, of ``sizes.steps``.
        folder: of this training alone; a training found there is continued.

    Returns:
        The classifier of the epoch with the least validation loss, for evaluation, on the CPU.

    Raises:
        ValueError: the folder belongs to a training with other settings or one that is running, or has a log of
            somebody else's; or its checkpoint is damaged, the loss is no finite number, or a shard of the data has
            changed; what was saved before that stays.
        OSError: the disk is full, or a shard is gone; what was saved before that stays.
    """
    with _only_training(folder), _random_state_kept():
        return _trained(training, validation, layout, recorded, sizes, settings, folder, on_epoch)


def _trained(
    training: Records,
    validation: Records,
    layout: MapLayout,
    recorded: tuple[int, ...],
    sizes: ClassifierSettings,
    settings: TrainingSettings,
    folder: Path,
    on_epoch: Callable[[Progress], None],
) -> RelationClassifier:
    accelerator = Accelerator(mixed_precision="bf16" if torch.cuda.is_available() else "no")
    _seed(settings.seed)
    names = [relation.value for relation in CARDINAL_RELATIONS]
    classifier = RelationClassifier(names, layout, sizes, recorded)
    optimizer = torch.optim.AdamW(classifier.parameters(), settings.rate, weight_decay=settings.weight_decay)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=settings.rate_factor, patience=settings.rate_patience
    )
    state = _State(folder, settings, sizes, (training, validation))
    state.restore((classifier, optimizer, plateau))
    loader = DataLoader(_Items(training, recorded), settings.batch, shuffle=True)
    model, optimizer, loader = accelerator.prepare(classifier, optimizer, loader)
    while state.epoch < settings.epochs and state.epoch - state.best_epoch < settings.patience:
        _seed(settings.seed + state.epoch)
        loss = _train_epoch(accelerator, model, optimizer, loader, settings.augment)
        predicted, validation_loss = evaluate(accelerator.unwrap_model(model), validation, recorded)
        if not (math.isfinite(loss) and math.isfinite(validation_loss)):
            raise ValueError(
                f"In epoch {state.epoch + 1} the loss is no finite number: at a rate of {settings.rate} the training "
                f"has lost its way. Start it again with a smaller rate."
            )
        plateau.step(validation_loss)
        accuracy = (predicted == validation.relation[:, None]).float().mean().item()
        told = Progress(state.epoch + 1, loss, validation_loss, accuracy, optimizer.param_groups[0]["lr"])
        state.note(told, accelerator.unwrap_model(model))
        if accelerator.is_main_process:
            state.save((accelerator.unwrap_model(model), optimizer, plateau))
        on_epoch(told)
    classifier = accelerator.unwrap_model(model).cpu()
    classifier.load_state_dict(state.best_weights)
    return classifier.eval().requires_grad_(False)


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


@contextmanager
def _only_training(folder: Path) -> Iterator[None]:
    """In this context nobody else trains in the folder; of processes that train together the first one writes."""
    with only_writer(folder, _WRITER, "training") if PartialState().is_main_process else nullcontext():
        yield


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Seeds that are set inside are not set outside."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def _seed(seed: int) -> None:
    # NumPy takes no more than 32 bits.
    set_seed(seed % 2**32)


@torch.no_grad()
def evaluate(classifier: RelationClassifier, records: Records, recorded: tuple[int, ...]) -> tuple[Tensor, float]:
    """What a classifier says of every record at every recorded step.

    Returns:
        The predicted relations, (rows, recorded steps), and the mean cross-entropy.
    """
    classifier.eval()
    device = next(classifier.parameters()).device
    items = DataLoader(_Items(records, recorded), _EVALUATION_BATCH)
    predicted, losses = [], []
    for maps, step, relation in items:
        logits = classifier(maps.to(device).float(), step.to(device)).cpu()
        predicted.append(logits.argmax(dim=1))
        losses.append(F.cross_entropy(logits, relation, reduction="none"))
    return torch.cat(predicted).view(-1, len(recorded)), torch.cat(losses).mean().item()


def _train_epoch(
    accelerator: Accelerator, model: Module, optimizer: torch.optim.Optimizer, loader: DataLoader, augment: bool
) -> float:
    """One pass over the data; the mean loss."""
    model.train()
    losses = []
    for maps, step, relation in loader:
        if augment:
            maps, relation = augmented(maps, relation)
        with differentiable_attention(), accelerator.autocast():
            loss = F.cross_entropy(model(maps.float(), step), relation)
        optimizer.zero_grad()
        accelerator.backward(loss)
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses).mean().item()


class _Items(Dataset):
    """A record at one recorded step: maps (2, maps, H, W), number of the step, true relation."""

    def __init__(self, records: Records, recorded: tuple[int, ...]) -> None:
        self._records, self._recorded = records, recorded

    def __len__(self) -> int:
        return len(self._records.relation) * len(self._recorded)

    def __getitem__(self, index: int) -> tuple[Tensor, int, Tensor]:
        row, position = divmod(index, len(self._recorded))
        return self._records.maps[row][position], self._recorded[position], self._records.relation[row]


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


class _State:
    """Where a training stands, in its folder."""

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
        """Bring classifier, optimizer and plateau to where a stopped training was."""
        check_owned(self._file.parent, [METRICS])
        if not self._file.exists():
            return
        try:
            kept = described(_Checkpoint, read_pickled(self._file), str(self._file))
            run = parse_json(kept.run, f"{self._file}: run")
        except ValueError as error:
            raise ValueError(f"{sentence(error)} It is of no training of this version: {_AGAIN}") from error
        if told := differences(run, json.loads(self._run)):
            raise ValueError(
                f"{self._file} belongs to a training with other settings or other data: {told}. Give the same as "
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

    def note(self, told: Progress, classifier: Module) -> None:
        """Take down an epoch, and the weights of the best."""
        best = self._history[self.best_epoch - 1].validation_loss if self._history else math.inf
        self._history.append(told)
        if told.validation_loss < best:
            self.best_epoch = told.epoch
            self.best_weights = {name: weight.cpu().clone() for name, weight in classifier.state_dict().items()}

    def save(self, parts: _Parts) -> None:
        """Write the checkpoint and the log."""
        kept = {
            "run": self._run,
            "history": [asdict(told) for told in self._history],
            "parts": [part.state_dict() for part in parts],
            "best_epoch": self.best_epoch,
            "best_weights": self.best_weights,
        }
        content = io.BytesIO()
        # Straight to a file, torch reports a full disk as an error of its own.
        torch.save(kept, content)
        with written_whole(self._file, _WRITER) as partial:
            partial.write_bytes(content.getbuffer())
        self._write_metrics()

    def _write_metrics(self) -> None:
        with written_whole(self._metrics, _WRITER) as partial, partial.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [field.name for field in fields(Progress)])
            writer.writeheader()
            writer.writerows(asdict(told) for told in self._history)


#: Classifier, optimizer and plateau, as they are or wrapped by accelerate.
_Parts = tuple[Any, Any, Any]
_AGAIN = f"remove it and {METRICS} to start the training again."


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
