"""The relation classifier of Learn-to-Steer, and its checkpoints.

It sees, for two objects, the model's token maps of many layers and heads, and tells which relation
the objects have in the picture that is being drawn. Modules are named as in the authors' released
checkpoints, so that their weights load unchanged.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
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

from .described import brief, described, one_line, parse_json
from .files import written_whole
from .layers import PUBLISHED_NETWORKS, AttentionLayer, describe_network, published_order
from .pickled import read_pickled
from .relations import Relation
from .token_maps import TokenMaps, normalise, resize

#: The classifiers that ship with the pack, and the one among them for the miniature.
CLASSIFIERS_DIR = Path(__file__).resolve().parents[1] / "models" / "relation_classifiers"
MINIATURE_CLASSIFIER = CLASSIFIERS_DIR / "miniature.safetensors"

#: A released checkpoint's words for what is ours.
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


#: Sizes beyond these are no classifier of attention maps; the published ones are a hundredth of them.
_MOST_LAYERS, _MOST_WIDTH, _MOST_STEPS, _MOST_MAP_SIZE, _MOST_RELATIONS = 64, 2**14, 10_000, 256, 1000
TIME_BEFORE = ("every_layer", "first_layer", "none")


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ValueError(f"{name} must be {least} to {most}, not {brief(value)}.")


@dataclass(frozen=True)
class TransformerSettings:
    """Of one of the two transformers: heads, layers, width of the feed-forward part, dropout.

    Raises:
        ValueError: one is outside its range.
    """

    heads: int = 2
    layers: int = 2
    feed_forward: int = 128
    dropout: float = 0.3

    def __post_init__(self) -> None:
        _check_range("heads", self.heads, 1, _MOST_WIDTH)
        _check_range("layers", self.layers, 1, _MOST_LAYERS)
        _check_range("feed_forward", self.feed_forward, 1, _MOST_WIDTH)
        _check_range("dropout", self.dropout, 0, 1)


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

    Raises:
        ValueError: one is outside its range, or the width cannot be shared out among the heads.
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

    def __post_init__(self) -> None:
        _check_range("map_size", self.map_size, 1, _MOST_MAP_SIZE)
        _check_range("width", self.width, 2, _MOST_WIDTH)
        _check_range("steps", self.steps, 1, _MOST_STEPS)
        _check_range("time_width", self.time_width, 0, _MOST_WIDTH)
        if self.time_before not in TIME_BEFORE:
            raise ValueError(f"time_before must be one of {', '.join(TIME_BEFORE)}, not {brief(self.time_before)}.")
        for heads in (2, self.extractor.heads, self.aggregation_heads, self.classifier.heads):
            if heads < 1 or self.width % heads:
                raise ValueError(
                    f"width must be even and a multiple of all heads, {heads} among them, not {self.width}."
                )


@dataclass(frozen=True)
class MapLayout:
    """Which maps a classifier reads, of which network, and in which order.

    Attributes:
        network: every cross-attention layer of the network that the classifier was made for.
        layers: names of those that are read, in the order of the stack; a layer's heads in their own.
        map_size: side that every map is resized to.
        total: what each map sums to after that: 1 in the released classifiers; ``map_size`` squared
            gives values around 1, from which a classifier learns sooner.

    Raises:
        ValueError: a layer is named twice or is not the network's, or a size is outside its range.
    """

    network: tuple[AttentionLayer, ...]
    layers: tuple[str, ...]
    map_size: int
    total: float

    def __post_init__(self) -> None:
        names = [layer.name for layer in self.network]
        for kind, named in (("network", names), ("layers", self.layers)):
            if len(set(named)) < len(named) or not named:
                raise ValueError(f"{kind} must name one layer or more, each once, not {brief(list(named))}.")
        if unknown := [name for name in self.layers if name not in names]:
            raise ValueError(f"layers must be among the network's {brief(names)}, not {brief(unknown)}.")
        for layer in self.network:
            _check_range(f"heads of {brief(layer.name)}", layer.heads, 1, _MOST_WIDTH)
            _check_range(f"level of {brief(layer.name)}", layer.level, 0, _MOST_LAYERS)
        _check_range("map_size", self.map_size, 1, _MOST_MAP_SIZE)
        if not 0 < self.total < math.inf:
            raise ValueError(f"total must be greater than 0, not {self.total}.")

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
            [0, settings.steps); part 0 begins at the strongest noise.
        positions: length of the table of positions over the stack; the stack's own when not given.

    Raises:
        ValueError: the stack is longer than the table, the sizes do not fit each other, a name of
            a relation is not one of its own, or the trained steps are not ascending or outside their range.
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
            raise ValueError(f"trained_steps must lie in 0 to {settings.steps - 1}, not {brief(self.trained_steps)}.")
        if list(self.trained_steps) != sorted(set(self.trained_steps)):
            raise ValueError(f"trained_steps must ascend, not be {brief(self.trained_steps)}.")
        if not 0 < len(set(self.relations)) == len(self.relations) <= _MOST_RELATIONS:
            raise ValueError(
                f"relations must be {_MOST_RELATIONS} different ones at most, not {brief(self.relations)}."
            )
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
    What the file says of its sizes is held against the weights that it has before memory is taken for them.

    Args:
        network: for a released checkpoint, a name in ``PUBLISHED_NETWORKS``; what it says itself when not given.

    Raises:
        ValueError: the file is no such checkpoint, is damaged, has weights of other shapes than its
            configuration or such as are no finite numbers, or was released for a network whose maps are not
            known here.
        OSError: it cannot be read.
    """
    classifier = _read_own(file) if file.suffix == ".safetensors" else _read_published(file, network)
    return classifier.eval().requires_grad_(False)


def save_classifier(classifier: RelationClassifier, file: Path) -> None:
    """Write our form: weights as safetensors, all else as JSON in the metadata.

    The file is written whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    told = {"format": _FORMAT, **asdict(_Described.of(classifier))}
    weights = {name: weight.contiguous() for name, weight in classifier.state_dict().items()}
    try:
        with written_whole(file) as partial:
            save_file(weights, partial, metadata={"relation_classifier": json.dumps(told)})
    except SafetensorError as error:
        raise OSError(f"{file} could not be written: {one_line(error)}") from error


@dataclass(frozen=True)
class _Described:
    """What our form says of a classifier, beside its weights."""

    relations: tuple[str, ...]
    layout: MapLayout
    settings: ClassifierSettings
    trained_steps: tuple[int, ...]
    positions: int

    @classmethod
    def of(cls, classifier: RelationClassifier) -> _Described:
        return cls(
            classifier.relations,
            classifier.layout,
            classifier.settings,
            classifier.trained_steps,
            classifier.positions,
        )

    def network(self) -> RelationClassifier:
        """The classifier without weights: its parameters have shapes and take no memory."""
        with torch.device("meta"):
            return RelationClassifier(self.relations, self.layout, self.settings, self.trained_steps, self.positions)


def _read_own(file: Path) -> RelationClassifier:
    try:
        with safe_open(file, framework="pt") as opened:
            told = parse_json((opened.metadata() or {}).get("relation_classifier", "{}"), f"{file}: its metadata")
            if not isinstance(told, Mapping) or told.get("format") != _FORMAT:
                raise ValueError(
                    f"{file} is no relation classifier: a safetensors file with the format {_FORMAT!r} in its metadata "
                    f"was expected, as written by: steer classifier convert"
                )
            told = described(_Described, {key: told[key] for key in told if key != "format"}, str(file))
            shapes = {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
            return _filled(told, shapes, opened.get_tensor, file)
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged or no safetensors file: {one_line(error)}") from error


def _filled(
    told: _Described, shapes: Mapping[str, tuple[int, ...]], weight: Callable[[str], Tensor], file: Path
) -> RelationClassifier:
    """The classifier with its weights, if they are the ones that it asks for."""
    try:
        classifier = told.network()
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


@dataclass(frozen=True, kw_only=True)
class _PublishedTime:
    enable: bool
    mode: str = ""


@dataclass(frozen=True, kw_only=True)
class _PublishedTransformer:
    nhead: int
    num_layers: int
    dim_feedforward: int
    dropout: float = _PUBLISHED_DROPOUT

    def ours(self) -> TransformerSettings:
        return TransformerSettings(self.nhead, self.num_layers, self.dim_feedforward, self.dropout)


@dataclass(frozen=True, kw_only=True)
class _PublishedExtractor(_PublishedTransformer):
    layer_attn_nheads: int
    timestep_embedding: _PublishedTime
    use_mean: bool = False


@dataclass(frozen=True, kw_only=True)
class _PublishedClassifier(_PublishedTransformer):
    timestep_embedding_dim: int


@dataclass(frozen=True, kw_only=True)
class _PublishedConfig:
    extractor: _PublishedExtractor
    classifier: _PublishedClassifier
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
            time_before=_PUBLISHED_TIME_MODES.get(time.mode, time.mode) if time.enable else "none",
            mean_maps=self.extractor.use_mean,
            classifier=self.classifier.ours(),
            time_width=self.classifier.timestep_embedding_dim,
        )


@dataclass(frozen=True, kw_only=True)
class _PublishedTraining:
    timesteps: tuple[int, ...]
    exp_name: str = "an unnamed network"


@dataclass(frozen=True, kw_only=True)
class _Published:
    """What a released checkpoint holds, of which more is passed over."""

    model_state_dict: dict[str, Any]
    rel_name_to_idx: dict[str, int]
    input_channels: int
    config: _PublishedConfig
    training_config: _PublishedTraining

    def __post_init__(self) -> None:
        if sorted(self.rel_name_to_idx.values()) != list(range(len(self.rel_name_to_idx))):
            raise ValueError(f"rel_name_to_idx must count from 0 on, not be {brief(self.rel_name_to_idx)}.")

    def ours(self, network: tuple[AttentionLayer, ...]) -> _Described:
        settings = self.config.ours()
        relations = sorted(self.rel_name_to_idx, key=lambda name: self.rel_name_to_idx[name])
        return _Described(
            tuple(_PUBLISHED_RELATIONS.get(name, name) for name in relations),
            MapLayout(network, published_order(network), settings.map_size, total=1.0),
            settings,
            self.training_config.timesteps,
            self.input_channels,
        )


def _read_published(file: Path, network_name: str | None) -> RelationClassifier:
    try:
        checkpoint = read_pickled(file)
    except ValueError as error:
        raise ValueError(
            f"{error} A released relation classifier or a .safetensors file of ours was expected."
        ) from error
    needed = [field.name for field in fields(_Published)]
    if not isinstance(checkpoint, Mapping) or not checkpoint.keys() >= set(needed):
        raise ValueError(f"{file} is no relation classifier: a dict with {', '.join(needed)} was expected.")
    published = described(_Published, checkpoint, str(file), strict=False)
    network_name = network_name or published.training_config.exp_name
    network = PUBLISHED_NETWORKS.get(network_name)
    if network is None:
        raise ValueError(
            f"{file} says it was made for {brief(network_name)}; the networks whose maps are known are "
            f"{', '.join(PUBLISHED_NETWORKS)}. Name the right one with: steer classifier convert --network"
        )
    try:
        told = published.ours(network)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    weights = published.model_state_dict
    for name, weight in weights.items():
        if not isinstance(weight, Tensor) or weight.layout is not torch.strided or weight.device.type != "cpu":
            raise ValueError(f"{file}: {brief(name)} was expected to be a tensor of numbers, not {brief(weight)}.")
    # A tensor can be a small storage seen many times over.
    if sum(weight.numel() * weight.element_size() for weight in weights.values()) > file.stat().st_size:
        raise ValueError(f"{file}: it claims more weights than a file of its size can hold.")
    return _filled(told, {name: tuple(weight.shape) for name, weight in weights.items()}, weights.__getitem__, file)
