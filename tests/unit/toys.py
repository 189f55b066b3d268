"""Scenes and probes that need no model."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import torch
from torch.overrides import TorchFunctionMode

from steering_core.relations.relation import Relation
from steering_core.relations.scene import Scene
from steering_core.relations.statement import Span, SpatialRelation
from steering_core.schedule import SamplingStep
from steering_core.steering import Steering
from steering_core.token_maps import TokenMaps
from steering_core.tokens import GroundedScene, Token, ground

PROMPT = "a photo of a giraffe above an airplane"


def pair_scene(*relations: Relation) -> GroundedScene:
    """Two objects, a and b, with the relations between them."""
    a, b = Span("a", 0, 1), Span("b", 2, 3)
    scene = Scene("a b", tuple(SpatialRelation(a, relation, b) for relation in relations))
    return ground(scene, [Token(0, ""), Token(1, "a"), Token(2, "b")])


def row_scene(objects: int) -> GroundedScene:
    """So many objects of one letter each, from left to right."""
    ends = [Span(chr(ord("a") + at), 2 * at, 2 * at + 1) for at in range(objects)]
    relations = tuple(SpatialRelation(one, Relation.LEFT_OF, other) for one, other in pairwise(ends))
    tokens = [Token(0, ""), *(Token(1 + at, end.text) for at, end in enumerate(ends))]
    return ground(Scene(" ".join(end.text for end in ends), relations), tokens)


def toy_probe(latent: torch.Tensor) -> TokenMaps:
    """Two objects whose maps are the softmax of the latent's first two channels: a model's stand-in."""
    maps = latent[:, :2].flatten(2).softmax(dim=-1).view(latent.shape[0], 2, 1, *latent.shape[-2:])
    return TokenMaps({"up.0": maps})


def descended(run: Steering, latent, step: SamplingStep, probe=toy_probe, noise_level=1.0) -> torch.Tensor:
    """The latent after a step's descent, and after the look at it, as a sampler does them."""
    moved = run.descend(latent, probe, noise_level, step)
    if run.is_to_look_after(step):
        run.look_after(moved, probe, step)
    return moved


class Calls(TorchFunctionMode):
    """Counts the torch functions that are called within it, by their names."""

    def __init__(self):
        super().__init__()
        self.count = Counter()

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count[func.__name__] += 1
        return func(*args, **(kwargs or {}))
