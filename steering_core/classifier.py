"""The relation classifier of Learn-to-Steer, and its checkpoints.

It sees, for two objects, the model's token maps of many layers and heads, and tells which relation
the objects have in the picture that is being drawn. Modules are named as in the authors' released
checkpoints, so that their weights load unchanged.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import (
    Dropout,
    Embedding,
    LayerNorm,
    LeakyReLU,
    Linear,
    Module,
    MultiheadAttention,
    Parameter,
    Sequential,
    TransformerEncoder,
    TransformerEncoderLayer,
)

from .layers import PUBLISHED_NETWORKS, AttentionLayer, describe_network, published_order
from .relations import Relation
from .token_maps import TokenMaps, normalise, resize

#: The classifiers that ship with the pack, and the one among them for the miniature.
CLASSIFIERS_DIR = Path(__file__).resolve().parents[1] / "models" / "relation_classifiers"
MINIATURE_CLASSIFIER = CLASSIFIERS_DIR / "miniature.safetensors"

#: What a released checkpoint holds at least, and its words for what is ours.
_PUBLISHED_KEYS = {"model_state_dict", "rel_name_to_idx", "input_channels", "config"}
_PUBLISHED_TIME_MODES = {"mid": "every_layer", "pre": "first_layer"}
_PUBLISHED_DROPOUT = 0.1
_PUBLISHED_RELATIONS = {
    "to the left of": Relation.LEFT_OF.value,
    "to the right of": Relation.RIGHT_OF.value,
    "above": Relation.ABOVE.value,
    "below": Relation.BELOW.value,
    "above-to the left of": Relation.ABOVE_LEFT.value,
    "above-to the right of": Relation.ABOVE_RIGHT.value,
    "below-to the left of": Relation.BELOW_LEFT.value,
    "below-to the right of": Relation.BELOW_RIGHT.value,
}
_FORMAT = "spatial-steering relation classifier, version 1"
_HEAD_WIDTHS = (256, 128)
_HEAD_SLOPE = 0.1
#: The classifier's transformer sees a sequence of one, but its table of positions is this long.
_CLASSIFIER_POSITIONS = 256


@dataclass(frozen=True)
class TransformerSettings:
    """Of one of the two transformers: heads, layers, width of the feed-forward part, dropout."""

    heads: int = 2
    layers: int = 2
    feed_forward: int = 128
    dropout: float = 0.3


@dataclass(frozen=True)
class ClassifierSettings:
    """Sizes of the classifier; the defaults are the published ones for Stable Diffusion 1.4.

    Attributes:
        map_size: side of the square maps that it reads.
        width: of both transformers.
        steps: into how many parts the diffusion time is divided; one embedding for each.
        extractor: transformer over the stack of maps.
        aggregation_heads: of the attention that gathers the stack into one map.
        time_before: whether the timestep's embedding is added ``every_layer`` of the extractor, its
            ``first_layer``, or ``none``.
        mean_maps: take the mean of the stack in place of the extractor's transformer.
        classifier: transformer over the two gathered maps.
        time_width: of the timestep's embedding that the head sees; 0 for none.
    """

    map_size: int = 16
    width: int = 256
    steps: int = 50
    extractor: TransformerSettings = TransformerSettings()
    aggregation_heads: int = 2
    time_before: str = "every_layer"
    mean_maps: bool = False
    classifier: TransformerSettings = TransformerSettings(heads=4)
    time_width: int = 16


@dataclass(frozen=True)
class MapLayout:
    """Which maps a classifier reads, of which network, and in which order.

    Attributes:
        network: every cross-attention layer of the network that the classifier was made for.
        layers: names of those that are read, in the order of the stack; a layer's heads in their own.
        map_size: side that every map is resized to.
        total: what each map sums to after that: 1 in the released classifiers; ``map_size`` squared
            gives values around 1, from which a classifier learns sooner.
    """

    network: tuple[AttentionLayer, ...]
    layers: tuple[str, ...]
    map_size: int
    total: float

    @classmethod
    def from_json(cls, described: Mapping[str, Any]) -> MapLayout:
        """From what ``dataclasses.asdict`` gives, having been JSON."""
        network = tuple(AttentionLayer(**layer) for layer in described["network"])
        return cls(network, tuple(described["layers"]), described["map_size"], described["total"])

    @property
    def maps(self) -> int:
        """How many maps the stack of one object has."""
        heads = {layer.name: layer.heads for layer in self.network}
        return sum(heads[name] for name in self.layers)

    def __str__(self) -> str:
        described = describe_network(self.network)
        return f"{self.maps} maps of {self.map_size}×{self.map_size} from {', '.join(self.layers)} of {described}"

    def stack(self, maps: TokenMaps, objects: Sequence[int]) -> Tensor:
        """What the classifier reads: (batch, objects, maps, map_size, map_size)."""
        size = (self.map_size, self.map_size)
        chosen = [resize(maps.layers[name][:, list(objects)], size) for name in self.layers]
        return normalise(torch.cat(chosen, dim=2)) * self.total


class _Positions(Module):
    """Sinusoidal positions, added to (batch, length, width)."""

    def __init__(self, width: int, length: int) -> None:
        super().__init__()
        position = torch.arange(length)[:, None]
        frequency = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
        table = torch.zeros(1, length, width)
        table[0, :, 0::2] = torch.sin(position * frequency)
        table[0, :, 1::2] = torch.cos(position * frequency)
        self.pe: Tensor
        self.register_buffer("pe", table)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.pe[:, : x.shape[1]]


def _transformer(width: int, settings: TransformerSettings) -> TransformerEncoder:
    layer = TransformerEncoderLayer(
        width, settings.heads, settings.feed_forward, settings.dropout, batch_first=True, norm_first=True
    )
    return TransformerEncoder(layer, settings.layers, enable_nested_tensor=False)


class _Extractor(Module):
    """One object's stack of maps (batch, maps, H, W) to one map (batch, H, W)."""

    def __init__(self, positions: int, settings: ClassifierSettings) -> None:
        super().__init__()
        cells, width = settings.map_size**2, settings.width
        self.input_projection = Linear(cells, width)
        if settings.time_before != "none":
            self.timestep_embedding = Embedding(settings.steps, width)
        self.positional_encoding = _Positions(width, positions)
        self.transformer = _transformer(width, settings.extractor)
        self.query_vector = Parameter(torch.randn(1, 1, width))
        self.layer_attention = MultiheadAttention(width, settings.aggregation_heads, batch_first=True)
        self.output_projection = Linear(width, cells)
        self._time_before = settings.time_before

    def forward(self, maps: Tensor, step: Tensor) -> Tensor:
        x = self.positional_encoding(self.input_projection(maps.flatten(2)))
        if self._time_before == "none":
            x = self.transformer(x)
        else:
            time = self.timestep_embedding(step)[:, None]
            for number, layer in enumerate(self.transformer.layers):
                x = layer(x + time if number == 0 or self._time_before == "every_layer" else x)
        query = self.query_vector.expand(len(x), -1, -1)
        gathered, _ = self.layer_attention(query, x, x, need_weights=False)
        return self.output_projection(gathered.squeeze(1)).unflatten(1, maps.shape[-2:])


class _MeanExtractor(Module):
    """The mean of the stack."""

    def forward(self, maps: Tensor, step: Tensor) -> Tensor:
        return maps.mean(dim=1)


class _Classifier(Module):
    """Two maps (batch, 2, H, W) to the logits of the relations."""

    def __init__(self, relations: int, settings: ClassifierSettings) -> None:
        super().__init__()
        width, dropout = settings.width, settings.classifier.dropout
        if settings.time_width:
            self.timestep_embedding = Embedding(settings.steps, settings.time_width)
        self.positional_encoding = _Positions(width, _CLASSIFIER_POSITIONS)
        self.projection = Linear(2 * settings.map_size**2, width)
        self.transformer = _transformer(width, settings.classifier)
        widths, parts = (width + settings.time_width, *_HEAD_WIDTHS), []
        for before, after in itertools.pairwise(widths):
            parts += [Linear(before, after), LayerNorm(after), LeakyReLU(_HEAD_SLOPE), Dropout(dropout)]
        self.fc = Sequential(*parts, Linear(widths[-1], relations))
        self._sees_time = settings.time_width > 0

    def forward(self, maps: Tensor, step: Tensor) -> Tensor:
        x = self.transformer(self.positional_encoding(self.projection(maps.flatten(1))[:, None])).squeeze(1)
        if self._sees_time:
            x = torch.cat([x, self.timestep_embedding(step)], dim=1)
        return self.fc(x)


class RelationClassifier(Module):
    """Which relation two objects have, told from their token maps (Learn-to-Steer).

    An extractor, shared by both objects, turns an object's stack of maps into one map; a
    classifier tells the relation from the two.

    Args:
        relations: names in the order of the logits; those of ``Relation`` can be steered.
        layout: what the stack holds.
        settings: sizes; ``map_size`` is the layout's.
        trained_steps: the parts of the diffusion time that it has learned, ascending, each in
            [0, settings.steps); part 0 begins at pure noise.
        positions: length of the table of positions over the stack; the stack's own when not given.

    Raises:
        ValueError: the stack is longer than the table, the sizes do not fit each other, or a
            trained step is outside its range.
    """

    def __init__(
        self,
        relations: Sequence[str],
        layout: MapLayout,
        settings: ClassifierSettings,
        trained_steps: Sequence[int],
        positions: int | None = None,
    ) -> None:
        super().__init__()
        self.relations, self.layout, self.settings = tuple(relations), layout, settings
        self.trained_steps, self.positions = tuple(trained_steps), positions or layout.maps
        if layout.map_size != settings.map_size:
            raise ValueError(f"Maps of side {settings.map_size} were expected, not a layout of {layout.map_size}.")
        if layout.maps > self.positions:
            raise ValueError(f"At most {self.positions} maps can be read; the layout has {layout}.")
        if not self.trained_steps or not all(0 <= step < settings.steps for step in self.trained_steps):
            raise ValueError(f"trained_steps must lie in 0 to {settings.steps - 1}, not {self.trained_steps}.")
        self.object_extractor: Module = _MeanExtractor() if settings.mean_maps else _Extractor(self.positions, settings)
        self.relation_classifier = _Classifier(len(self.relations), settings)

    def forward(self, maps: Tensor, step: Tensor) -> Tensor:
        """Logits (batch, relations).

        Args:
            maps: (batch, 2, maps, map_size, map_size), as from ``MapLayout.stack``: subject, object.
            step: part of the diffusion time, (batch,), whole numbers in [0, settings.steps).
        """
        pair = [self.object_extractor(maps[:, position], step) for position in (0, 1)]
        return self.relation_classifier(torch.stack(pair, dim=1), step)

    def nearest_step(self, progress: float) -> int:
        """The trained step nearest to a share of the diffusion time, of two as near the later."""
        part = int(progress * self.settings.steps)
        return min(self.trained_steps, key=lambda step: (abs(step - part), -step))


def load_classifier(file: Path, network: str | None = None) -> RelationClassifier:
    """Read a checkpoint: ours, or one that the authors of Learn-to-Steer released.

    The classifier comes on the CPU in float32, for evaluation, and asks for no gradients of its own.

    Args:
        network: for a released checkpoint, a name in ``PUBLISHED_NETWORKS``; what it says itself when not given.

    Raises:
        ValueError: the file is no such checkpoint, is damaged, has weights of other shapes than its
            configuration, or was released for a network whose maps are not known here.
        OSError: it cannot be read.
    """
    if file.suffix == ".safetensors":
        classifier, weights = _read_own(file)
    else:
        classifier, weights = _read_published(file, network)
    try:
        classifier.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"{file}: the weights do not fit the configuration beside them: {error}") from error
    return classifier.eval().requires_grad_(False)


def save_classifier(classifier: RelationClassifier, file: Path) -> None:
    """Write our form: weights as safetensors, all else as JSON in the metadata.

    The file is written whole or not at all.
    """
    described = {
        "format": _FORMAT,
        "relations": classifier.relations,
        "layout": asdict(classifier.layout),
        "settings": asdict(classifier.settings),
        "trained_steps": classifier.trained_steps,
        "positions": classifier.positions,
    }
    weights = {name: weight.contiguous() for name, weight in classifier.state_dict().items()}
    partial = file.with_name(file.name + ".partial")
    save_file(weights, partial, metadata={"relation_classifier": json.dumps(described)})
    partial.replace(file)


def _read_own(file: Path) -> tuple[RelationClassifier, dict[str, Tensor]]:
    try:
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
            weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged or no safetensors file: {error}") from error
    described = json.loads(metadata.get("relation_classifier", "{}"))
    if described.get("format") != _FORMAT:
        raise ValueError(
            f"{file} is no relation classifier: a safetensors file with the format {_FORMAT!r} in its metadata was "
            f"expected, as written by: steer classifier convert"
        )
    settings = described["settings"]
    for part in ("extractor", "classifier"):
        settings[part] = TransformerSettings(**settings[part])
    classifier = RelationClassifier(
        described["relations"],
        MapLayout.from_json(described["layout"]),
        ClassifierSettings(**settings),
        described["trained_steps"],
        described["positions"],
    )
    return classifier, weights


def _read_published(file: Path, network_name: str | None) -> tuple[RelationClassifier, dict[str, Tensor]]:
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, UnpicklingError) as error:
        raise ValueError(
            f"{file} is damaged, or is neither a released relation classifier nor a .safetensors file of ours: {error}"
        ) from error
    if not isinstance(checkpoint, Mapping) or not checkpoint.keys() >= _PUBLISHED_KEYS:
        raise ValueError(
            f"{file} is no relation classifier: a dict with {', '.join(sorted(_PUBLISHED_KEYS))} was expected."
        )
    training = checkpoint.get("training_config") or {}
    network_name = network_name or training.get("exp_name", "an unnamed network")
    network = PUBLISHED_NETWORKS.get(network_name)
    if network is None:
        raise ValueError(
            f"{file} says it was made for {network_name!r}; the networks whose maps are known are "
            f"{', '.join(PUBLISHED_NETWORKS)}. Name the right one with: steer classifier convert --network"
        )
    settings = _published_settings(checkpoint["config"])
    numbered = sorted((int(number), name) for name, number in checkpoint["rel_name_to_idx"].items())
    classifier = RelationClassifier(
        [_PUBLISHED_RELATIONS.get(name, name) for _, name in numbered],
        MapLayout(network, published_order(network), settings.map_size, total=1.0),
        settings,
        training["timesteps"],
        checkpoint["input_channels"],
    )
    return classifier, checkpoint["model_state_dict"]


def _published_settings(config: Mapping[str, Any]) -> ClassifierSettings:
    extractor, classifier = config["extractor"], config["classifier"]
    time = extractor["timestep_embedding"]
    return ClassifierSettings(
        map_size=config["map_size"],
        width=config["d_model"],
        steps=config["num_timesteps"],
        extractor=_published_transformer(extractor),
        aggregation_heads=extractor["layer_attn_nheads"],
        time_before=_PUBLISHED_TIME_MODES[time["mode"]] if time["enable"] else "none",
        mean_maps=extractor.get("use_mean", False),
        classifier=_published_transformer(classifier),
        time_width=classifier["timestep_embedding_dim"],
    )


def _published_transformer(config: Mapping[str, Any]) -> TransformerSettings:
    return TransformerSettings(
        config["nhead"], config["num_layers"], config["dim_feedforward"], config.get("dropout", _PUBLISHED_DROPOUT)
    )
