"""Prompts in ComfyUI: their tokens, their relations, and the conditioning that these belong to."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from comfy.sd import CLIP
from comfy.sd1_clip import SDTokenizer
from torch import Tensor

from ...parser import parse
from ...relations import Scene
from ...steering import SteeringError
from ...tokens import GroundedScene, Token, ground, token_texts
from ...wording import shortened
from .encoders import Encoders, encoders_of

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

#: What ComfyUI's nodes hand on as CONDITIONING.
Conditioning = list[list[Any]]
#: One conditioning of a run, as a guider holds it.
Condition = dict[str, Any]


def encode_prompt(clip: CLIP, prompt: str, scene: Scene | None = None) -> tuple[Conditioning, GroundedScene]:
    """The conditioning of a prompt as CLIP Text Encode makes it, and the relations that it carries.

    Args:
        scene: relations made by other means than reading the prompt.

    Raises:
        PhraseNotFoundError: a phrase has no tokens.
        ValueError: see ``prompt_tokens``.
    """
    encoders, tokens = encoders_of(clip), clip.tokenize(prompt)
    conditioning = clip.encode_from_tokens_scheduled(tokens)
    scene = scene or read_prompt(prompt)
    grounded = ground(scene, _tokens(clip, encoders, prompt, tokens, lambda: conditioning[0]))
    grounded = replace(grounded, conditioning=conditioning[0][0])
    return [[vectors, {**extra, RELATIONS_ENTRY: grounded}] for vectors, extra in conditioning], grounded


def ground_prompt(clip: CLIP, prompt: str, scene: Scene | None = None) -> GroundedScene:
    """The relations of ``encode_prompt``."""
    return encode_prompt(clip, prompt, scene)[1]


def read_prompt(prompt: str) -> Scene:
    """The relations that a prompt states, but for its textual inversions (``without_embeddings``)."""
    read = without_embeddings(prompt)
    return replace(parse(read), written=prompt if read != prompt else "")


def without_embeddings(prompt: str) -> str:
    """A prompt with blanks in place of textual inversions, whose names are no words of it."""
    return re.sub(r"embedding:\S+", lambda found: " " * len(found.group()), prompt)


def prompt_tokens(clip: CLIP, prompt: str) -> list[Token]:
    """The tokens of a prompt in the order of the text keys that the model attends to.

    Raises:
        ValueError: the model has no text encoder, or one whose tokens are not known here.
    """
    encoders, tokens = encoders_of(clip), clip.tokenize(prompt)
    encoded = cache(lambda: clip.encode_from_tokens_scheduled(tokens)[0])
    return _tokens(clip, encoders, prompt, tokens, encoded)


def _tokens(
    clip: CLIP,
    encoders: Encoders,
    prompt: str,
    whole: Mapping[str, Any],
    encoded: Callable[[], tuple[Tensor, dict[str, Any]]],
) -> list[Token]:
    """Each encoder's tokens that come into the conditioning, those of the prompt with their texts.

    Args:
        whole: the prompt as ``clip.tokenize`` gives it.
        encoded: the conditioning's vectors and its other entries, asked for only where an encoder's tokens are cut.
    """
    other = clip.tokenize(_unlike(prompt))
    tokens: list[Token] = []
    for number, segment in enumerate(encoders.loaded(clip)):
        key = segment.key or clip.tokenizer.clip_name
        ids, others = ([entry[0] for chunk in told[key] for entry in chunk] for told in (whole, other))
        texts = _prompt_texts(segment.tokenizer_of(clip), ids, others)
        kept = segment.kept(len(ids), segment.length(*encoded())) if segment.kept else range(len(ids))
        tokens += [Token(len(tokens) + index, texts[place], segment=number) for index, place in enumerate(kept)]
    return tokens


def _unlike(prompt: str) -> str:
    """A prompt whose first and last letter are others: what the tokens of both share is the template's."""
    return next(letter for letter in "012" if letter not in (prompt[:1], prompt[-1:]))


def _prompt_texts(tokenizer: SDTokenizer, ids: Sequence[Any], others: Sequence[Any]) -> list[str]:
    """The text of each token of the prompt; none for start, end, padding, the template's and embeddings.

    Args:
        ids: of the prompt in its template. An embedding ("embedding:name") stands among them as a tensor.
        others: of another prompt in the same template.
    """
    special = {tokenizer.start_token, tokenizer.end_token, tokenizer.pad_token}
    told, other = (
        [(index, token) for index, token in enumerate(listed) if isinstance(token, int) and token not in special]
        for listed in (ids, others)
    )
    shortest = min(len(told), len(other))
    before = _shared(told, other, shortest)
    after = _shared(told[::-1], other[::-1], shortest - before)
    own = told[before : len(told) - after]
    decode = tokenizer.tokenizer.decode
    texts = token_texts([token for _, token in own], lambda part: decode(part, skip_special_tokens=True))
    by_index = {index: text for (index, _), text in zip(own, texts)}
    return [by_index.get(index, "") for index in range(len(ids))]


def _shared(some: Sequence[tuple[int, int]], others: Sequence[tuple[int, int]], most: int) -> int:
    """How many tokens at the beginning of both are the same."""
    pairs = zip(some[:most], others)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0][1] == pair[1][1], pairs))


def carried_relations(conditions: Mapping[str, Sequence[Condition]]) -> GroundedScene:
    """The relations that the conditionings of a guider carry; of several prompts, those of the one that has any.

    Raises:
        SteeringError: none carries any, or several carry relations that differ.
    """
    found = [
        condition[RELATIONS_ENTRY]
        for name, listed in conditions.items()
        if name not in _NOT_POSITIVE
        for condition in listed
        if RELATIONS_ENTRY in condition
    ]
    if not found:
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
    """Mark, among the conditionings of a guider, those whose tokens the relations count.

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
                condition[_FIRST_TOKEN] = first
    if tied_to <= _NOT_POSITIVE.keys():
        prompt = shortened(scene.scene.as_written, _PROMPT_SHOWN)
        if tied_to:
            where = " and ".join(named for name, named in _NOT_POSITIVE.items() if name in tied_to)
            raise SteeringError(
                f'positive: the prompt of the relations, "{prompt}", is connected as the {where} conditioning. Swap '
                f"the two."
            )
        raise SteeringError(
            f'positive: it was not encoded from the prompt of the relations, "{prompt}". Connect the conditioning of '
            f"the Spatial Relation Parser that the relations come from, or a CLIP Text Encode of the same text and "
            f"CLIP, to the sampler's positive input."
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


def _acting(listed: Sequence[Condition], sigma: float) -> list[Condition]:
    """Those of one list that act somewhere in the picture."""
    # Where a timestep range is set, ComfyUI has turned it into noise levels.
    in_range = [one for one in listed if one.get("timestep_end", 0.0) <= sigma <= one.get("timestep_start", torch.inf)]
    covered = any(map(_covers, in_range))
    return [one for one in in_range if not (covered and _DEFAULT in one)]


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
