"""Prompts on which the miniature is measured."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from ..relations import CARDINAL_RELATIONS, Relation, with_article
from .world import sample_objects, unseen_pairs


@dataclass(frozen=True)
class ScenePrompt:
    """A prompt and what it asks for: each relation's object is the next one's subject."""

    relations: tuple[tuple[str, Relation, str], ...]

    @property
    def text(self) -> str:
        """Such as "a photo of a dog above a cat to the left of a car"."""
        words = f"a photo of {with_article(self.relations[0][0])}"
        for _, relation, object in self.relations:
            words += f" {relation.phrase} {with_article(object)}"
        return words


def unseen_pair_prompts(count: int, seed: int) -> list[ScenePrompt]:
    """Prompts of two objects that training never shows together, the four relations equally often.

    Args:
        count: at most 384: 48 pairs in both orders with four relations. A multiple of four keeps the
            relations even.

    Raises:
        ValueError: more prompts are asked for than there are.
    """
    rng = np.random.default_rng((seed, 2))
    ordered = [pair for pair in unseen_pairs() for pair in (pair, pair[::-1])]
    decks = [[(a, relation, b) for a, b in _shuffled(rng, ordered)] for relation in CARDINAL_RELATIONS]
    available = [triplet for group in zip(*decks) for triplet in group]
    if count > len(available):
        raise ValueError(f"There are {len(available)} prompts of unseen pairs; {count} were asked for.")
    return [ScenePrompt((triplet,)) for triplet in available[:count]]


def two_relation_prompts(count: int, seed: int) -> list[ScenePrompt]:
    """Prompts "A … B … C" with two random relations, of objects that training does show together."""
    rng = np.random.default_rng((seed, 3))
    prompts = []
    for _ in range(count):
        names = sample_objects(rng, 3)
        chosen = rng.integers(len(CARDINAL_RELATIONS), size=2)
        relations = [CARDINAL_RELATIONS[index] for index in chosen]
        prompts.append(ScenePrompt(tuple((a, r, b) for (a, b), r in zip(itertools.pairwise(names), relations))))
    return prompts


def _shuffled(rng: np.random.Generator, items: list) -> list:
    return [items[index] for index in rng.permutation(len(items))]
