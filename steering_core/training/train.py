"""Training of a relation classifier on recorded maps.

AdamW with the learning rate lowered on a plateau of the validation loss, and stopped early, as
published. A stopped training goes on from its last epoch.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator, PartialState
from accelerate.utils import set_seed
from torch import Tensor
from torch.nn import Module
from torch.utils.data import DataLoader, Dataset

from ..classifier import ClassifierSettings, MapLayout, RelationClassifier
from ..files.whole import only_writer
from ..process_wide import differentiable_attention
from ..relations.relation import CARDINAL_RELATIONS
from .augmentation import augmented
from .checkpoint import WRITER, Progress, TrainingState
from .dataset import Records
from .settings import TrainingSettings

_EVALUATION_BATCH = 256


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
        accelerator = Accelerator(mixed_precision="bf16" if torch.cuda.is_available() else "no")
        _seed(settings.seed)
        names = [relation.value for relation in CARDINAL_RELATIONS]
        classifier = RelationClassifier(names, layout, sizes, recorded)
        optimizer = torch.optim.AdamW(classifier.parameters(), settings.rate, weight_decay=settings.weight_decay)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=settings.rate_factor, patience=settings.rate_patience
        )
        state = TrainingState(folder, settings, sizes, (training, validation))
        state.restore((classifier, optimizer, plateau))
        loader = DataLoader(_Items(training, recorded), settings.batch, shuffle=True)
        model, optimizer, loader = accelerator.prepare(classifier, optimizer, loader)
        while state.epoch < settings.epochs and state.epoch - state.best_epoch < settings.patience:
            _seed(settings.seed + state.epoch)
            loss = _train_epoch(accelerator, model, optimizer, loader, settings.augment)
            predicted, validation_loss = evaluate(accelerator.unwrap_model(model), validation, recorded)
            if not (math.isfinite(loss) and math.isfinite(validation_loss)):
                raise ValueError(
                    f"In epoch {state.epoch + 1} the loss is no finite number: at a rate of {settings.rate} the "
                    f"training has lost its way. Start it again with a smaller rate."
                )
            plateau.step(validation_loss)
            accuracy = (predicted == validation.relation[:, None]).float().mean().item()
            progress = Progress(state.epoch + 1, loss, validation_loss, accuracy, optimizer.param_groups[0]["lr"])
            state.note(progress, accelerator.unwrap_model(model))
            if accelerator.is_main_process:
                state.save((accelerator.unwrap_model(model), optimizer, plateau))
            on_epoch(progress)
        classifier = accelerator.unwrap_model(model).cpu()
        classifier.load_state_dict(state.best_weights)
        return classifier.eval().requires_grad_(False)


@contextmanager
def _only_training(folder: Path) -> Iterator[None]:
    """In this context nobody else trains in the folder; of processes that train together the first one writes."""
    with only_writer(folder, WRITER, "training") if PartialState().is_main_process else nullcontext():
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
