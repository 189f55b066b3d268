"""Checkpoints as the authors of Learn-to-Steer released them: their words for what is ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files.described import described
from ..files.pickled import read_pickled
from ..layers import PUBLISHED_NETWORKS, published_order
from ..relations.relation import Relation
from ..wording import brief, sentence
from .layout import MapLayout
from .network import UP, ClassifierDescription
from .settings import ClassifierSettings, TransformerSettings

_TIME_MODES = {"mid": "every_layer", "pre": "first_layer"}
_DROPOUT = 0.1
#: Length of the table of positions, where a checkpoint does not say it: the maps of FLUX.1.
_FLUX_MAPS = sum(layer.heads for layer in PUBLISHED_NETWORKS["flux_dev"])
#: What the maps sum to, where it is not 1: schnell's come as they are.
_TOTALS = {"flux_schnell": None}
_RELATIONS = {
    "to the left of": Relation.LEFT_OF.value,
    "to the right of": Relation.RIGHT_OF.value,
    "above": Relation.ABOVE.value,
    "below": Relation.BELOW.value,
    "above-to the left of": Relation.ABOVE_LEFT.value,
    "above-to the right of": Relation.ABOVE_RIGHT.value,
    "below-to the left of": Relation.BELOW_LEFT.value,
    "below-to the right of": Relation.BELOW_RIGHT.value,
}


@dataclass(frozen=True, kw_only=True)
class _Time:
    enable: bool
    mode: str = ""


@dataclass(frozen=True, kw_only=True)
class _Transformer:
    nhead: int
    num_layers: int
    dim_feedforward: int
    dropout: float = _DROPOUT

    def ours(self) -> TransformerSettings:
        return TransformerSettings(self.nhead, self.num_layers, self.dim_feedforward, self.dropout)


@dataclass(frozen=True, kw_only=True)
class _Extractor(_Transformer):
    layer_attn_nheads: int
    timestep_embedding: _Time
    use_mean: bool = False


@dataclass(frozen=True, kw_only=True)
class _Classifier(_Transformer):
    timestep_embedding_dim: int


@dataclass(frozen=True, kw_only=True)
class _Config:
    extractor: _Extractor
    classifier: _Classifier
    map_size: int
    d_model: int
    num_timesteps: int

    def ours(self) -> ClassifierSettings:
        time = self.extractor.timestep_embedding
        return ClassifierSettings(
            map_size=self.map_size,
            width=self.d_model,
            steps=self.num_timesteps,
            extractor=self.extractor.ours(),
            aggregation_heads=self.extractor.layer_attn_nheads,
            time_before=_TIME_MODES.get(time.mode, time.mode) if time.enable else "none",
            mean_maps=self.extractor.use_mean,
            classifier=self.classifier.ours(),
            time_width=self.classifier.timestep_embedding_dim,
        )


@dataclass(frozen=True, kw_only=True)
class _Training:
    timesteps: tuple[int, ...]
    exp_name: str = ""


@dataclass(frozen=True, kw_only=True)
class _Published:
    """What a released checkpoint holds, of which more is passed over.

    One that says nothing of its training was trained at every step.
    """

    model_state_dict: dict[str, Any]
    rel_name_to_idx: dict[str, int]
    config: _Config
    input_channels: int = _FLUX_MAPS
    training_config: _Training | None = None

    def __post_init__(self) -> None:
        if sorted(self.rel_name_to_idx.values()) != list(range(len(self.rel_name_to_idx))):
            raise ValueError(f"rel_name_to_idx must count from 0 on, not be {brief(self.rel_name_to_idx)}.")

    @property
    def network_name(self) -> str:
        """What it was made for, where it says so."""
        return self.training_config.exp_name if self.training_config else ""

    def ours(self, network_name: str) -> ClassifierDescription:
        network, settings = PUBLISHED_NETWORKS[network_name], self.config.ours()
        relations = sorted(self.rel_name_to_idx, key=lambda name: self.rel_name_to_idx[name])
        return ClassifierDescription(
            tuple(_RELATIONS.get(name, name) for name in relations),
            MapLayout(network, published_order(network), settings.map_size, _TOTALS.get(network_name, 1.0)),
            settings,
            self.training_config.timesteps if self.training_config else tuple(range(settings.steps)),
            self.input_channels,
            UP,
        )


class UnknownNetworkError(ValueError):
    """A released checkpoint that was made for no network whose maps are known, or does not say for which."""


def read_published(file: Path, network_name: str | None) -> tuple[ClassifierDescription, dict[str, Tensor]]:
    """What a released checkpoint says of its classifier, and its weights by their names.

    Args:
        network_name: one in ``PUBLISHED_NETWORKS``; what the checkpoint says itself when not given.

    Raises:
        UnknownNetworkError: it was released for a network whose maps are not known here, or does not say for which.
        ValueError: the file is no such checkpoint, is damaged, or holds something else than tensors or more of them
            than it can.
        OSError: it cannot be read.
    """
    try:
        checkpoint = read_pickled(file)
    except ValueError as error:
        raise ValueError(
            f"{sentence(error)} A released relation classifier or a .safetensors file of ours was expected."
        ) from error
    needed = [field.name for field in fields(_Published) if field.default is MISSING]
    if not isinstance(checkpoint, Mapping) or not checkpoint.keys() >= set(needed):
        raise ValueError(f"{file} is no relation classifier: a dict with {', '.join(needed)} was expected.")
    published = described(_Published, checkpoint, str(file), strict=False)
    network_name = network_name or published.network_name
    if network_name not in PUBLISHED_NETWORKS:
        says = f"says it was made for {brief(network_name)}" if network_name else "does not say what it was made for"
        raise UnknownNetworkError(
            f"{file} {says}; the networks whose maps are known are {', '.join(PUBLISHED_NETWORKS)}. Give the right one "
            f"as its network, or a .safetensors file that it was converted to."
        )
    try:
        description = published.ours(network_name)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    weights = published.model_state_dict
    for name, weight in weights.items():
        if not isinstance(weight, Tensor) or weight.layout is not torch.strided or weight.device.type != "cpu":
            raise ValueError(f"{file}: {brief(name)} was expected to be a tensor of numbers, not {brief(weight)}.")
    # A tensor can be a small storage seen many times over.
    if sum(weight.numel() * weight.element_size() for weight in weights.values()) > file.stat().st_size:
        raise ValueError(f"{file}: it claims more weights than a file of its size can hold.")
    return description, weights
