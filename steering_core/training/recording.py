"""Recording of token maps from labelled pictures, by dual inversion (Learn-to-Steer).

Every picture is inverted once with a prompt that states its true relation and at least once with
one that states a false one. All records carry the true relation: so a classifier that reads the
words in the maps in place of the picture is wrong as often as right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..classifier import MapLayout
from ..layers import AttentionLayer
from ..relations.relation import CARDINAL_RELATIONS, Relation
from ..relations.scene import Scene, relation_scene
from ..token_maps import TokenMaps
from ..tokens import Token, ground
from ..wording import brief
from .inversion import invert, psnr, reconstruct
from .sources import Example

INVERSION, NOISE = "inversion", "noise"
#: Into so many the schedules of the models divide the diffusion time.
MOST_STEPS = 1000
#: In dB: what is left of pictures in 16 bits.
_MOST_PSNR = 100

Outcome = TypeVar("Outcome")


@dataclass(frozen=True)
class NoiseLevel:
    """A step of the model's schedule: sigma of the latent, and the share of the diffusion time done there."""

    sigma: float
    progress: float


class PromptedModel(Protocol):
    """A text-to-image model with a batch of prompts, one for each latent of a batch."""

    def derivative(self, latent: Tensor, level: NoiseLevel) -> Tensor:
        """See ``inversion.Derivative``; without classifier-free guidance."""

    def noised(self, latent: Tensor, noise: Tensor, level: NoiseLevel) -> Tensor:
        """Clean latents with noise of variance 1 brought to a level."""

    def token_maps(
        self, latent: Tensor, level: NoiseLevel, tokens: Sequence[Sequence[int]], layers: Sequence[str]
    ) -> TokenMaps:
        """Of the wanted layers, for objects given by the indices of their tokens."""


class RecordableModel(Protocol):
    """What recording asks of a text-to-image model."""

    @property
    def hash(self) -> str:
        """Of its weights."""

    @property
    def network(self) -> tuple[AttentionLayer, ...]:
        """All attention layers, in running order."""

    def noise_levels(self, steps: int) -> list[NoiseLevel]:
        """Of a deterministic sampler with so many steps, from the least noise to the most."""

    def tokens(self, prompt: str) -> list[Token]:
        """Of the conditioning sequence."""

    def prepared(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Pictures as the model is given them, (batch, 3, H, W) in [0, 1]."""

    def decode(self, latent: Tensor) -> Tensor:
        """Clean latents to pictures (batch, 3, H, W) in [0, 1]."""

    def prompted(
        self,
        pictures: Sequence[Image.Image],
        prompts: Sequence[str],
        work: Callable[[Tensor, PromptedModel], Outcome],
    ) -> Outcome:
        """What ``work`` gives for the clean latents of the pictures, (prompts, channels, H, W).

        Args:
            prompts: as many for each picture, one picture after the other.
        """


def first_half(steps: int) -> tuple[int, ...]:
    """Of so many steps those that are recorded where none are named: one at least."""
    return tuple(range(max(1, steps // 2)))


@dataclass(frozen=True)
class RecordingSettings:
    """How pictures become records.

    Attributes:
        layers: whose maps are read, in the order of the stack.
        map_size: side that every map is resized to.
        steps: of the inversion; the parts of the diffusion time are counted in these.
        recorded: numbers of the recorded steps, 0 where the noise is strongest, ascending.
        method: ``inversion``, or ``noise``: the clean latent with fresh noise in it.
        refinements: of the inversion's fixed-point iteration.
        least_psnr: a picture is left out where the sampler comes back to it, from one of its inversions, with less
            than this peak signal-to-noise ratio in dB; 0 leaves out none. Noise that was put in tells nothing of it.
        false_prompts: how many false relations each picture is inverted with, 1 to 3; without
            dual inversion 0.
        seed: of the false relations and the noise.

    Raises:
        ValueError: a setting is outside its range.
    """

    layers: tuple[str, ...]
    map_size: int = 16
    steps: int = 25
    recorded: tuple[int, ...] = first_half(steps)
    method: str = INVERSION
    refinements: int = 1
    least_psnr: float = 20.0
    false_prompts: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in (INVERSION, NOISE):
            raise ValueError(f"method must be {INVERSION} or {NOISE}, not {brief(self.method)}.")
        if not 1 <= self.steps <= MOST_STEPS:
            raise ValueError(f"steps must be 1 to {MOST_STEPS}, not {self.steps}.")
        if not self.recorded or list(self.recorded) != sorted(set(self.recorded)):
            raise ValueError(f"recorded must be ascending numbers of steps, not {brief(self.recorded)}.")
        if not 0 <= self.recorded[0] <= self.recorded[-1] < self.steps:
            raise ValueError(f"recorded must lie in 0 to {self.steps - 1}, not {brief(self.recorded)}.")
        if not 0 <= self.false_prompts < len(CARDINAL_RELATIONS):
            raise ValueError(f"false_prompts must lie in 0 to {len(CARDINAL_RELATIONS) - 1}, not {self.false_prompts}.")
        if self.refinements < 0:
            raise ValueError(f"refinements must be 0 or more, not {self.refinements}.")
        if not 0 <= self.least_psnr <= _MOST_PSNR:
            raise ValueError(f"least_psnr must lie in 0 to {_MOST_PSNR}, not {self.least_psnr}.")

    def layout(self, network: tuple[AttentionLayer, ...]) -> MapLayout:
        """What the records of a network's maps hold."""
        return MapLayout(network, self.layers, self.map_size, total=float(self.map_size**2))


@dataclass(frozen=True)
class Record:
    """The maps of one picture under one prompt.

    Attributes:
        key: of the picture, with the number of the prompt.
        subject, object: names.
        relation: the true one, which the picture shows.
        stated: the one in the prompt.
        maps: (recorded steps, 2, maps, map_size, map_size) in float16, as in the settings' layout.
    """

    key: str
    subject: str
    object: str
    relation: Relation
    stated: Relation
    maps: Tensor


@torch.no_grad()
def record(
    model: RecordableModel, examples: Sequence[Example], settings: RecordingSettings, first: int
) -> Iterator[Record]:
    """The records of a few pictures, which are worked on as one batch; of those that inversion comes back to.

    Args:
        first: the first example's number in its source, which decides the false relations and the noise.

    Raises:
        PhraseNotFoundError: a name has no tokens of its own in its prompt.
    """
    stated = [_stated_relations(example.relation, settings, first + index) for index, example in enumerate(examples)]
    rows = [(example, relation) for example, relations in zip(examples, stated) for relation in relations]
    scenes = [relation_scene(example.subject, relation, example.object) for example, relation in rows]
    tokens = [indices for scene in scenes for indices in _pair_tokens(model, scene)]

    def work(clean: Tensor, prompted: PromptedModel) -> tuple[Tensor, Tensor | None]:
        return _recorded_maps(model, prompted, clean, tokens, settings, first)

    pictures = [example.picture for example in examples]
    maps, drawn = model.prompted(pictures, [scene.prompt for scene in scenes], work)
    kept = [True] * len(examples) if drawn is None else _well_inverted(model, pictures, drawn, settings.least_psnr)
    for row, (example, relation) in enumerate(rows):
        if not kept[row // (1 + settings.false_prompts)]:
            continue
        key = f"{example.key}-{CARDINAL_RELATIONS.index(relation)}"
        yield Record(key, example.subject, example.object, example.relation, relation, maps[row])


def _recorded_maps(
    model: RecordableModel,
    prompted: PromptedModel,
    clean: Tensor,
    tokens: Sequence[Sequence[int]],
    settings: RecordingSettings,
    first: int,
) -> tuple[Tensor, Tensor | None]:
    """Maps, and the clean latents that the inverted ones lead back to; none of those where nothing asks for them.

    Returns:
        (latents, recorded steps, 2, maps, map_size, map_size) in float16 on the CPU, and (latents, …).
    """
    levels = model.noise_levels(settings.steps)
    sigmas = [level.sigma for level in levels]  # of which neighbours may be equal
    by_sigma = dict(zip(sigmas, levels))

    def derivative(latent: Tensor, sigma: float) -> Tensor:
        return prompted.derivative(latent, by_sigma[sigma])

    if settings.method == INVERSION:
        latents: Iterator[Tensor] = invert(derivative, clean, sigmas, settings.refinements)
    else:
        each = 1 + settings.false_prompts
        noise = torch.stack(
            [noise_of(clean.shape[1:], settings.seed, first + row // each) for row in range(len(clean))]
        )
        latents = (prompted.noised(clean, noise.to(clean), level) for level in levels)
    layout = settings.layout(model.network)
    maps: dict[int, Tensor] = {}
    for number, level, latent in zip(reversed(range(settings.steps)), levels, latents):
        if number in settings.recorded:
            seen = prompted.token_maps(latent, level, tokens, settings.layers)
            # Every image has been read for the objects of all prompts; its own are two of them.
            own = [layout.stack(_of_image(seen, row), (2 * row, 2 * row + 1)) for row in range(len(clean))]
            maps[number] = torch.cat(own).half().cpu()
        if len(maps) == len(settings.recorded):
            break
    is_checked = settings.method == INVERSION and settings.least_psnr > 0
    drawn = reconstruct(derivative, latent, sigmas[: settings.steps - number]) if is_checked else None
    return torch.stack([maps[number] for number in settings.recorded], dim=1), drawn


def _well_inverted(
    model: RecordableModel, pictures: Sequence[Image.Image], drawn: Tensor, least_psnr: float
) -> list[bool]:
    """For each picture, whether all of its inversions lead back to it.

    Args:
        drawn: latents, as many for each picture, one picture after the other.
    """
    originals = model.prepared(pictures).repeat_interleave(len(drawn) // len(pictures), dim=0)
    ratios = psnr(model.decode(drawn).to(originals), originals).view(len(pictures), -1)
    return (ratios >= least_psnr).all(dim=1).tolist()


def _stated_relations(true: Relation, settings: RecordingSettings, index: int) -> list[Relation]:
    """The true relation and so many false ones."""
    rng = np.random.default_rng((settings.seed, 8, index))
    false = [relation for relation in CARDINAL_RELATIONS if relation is not true]
    return [true, *(false[position] for position in rng.permutation(len(false))[: settings.false_prompts])]


def noise_of(shape: Sequence[int], seed: int, index: int) -> Tensor:
    """The noise of a source's ``index``-th picture, the same under all of its prompts."""
    return torch.from_numpy(np.random.default_rng((seed, 9, index)).standard_normal(shape, dtype=np.float32))


def _pair_tokens(model: RecordableModel, scene: Scene) -> tuple[tuple[int, ...], ...]:
    grounded = ground(scene, model.tokens(scene.prompt))
    return tuple(grounded.tokens[end] for end in grounded.relations[0].ends)


def _of_image(maps: TokenMaps, row: int) -> TokenMaps:
    return TokenMaps({name: layer[row : row + 1] for name, layer in maps.layers.items()})
