"""Files of relation classifiers: ours, and those that the authors of Learn-to-Steer released."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..files.described import described, parse_json
from ..files.shipped import MODELS_DIR
from ..files.whole import written_whole
from ..wording import brief, one_line
from .network import NEAREST, ClassifierDescription, RelationClassifier
from .published import read_published

#: The classifiers that ship with the pack, and the one among them for the miniature.
CLASSIFIERS_DIR = MODELS_DIR / "relation_classifiers"
MINIATURE_CLASSIFIER = CLASSIFIERS_DIR / "miniature.safetensors"
_FORMAT = "spatial-steering relation classifier, version 1"


def load_classifier(file: str | Path, network: str | None = None) -> RelationClassifier:
    """Read a checkpoint: ours, or one that the authors of Learn-to-Steer released.

    The classifier comes on the CPU in float32, for evaluation, and asks for no gradients of its own.
    What the file says of its sizes is held against the weights that it has before memory is taken for them.

    Args:
        network: for a released checkpoint, a name in ``PUBLISHED_NETWORKS``; what it says itself when not given.

    Raises:
        UnknownNetworkError: it was released for a network whose maps are not known here, or does not say for which.
        ValueError: the file is no such checkpoint, is damaged, or has weights of other shapes than its
            configuration or such as are no finite numbers.
        OSError: it cannot be read.
    """
    file = Path(file)
    if file.is_dir():
        raise ValueError(f"{file} is a folder; a file with a relation classifier was expected.")
    is_own = file.suffix.lower() == ".safetensors"
    classifier = _read_own(file) if is_own else _read_released(file, network)
    return classifier.eval().requires_grad_(False)


def save_classifier(classifier: RelationClassifier, file: Path) -> None:
    """Write our form: weights as safetensors, all else as JSON in the metadata.

    The file is written whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    metadata = {"format": _FORMAT, **asdict(ClassifierDescription.of(classifier))}
    weights = {name: weight.contiguous() for name, weight in classifier.state_dict().items()}
    try:
        with written_whole(file) as partial:
            save_file(weights, partial, metadata={"relation_classifier": json.dumps(metadata)})
    except SafetensorError as error:
        raise OSError(f"{file} could not be written: {one_line(error)}") from error


def _read_own(file: Path) -> RelationClassifier:
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = parse_json((opened.metadata() or {}).get("relation_classifier", "{}"), f"{file}: its metadata")
            if not isinstance(metadata, Mapping) or metadata.get("format") != _FORMAT:
                raise ValueError(
                    f"{file} is no relation classifier: a safetensors file with the format {_FORMAT!r} in its metadata "
                    f"was expected, as training and conversion write it."
                )
            # Files from before there was a choice do not name it.
            metadata = {"rounding": NEAREST} | {key: metadata[key] for key in metadata if key != "format"}
            description = described(ClassifierDescription, metadata, str(file))
            shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
            return _filled(description, shapes, opened.get_tensor, file)
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged or no safetensors file: {one_line(error)}") from error


def _read_released(file: Path, network: str | None) -> RelationClassifier:
    description, weights = read_published(file, network)
    return _filled(
        description, {name: tuple(weight.shape) for name, weight in weights.items()}, weights.__getitem__, file
    )


def _filled(
    description: ClassifierDescription,
    shapes: Mapping[str, tuple[int, ...]],
    weight: Callable[[str], Tensor],
    file: Path,
) -> RelationClassifier:
    """The classifier with its weights, if they are the ones that it asks for."""
    try:
        classifier = description.without_weights()
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    wanted = {name: tuple(empty.shape) for name, empty in classifier.state_dict().items()}
    for name in sorted(wanted.keys() | shapes.keys()):
        if wanted.get(name) != shapes.get(name):
            raise ValueError(
                f"{file}: the weights do not fit the configuration beside them: {brief(name)} should have the shape "
                f"{wanted.get(name, 'of nothing')}, not {brief(shapes.get(name, 'of nothing'))}."
            )
    classifier.load_state_dict({name: _as_float32(weight(name), name, file) for name in wanted}, assign=True)
    return classifier


def _as_float32(weight: Tensor, name: str, file: Path) -> Tensor:
    """A copy of its own, so that nothing that happens to the file can reach it."""
    if weight.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        raise ValueError(f"{file}: {name} was expected in float32 or another precision of it, not in {weight.dtype}.")
    weight = weight.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    if not weight.isfinite().all():
        raise ValueError(f"{file}: {name} holds values that are no finite numbers, so the file is of no use.")
    return weight
