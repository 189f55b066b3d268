"""The conditionings of a run in ComfyUI: the relations that they carry, and which of them these belong to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ...relations.scene import Scene
from ...steering import SteeringError
from ...tokens import GroundedScene
from ...wording import shortened

#: The entry of a conditioning that carries the relations of its prompt. Combine, SetArea, SetMask and
#: SetTimestepRange hand it on; Concat keeps that of its first input alone.
RELATIONS_ENTRY = "spatial_steering_relations"
#: Where the tokens of the relations begin in a conditioning of a run.
_FIRST_TOKEN = "spatial_steering_first_token"
#: The entry of a conditioning that acts where no other of its list does (Cond Set Default Combine).
_DEFAULT = "default"
#: The lists of a guider's conditionings that no picture is to show: what it is pushed away from, and what Perp-Neg
#: Guider measures from, each by its name in a sentence.
_NOT_POSITIVE = {"negative": "negative", "empty_negative_prompt": "empty"}
#: Vectors of the same text by the same encoder differ by less of their largest value, those of two texts by far more.
_TOLERANCE = 1e-3
#: Letters of a prompt that an error shows.
_PROMPT_SHOWN = 80

#: In place of a scene: the relations that the sampler's positive conditioning carries.
CARRIED = GroundedScene(Scene("", ()), (), (), ())

#: One conditioning of a run, as a guider holds it.
Condition = dict[str, Any]


def control_nets(control: Any) -> Iterator[Any]:
    """The control net of a conditioning, with those before it; nothing where it has none."""
    while control is not None:
        yield control
        control = getattr(control, "previous_controlnet", None)


def control_hints(control: Any, name: str) -> Iterator[tuple[Any, Any]]:
    """The control nets of a conditioning with their hint by this name; without those of other nodes that have none."""
    return ((net, getattr(net, name)) for net in control_nets(control) if hasattr(net, name))


def carried_relations(conditions: Mapping[str, Sequence[Condition]]) -> GroundedScene:
    """The relations that the conditionings of a guider carry; of several prompts, those of the one that has any.

    Raises:
        SteeringError: none carries any, or several carry relations that differ.
    """
    carrying = {name: [one for one in listed if RELATIONS_ENTRY in one] for name, listed in conditions.items()}
    found = [one[RELATIONS_ENTRY] for name, listed in carrying.items() if name not in _NOT_POSITIVE for one in listed]
    if not found:
        if swapped := [one for listed in carrying.values() for one in listed]:
            raise _connected_elsewhere(swapped[0][RELATIONS_ENTRY], [name for name in carrying if carrying[name]])
        raise SteeringError(
            "positive: it carries no relations. Connect the conditioning of Spatial Relation Parser or Spatial Prompt "
            "to the sampler's positive input, or the relations to the node that steers. If it is connected already, a "
            "node between has dropped them: Conditioning (Concat) keeps those of its conditioning_to alone, and "
            "Conditioning (Average) likewise."
        )
    stated = {(scene.scene.prompt, frozenset(scene.scene.relations)): scene for scene in found if scene.relations}
    if len(stated) > 1:
        prompts = dict.fromkeys(f'"{shortened(one.scene.as_written, _PROMPT_SHOWN)}"' for one in stated.values())
        of = "several prompts," if len({prompt for prompt, _ in stated}) > 1 else "several layouts of"
        raise SteeringError(
            f"positive: it carries the relations of {of} {' and '.join(prompts)}. Connect those that are meant to the "
            f"relations input of the node that steers."
        )
    return next(iter(stated.values()), found[0])


def tie(conditions: Mapping[str, Sequence[Condition]], scene: GroundedScene) -> None:
    """Mark, among the conditionings of a guider, those whose tokens the relations count and that have a part in the
    picture.

    They carry the relations' prompt, or hold its encoded text somewhere (Concat, CLIP Text Encode of the same text).

    Args:
        conditions: of one run, before it samples; the marks are entries of their own.

    Raises:
        SteeringError: there is none, or it is a negative or empty one.
    """
    if not any(listed for name, listed in conditions.items() if name not in _NOT_POSITIVE):
        raise SteeringError(
            "guider: it has no positive conditioning, whose attention steering reads. Use CFGGuider, BasicGuider or "
            "another with one."
        )
    tied_to = set()
    for name, listed in conditions.items():
        for condition in listed:
            first = _first_token(condition, scene)
            if first is not None:
                tied_to.add(name)
                if _has_weight(condition):  # asked once a run: to look at a mask can wait for a card
                    condition[_FIRST_TOKEN] = first
    if tied_to <= _NOT_POSITIVE.keys():
        if tied_to:
            raise _connected_elsewhere(scene, tied_to)
        prompt = shortened(scene.scene.as_written, _PROMPT_SHOWN)
        raise SteeringError(
            f'positive: it was not encoded from the prompt of the relations, "{prompt}". Connect the conditioning of '
            f"the Spatial Relation Parser or Spatial Prompt that the relations come from, or a CLIP Text Encode of the "
            f"same text and CLIP, to the sampler's positive input. A node with several fields for text, such as "
            f"CLIPTextEncodeSDXL, must have that prompt in all of them. A sampler that is to have another prompt, as "
            f"in a second pass, takes the model from before the node that steers."
        )


def _connected_elsewhere(scene: GroundedScene, lists: Collection[str]) -> SteeringError:
    """What to say where the prompt of the relations is in lists alone that no picture is to show."""
    prompt = shortened(scene.scene.as_written, _PROMPT_SHOWN)
    where = " and ".join(named for name, named in _NOT_POSITIVE.items() if name in lists)
    return SteeringError(
        f'positive: the prompt of the relations, "{prompt}", is connected as the {where} conditioning. Swap the two.'
    )


def check_width(conditions: Mapping[str, Sequence[Condition]], width: int | None) -> None:
    """Refuse vectors that the model cannot read.

    Args:
        width: of the vectors that it reads; none where that is not known.

    Raises:
        SteeringError: names the conditioning.
    """
    for name, listed in conditions.items():
        for condition in listed:
            vectors = condition.get("cross_attn")
            if width is not None and vectors is not None and vectors.shape[-1] != width:
                raise SteeringError(
                    f"{name}: it was encoded by a CLIP that does not belong to the model, with {vectors.shape[-1]} "
                    f"numbers a token where the model reads {width}. Connect the CLIP of the model's own checkpoint "
                    f"to the nodes that encode."
                )


def acting(conditions: Mapping[str, Sequence[Condition]], sigma: float) -> tuple[Condition, int] | None:
    """Of the conditionings that are tied to the relations the first that acts, and where their tokens begin in it.

    Args:
        conditions: of a guider while it samples.
        sigma: noise level.
    """
    return next(tied_conditions({name: _acting(listed, sigma) for name, listed in conditions.items()}), None)


def acting_alone(conditions: Sequence[Sequence[Condition] | None], sigma: float) -> Condition | None:
    """The conditioning of a forward, where one alone acts; none where several do.

    Args:
        conditions: the lists that the forward is given.
        sigma: noise level.
    """
    active = [one for listed in conditions if listed for one in _acting(listed, sigma)]
    return active[0] if len(active) == 1 else None


def _acting(listed: Sequence[Condition], sigma: float) -> list[Condition]:
    """Those of one list that a forward has a part for, though it may have no weight in the picture."""
    # Where a timestep range is set, ComfyUI has turned it into noise levels.
    in_range = [
        one for one in listed if _level(one, "timestep_end", 0.0) <= sigma <= _level(one, "timestep_start", torch.inf)
    ]
    covered = any(map(_covers, in_range))
    return [one for one in in_range if not (covered and _DEFAULT in one)]


def _level(condition: Condition, name: str, otherwise: float) -> float:
    """A bound of its timestep range, as ComfyUI compares it with noise levels: in their precision."""
    return float(torch.tensor(condition.get(name, otherwise), dtype=torch.float32))


def _covers(condition: Condition) -> bool:
    """Whether it acts on the whole picture, so that a default one of its list acts nowhere."""
    return not {_DEFAULT, "area", "mask"} & condition.keys() and condition.get("strength", 1.0) >= 1


def tied_conditions(conditions: Mapping[str, Sequence[Condition]]) -> Iterator[tuple[Condition, int]]:
    """The conditionings that are tied to the relations, each with where their tokens begin in it.

    Args:
        conditions: of a guider while it samples.
    """
    for name, listed in conditions.items():
        if name not in _NOT_POSITIVE:
            yield from ((one, one[_FIRST_TOKEN]) for one in listed if _FIRST_TOKEN in one)


def _has_weight(condition: Condition) -> bool:
    """Whether the picture has anything of what is predicted with it."""
    if _DEFAULT in condition:
        return True  # it has the weight that others leave it
    strength, mask = condition.get("strength", 1.0), condition.get("mask")
    if mask is not None:
        strength *= condition.get("mask_strength", 1.0)
    return strength != 0 and (mask is None or bool(mask.any()))


def _first_token(condition: Condition, scene: GroundedScene) -> int | None:
    """Where the scene's prompt begins among a conditioning's tokens; none where it is not in there."""
    vectors, encoded = condition.get("cross_attn"), scene.conditioning
    if vectors is None or encoded is None or vectors.shape[1] < encoded.shape[1]:
        return None
    carried = condition.get(RELATIONS_ENTRY)
    is_its = carried is not None and (carried.scene.prompt, carried.sequence) == (scene.scene.prompt, scene.sequence)
    if is_its and vectors[:, : encoded.shape[1]].any():  # else it was zeroed out, and nothing of the prompt is left
        return 0
    first = _offset(encoded, vectors)
    # What the model looks at there is not the conditioning's tokens one by one, so these cannot be shifted.
    return None if first and len(scene.sequence) != encoded.shape[1] else first


def _offset(part: Tensor, whole: Tensor) -> int | None:
    """Where the tokens of one conditioning begin in another, both (batch, tokens, width)."""
    if part.shape[-1] != whole.shape[-1]:
        return None
    part, whole = part[:1].float(), whole.to(part.device).float()
    near = _TOLERANCE * part.abs().max()
    begins = ((whole - part[:, :1]).abs().amax(dim=(0, 2)) <= near).nonzero().flatten().tolist()
    length = part.shape[1]
    return next(
        (
            first
            for first in begins
            if first + length <= whole.shape[1]
            and bool(((whole[:, first : first + length] - part).abs() <= near).all())
        ),
        None,
    )
