"""Prompts on which the miniature is measured."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..relations import CARDINAL_RELATIONS, Relation, with_article
from .world import MAX_OBJECTS, sample_objects, unseen_pairs


@dataclass(frozen=True)
class ScenePrompt:
    """A prompt and what it asks for: (subject, relation, object), in the order of the text."""

    relations: tuple[tuple[str, Relation, str], ...]

    @property
    def text(self) -> str:
        """Such as "a photo of a dog above a cat to the left of a car and a bus below a bird".

        A relation whose subject is the object of the one before goes on with its chain.
        """
        words, last = "a photo of", None
        for subject, relation, object in self.relations:
            if subject != last:
                words += f"{' and' if last else ''} {with_article(subject)}"
            words += f" {relation.phrase} {with_article(object)}"
            last = object
        return words

    @property
    def objects(self) -> tuple[str, ...]:
        """Their names, each once."""
        return tuple(dict.fromkeys(name for subject, _, object in self.relations for name in (subject, object)))


def unseen_pair_prompts(count: int, seed: int, relations: Sequence[Relation] = CARDINAL_RELATIONS) -> list[ScenePrompt]:
    """Prompts of two objects that training never shows together, the relations equally often.

    Args:
        count: at most 96 for each relation: 48 pairs in both orders. A multiple of the number of relations
            keeps them even.

    Raises:
        ValueError: more prompts are asked for than there are.
    """
    rng = np.random.default_rng((seed, 2))
    ordered = [pair for pair in unseen_pairs() for pair in (pair, pair[::-1])]
    decks = [[(a, relation, b) for a, b in _shuffled(rng, ordered)] for relation in relations]
    available = [triplet for group in zip(*decks) for triplet in group]
    if count > len(available):
        raise ValueError(f"There are {len(available)} prompts of unseen pairs; {count} were asked for.")
    return [ScenePrompt((triplet,)) for triplet in available[:count]]


def chained_prompts(count: int, chains: Sequence[int], seed: int) -> list[ScenePrompt]:
    """Prompts with random relations, of objects that training does show together.

    Args:
        chains: how many objects each chain has, at least 2: (3,) for "A … B … C", (2, 3) for
            "A … B and C … D … E". A picture of the miniature's world holds five in all.

    Raises:
        ValueError: a chain is of one object, or they are too many.
    """
    if min(chains) < 2 or sum(chains) > MAX_OBJECTS:
        raise ValueError(f"Chains of 2 objects or more, {MAX_OBJECTS} in all at most, were expected, not {chains}.")
    rng = np.random.default_rng((seed, *chains))
    ends = list(itertools.accumulate(chains))
    prompts = []
    for _ in range(count):
        names = sample_objects(rng, ends[-1])
        pairs = [pair for end, size in zip(ends, chains) for pair in itertools.pairwise(names[end - size : end])]
        chosen = rng.integers(len(CARDINAL_RELATIONS), size=len(pairs))
        prompts.append(ScenePrompt(tuple((a, CARDINAL_RELATIONS[index], b) for (a, b), index in zip(pairs, chosen))))
    return prompts


def _shuffled(rng: np.random.Generator, items: list) -> list:
    return [items[index] for index in rng.permutation(len(items))]
