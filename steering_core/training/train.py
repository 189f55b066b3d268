"""Training of a relation classifier on recorded maps.

AdamW with the learning rate lowered on a plateau of the validation loss, and stopped early, as
published. A stopped training goes on from its last epoch.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor
from torch.nn import Module
from torch.utils.data import DataLoader, Dataset

from ..classifier import ClassifierSettings, MapLayout, RelationClassifier
from ..relations import CARDINAL_RELATIONS
from .augmentation import augmented
from .dataset import Records
from .settings import TrainingSettings

_CHECKPOINT = "checkpoint.pt"
METRICS = "metrics.csv"
_EVALUATION_BATCH = 256


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

    Args:
        recorded: numbers of the recorded parts of the diffusion time, of ``sizes.steps``.
        folder: of this training alone; a training found there is continued.

    Returns:
        The classifier of the epoch with the least validation loss, for evaluation, on the CPU.

    Raises:
        ValueError: the folder belongs to a training with other settings, or its checkpoint is damaged.
    """
    accelerator = Accelerator(mixed_precision="bf16" if torch.cuda.is_available() else "no")
    set_seed(settings.seed)
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
        set_seed(settings.seed + state.epoch)
        loss = _train_epoch(accelerator, model, optimizer, loader, settings.augment)
        predicted, validation_loss = evaluate(accelerator.unwrap_model(model), validation, recorded)
        plateau.step(validation_loss)
        accuracy = (predicted == validation.relation[:, None]).float().mean().item()
        told = Progress(state.epoch + 1, loss, validation_loss, accuracy, optimizer.param_groups[0]["lr"])
        state.note(told, accelerator.unwrap_model(model))
        if accelerator.is_main_process:
            state.save(told, (accelerator.unwrap_model(model), optimizer, plateau))
        on_epoch(told)
    classifier = accelerator.unwrap_model(model).cpu()
    classifier.load_state_dict(state.best_weights)
    return classifier.eval().requires_grad_(False)


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
        with accelerator.autocast():
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
        return self._records.maps[row, position], self._recorded[position], self._records.relation[row]


class _State:
    """Where a training stands, in its folder."""

    def __init__(
        self, folder: Path, settings: TrainingSettings, sizes: ClassifierSettings, data: Sequence[Records]
    ) -> None:
        self._file, self._metrics = folder / _CHECKPOINT, folder / METRICS
        run = {"settings": asdict(settings), "sizes": asdict(sizes), "data": [records.digest for records in data]}
        self._run = json.dumps(run)
        self.epoch = self.best_epoch = 0
        self.best_loss = float("inf")
        self.best_weights: dict[str, Tensor] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def restore(self, parts: Sequence[Any]) -> None:
        """Bring classifier, optimizer and plateau to where a stopped training was."""
        if not self._file.exists():
            self._metrics.unlink(missing_ok=True)
            return
        try:
            kept = torch.load(self._file, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, UnpicklingError) as error:
            raise ValueError(f"{self._file} is damaged; remove it to start the training again.") from error
        if kept["run"] != self._run:
            raise ValueError(
                f"{self._file} belongs to a training with other settings or other data: it had {kept['run']}, not "
                f"{self._run}. Give those, or another folder."
            )
        for part, state in zip(parts, kept["parts"]):
            part.load_state_dict(state)
        self.epoch, self.best_epoch, self.best_loss = kept["epoch"], kept["best_epoch"], kept["best_loss"]
        self.best_weights = kept["best_weights"]

    def note(self, told: Progress, classifier: Module) -> None:
        """Take down an epoch, and the weights of the best."""
        self.epoch = told.epoch
        if told.validation_loss < self.best_loss:
            self.best_loss, self.best_epoch = told.validation_loss, told.epoch
            self.best_weights = {name: weight.cpu().clone() for name, weight in classifier.state_dict().items()}

    def save(self, told: Progress, parts: Sequence[Any]) -> None:
        """Write the log's next line and the checkpoint."""
        begins = not self._metrics.exists()
        with self._metrics.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(asdict(told)))
            if begins:
                writer.writeheader()
            writer.writerow(asdict(told))
        partial = self._file.with_suffix(".partial")
        kept = {
            "run": self._run,
            "parts": [part.state_dict() for part in parts],
            "epoch": self.epoch,
            "best_epoch": self.best_epoch,
            "best_loss": self.best_loss,
            "best_weights": self.best_weights,
        }
        torch.save(kept, partial)
        partial.replace(self._file)
