"""What a trained classifier can do, as numbers and as plots."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from ..classifier import RelationClassifier
from ..files.whole import save_text, written_whole
from ..relations.relation import CARDINAL_RELATIONS
from .checkpoint import METRICS
from .dataset import Records
from .train import evaluate

REPORT, CONFUSION, CURVES = "report.json", "confusion.png", "curves.png"


@dataclass(frozen=True)
class Report:
    """Accuracies, as shares in [0, 1], on records of a test; none where there are no such records.

    Attributes:
        true_prompts, false_prompts: on the inversions with true and with false prompts.
        by_step: the same two, for each recorded step of the diffusion time.
        by_relation: on all records, for each true relation.
        confusion: how many records of each true relation (rows) were taken for which (columns).
        left_out: on the records that show an object which training did without.
        leaked_true, leaked_false: as ``true_prompts`` and ``false_prompts``, of a classifier that was
            trained on true prompts alone; none without such a classifier too. That its accuracy falls on false prompts
            is relation leakage.
        learned_from: how many of the records training has learned from: on these, accuracy says nothing of others;
            none where that is not known.
    """

    true_prompts: float | None
    false_prompts: float | None
    by_step: dict[int, tuple[float | None, float | None]]
    by_relation: dict[str, float | None]
    confusion: list[list[int]]
    left_out: float | None = None
    leaked_true: float | None = None
    leaked_false: float | None = None
    learned_from: int | None = None

    def __str__(self) -> str:
        lines = [f"{self.learned_from} records of the test were learned from"] if self.learned_from else []
        lines += [
            f"accuracy: {_percent(self.true_prompts)} on true prompts, {_percent(self.false_prompts)} on false ones"
        ]
        if self.left_out is not None:
            lines.append(f"with objects left out of training: {_percent(self.left_out)}")
        if self.leaked_true is not None:
            shares = f"{_percent(self.leaked_true)} on true prompts, {_percent(self.leaked_false)} on false ones"
            lines.append(f"trained on true prompts alone: {shares}")
        lines += [f"step {step}: {_percent(true)}, {_percent(false)}" for step, (true, false) in self.by_step.items()]
        for name, share in self.by_relation.items():
            lines.append(f"{name}: {_percent(share)}" + ", no picture of the test shows it" * (share is None))
        return "\n".join(lines)


def make_report(
    classifier: RelationClassifier,
    records: Records,
    recorded: tuple[int, ...],
    leaked: RelationClassifier | None = None,
    left_out: Collection[str] = (),
    training: Records | None = None,
) -> Report:
    """Test a classifier, and beside it one that was trained on true prompts alone.

    Args:
        records: of the test.
        left_out: objects that training did without.
        training: what was learned from, where that is at hand.
    """
    predicted, _ = evaluate(classifier, records, recorded)
    right = predicted == records.relation[:, None]
    true = records.relation == records.stated
    leaked_right = None if leaked is None else evaluate(leaked, records, recorded)[0] == records.relation[:, None]
    confusion = torch.zeros(len(CARDINAL_RELATIONS), len(CARDINAL_RELATIONS), dtype=torch.long)
    truth = records.relation[:, None].expand_as(predicted)
    confusion.index_put_((truth.flatten(), predicted.flatten()), torch.ones(predicted.numel(), dtype=torch.long), True)
    return Report(
        true_prompts=_share(right[true]),
        false_prompts=_share(right[~true]),
        by_step={
            step: (_share(right[true, index]), _share(right[~true, index])) for index, step in enumerate(recorded)
        },
        by_relation={
            relation.value: _share(right[records.relation == index])
            for index, relation in enumerate(CARDINAL_RELATIONS)
        },
        confusion=confusion.tolist(),
        left_out=_share(right[torch.tensor(records.showing(left_out))]),
        leaked_true=None if leaked_right is None else _share(leaked_right[true]),
        leaked_false=None if leaked_right is None else _share(leaked_right[~true]),
        learned_from=None if training is None else records.count_in(training),
    )


def write_report(report: Report, folder: Path) -> None:
    """Write the numbers as JSON, and the confusion matrix and the training's curves as PNG.

    In the JSON, what was not measured is null.
    """
    save_text(json.dumps(asdict(report), indent=1, allow_nan=False) + "\n", folder / REPORT)
    for name, plot in {CONFUSION: confusion_plot(report), CURVES: curves_plot(folder / METRICS)}.items():
        with written_whole(folder / name) as partial:
            plot.savefig(partial, format="png")


def confusion_plot(report: Report) -> Figure:
    """Shares of each true relation's records, as a matrix."""
    names = [relation.phrase for relation in CARDINAL_RELATIONS]
    counts = np.array(report.confusion)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    figure = _figure(5, 4.5)
    axes = figure.subplots()
    axes.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("in the picture")
    for (row, column), share in np.ndenumerate(shares):
        axes.text(column, row, f"{share:.1%}", ha="center", va="center", color="white" if share > 0.5 else "black")
    return figure


def curves_plot(metrics: Path) -> Figure:
    """Losses and accuracy over the epochs of a training's log."""
    with metrics.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    epochs = [int(row["epoch"]) for row in rows]
    figure = _figure(8, 3.5)
    losses, accuracy = figure.subplots(1, 2)
    for name in ("training_loss", "validation_loss"):
        losses.plot(epochs, [float(row[name]) for row in rows], label=name.replace("_", " "))
    losses.set_ylim(bottom=0)
    losses.legend()
    accuracy.plot(epochs, [float(row["validation_accuracy"]) for row in rows], label="validation accuracy")
    accuracy.set_ylim(0, 1)
    accuracy.legend(loc="lower right")
    for axes in (losses, accuracy):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
    return figure


def as_image(figure: Figure) -> Image.Image:
    """A plot as an RGB picture."""
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return Image.open(content).convert("RGB")


def _figure(width: float, height: float) -> Figure:
    """A figure that needs no window."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _share(right: Tensor) -> float | None:
    return right.float().mean().item() if right.numel() else None


def _percent(share: float | None) -> str:
    return "not measured" if share is None else f"{share:.1%}"
