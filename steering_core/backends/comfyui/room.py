"""Room for probes in the memory that ComfyUI manages: asked for before it loads a model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import comfy.model_management
from comfy.model_base import BaseModel
from comfy.model_patcher import ModelPatcher

from ...attributes import replaced
from ...families import NetworkInputs, size_of_shape
from ...layers import check_layers
from ...networks import ReadableNetwork
from ...steering import Steering
from ...wording import fault
from .conditions import Condition

#: So many times its input a block keeps for the backward pass: 10 to 20 times in ComfyUI's networks, and to 26 where
#: blocks that refine the text and the image come before those that are counted (tests/comfyui/test_room.py).
_KEPT = 24

_log = logging.getLogger(__name__)

Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Room:
    """Bytes that a probe keeps between its forward and its backward, above what its forward takes anyway.

    Attributes:
        whole: with all that its blocks compute.
        frugal: where they are run again, and keep their inputs; and one at a time the rest.
    """

    whole: int
    frugal: int

    @classmethod
    def of(cls, network: ReadableNetwork, layer: str, shape: Sequence[int], text: int, bytes: int) -> Room:
        """An estimate from the shapes.

        Args:
            layer: the last one that is read.
            shape: of the latent, (batch, channels, …, H, W).
            text: tokens of the conditioning.
            bytes: of a number.
        """
        inputs = network.inputs_of_blocks(layer, NetworkInputs(size_of_shape(shape), text))
        of_a_number = shape[0] * bytes
        return cls(_KEPT * sum(inputs) * of_a_number, (sum(inputs) + _KEPT * max(inputs)) * of_a_number)


def loaded_with_room(
    loading: Callable[[], Loaded],
    steering: Steering,
    network: ReadableNetwork,
    patcher: ModelPatcher,
    shape: Sequence[int],
    conds: Mapping[str, Sequence[Condition]],
) -> Loaded:
    """What loading a model returns, that ComfyUI was asked to leave room beside; where it could not, memory is spared.

    Args:
        steering: tied to the network.
        shape: of the noise.
        conds: the guider's.
    """
    try:
        room = room_for_probes(network, steering.request.layers, patcher.model, shape, conds)
    except Exception as error:  # an estimate is not worth the picture
        _log.warning(
            "Spatial Steering: no room is asked for, the memory it needs cannot be told: %s",
            fault(error),
            exc_info=True,
        )
        return loading()
    with asked_for(room, patcher.model, shape[0]):
        loaded = loading()
    if is_short(room, patcher, shape):
        steering.caution.spare_memory()
    return loaded


def room_for_probes(
    network: ReadableNetwork,
    layers: Sequence[str],
    model: BaseModel,
    shape: Sequence[int],
    conds: Mapping[str, Sequence[Condition]],
) -> Room:
    """Of one run of a sampler.

    Args:
        layers: those that are read.
        shape: of the noise.
        conds: the guider's.
    """
    texts = [condition["cross_attn"] for condition in conds.get("positive", ()) if "cross_attn" in condition]
    number = comfy.model_management.dtype_size(model.get_dtype_inference())
    last = check_layers(layers, network.layers)[-1]
    return Room.of(network, last, shape, max((text.shape[1] for text in texts), default=0), number)


@contextmanager
def asked_for(room: Room, model: BaseModel, pictures: int) -> Iterator[None]:
    """In this context ComfyUI takes the model to need so much more memory while it samples.

    ComfyUI asks twice. For the doubled batch of guidance the answer is what a whole probe needs, so that other models
    are unloaded. For the batch itself it is what a frugal one needs, so that this model is not loaded only in part to
    make room for more than that.

    Args:
        pictures: of the batch.
    """
    required: Callable[..., float] = model.memory_required

    def memory_required(input_shape: Sequence[int], *args: Any, **kwargs: Any) -> float:
        more = room.whole if input_shape[0] > pictures else room.frugal
        return required(input_shape, *args, **kwargs) + more

    with replaced(model, memory_required=memory_required):
        yield


def is_short(room: Room, patcher: ModelPatcher, shape: Sequence[int]) -> bool:
    """Whether a probe that keeps everything does not fit beside the model as it is loaded.

    Args:
        shape: of the latent.
    """
    needed = room.whole + patcher.model.memory_required(list(shape))
    return needed > patcher.get_free_memory(patcher.load_device)
