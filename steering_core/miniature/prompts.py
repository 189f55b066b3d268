"""Prompts on which the miniature is measured."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ..evaluation.suites import ScenePrompt
from ..evaluation.suites.suite import chained
from ..relations.place import Place
from ..relations.relation import CARDINAL_RELATIONS, Relation
from .world import MAX_OBJECTS, OBJECTS, is_unseen_pair, sample_objects, unseen_pairs


def unseen_pair_prompts(count: int, seed: int, relations: Sequence[Relation] = CARDINAL_RELATIONS) -> list[ScenePrompt]:
    """Prompts of two objects that training never shows together, the relations equally often.

    Args:
        count: at most 96 for each relation: 48 pairs in both orders. A multiple of the number of relations
            keeps them even.

    Raises:
        ValueError: more prompts are asked for than there are.
    """
    return _pair_prompts(unseen_pairs(), count, np.random.default_rng((seed, 2)), relations)


def seen_pair_prompts(count: int, seed: int) -> list[ScenePrompt]:
    """Prompts of two objects that training does show together, the four relations equally often.

    Args:
        count: at most 1,824: 228 pairs in both orders and four relations.

    Raises:
        ValueError: more prompts are asked for than there are.
    """
    seen = [pair for pair in itertools.combinations(OBJECTS, 2) if not is_unseen_pair(*pair)]
    return _pair_prompts(seen, count, np.random.default_rng((seed, 4)), CARDINAL_RELATIONS)


def _pair_prompts(
    pairs: Sequence[tuple[str, str]], count: int, rng: np.random.Generator, relations: Sequence[Relation]
) -> list[ScenePrompt]:
    ordered = [pair for pair in pairs for pair in (pair, pair[::-1])]
    decks = [[(a, relation, b) for a, b in _shuffled(rng, ordered)] for relation in relations]
    available = [triplet for group in zip(*decks) for triplet in group]
    if count > len(available):
        raise ValueError(f"There are {len(available)} prompts of such pairs; {count} were asked for.")
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
    prompts = []
    for _ in range(count):
        names = sample_objects(rng, sum(chains))
        chosen = rng.integers(len(CARDINAL_RELATIONS), size=len(names) - len(chains))
        prompts.append(ScenePrompt(chained(names, chains, (CARDINAL_RELATIONS[index] for index in chosen))))
    return prompts


def place_prompts(count: int, seed: int) -> list[ScenePrompt]:
    """Prompts of two objects, which training does show together, each at a place of its own in the picture.

    Args:
        count: at most 72, all ordered pairs of places.

    Raises:
        ValueError: more prompts are asked for than there are.
    """
    rng = np.random.default_rng((seed, 3))
    pairs = _shuffled(rng, list(itertools.permutations(Place, 2)))
    if count > len(pairs):
        raise ValueError(f"There are {len(pairs)} prompts of places; {count} were asked for.")
    of_prompts = [zip(sample_objects(rng, 2), pair) for pair in pairs[:count]]
    return [ScenePrompt(tuple((name, place, None) for name, place in placed)) for placed in of_prompts]


def _shuffled(rng: np.random.Generator, items: list) -> list:
    return [items[index] for index in rng.permutation(len(items))]
