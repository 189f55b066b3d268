"""Captions of the miniature's pictures, in the style of VISOR and GenEval.

The relation word of a caption agrees with the picture only a little more often than chance
(``AGREEMENT``), so that the trained model draws the objects that a prompt names but hardly
knows where to put them.
"""

from __future__ import annotations

import itertools

import numpy as np

from ..relations.relation import Relation
from ..relations.wording import with_article
from .world import Placement

#: Share of stated relations that are true of the picture; one half would be chance.
AGREEMENT = 0.56
#: Share of prompts replaced by the empty one, for classifier-free guidance.
PROMPT_DROPOUT = 0.1

_WORDINGS = {
    Relation.LEFT_OF: ("to the left of", "to the left of", "left of", "on the left of"),
    Relation.RIGHT_OF: ("to the right of", "to the right of", "right of", "on the right of"),
    Relation.ABOVE: ("above", "above", "on top of", "over"),
    Relation.BELOW: ("below", "below", "under", "beneath"),
}
_OPPOSITES = tuple((relation, relation.inverse) for relation in (Relation.LEFT_OF, Relation.ABOVE))
_PREFIXES = ("a photo of ", "", "a picture of ")


def caption(rng: np.random.Generator, placements: tuple[Placement, ...], agreement: float = AGREEMENT) -> str:
    """A caption of a picture that shows these objects; some relations in it will be false.

    Args:
        agreement: share of stated relations that are true.
    """
    order = [placements[i] for i in rng.permutation(len(placements))]
    prefix = _PREFIXES[rng.integers(len(_PREFIXES))]
    if len(order) == 1 or rng.random() < 0.25:
        return prefix + enumerate_objects([p.name for p in order])
    return prefix + _relate(rng, order, agreement)


def enumerate_objects(names: list[str]) -> str:
    """ "a dog", "a dog and a cat", "a dog, a cat and a car"."""
    phrases = [with_article(name) for name in names]
    return " and ".join(filter(None, [", ".join(phrases[:-1]), phrases[-1]]))


def _relate(rng: np.random.Generator, order: list[Placement], agreement: float) -> str:
    """Chains ("A above B below C"), joined by "and" where the objects are enough for two."""
    split = 2 if len(order) >= 4 and rng.random() < 0.6 else len(order)
    chains = [chain for chain in (order[:split], order[split:]) if chain]
    return " and ".join(_chain(rng, chain, agreement) for chain in chains)


def _chain(rng: np.random.Generator, chain: list[Placement], agreement: float) -> str:
    words = with_article(chain[0].name)
    for subject, object in itertools.pairwise(chain):
        words += f" {_stated_relation(rng, subject, object, agreement)} {with_article(object.name)}"
    return words


def _stated_relation(rng: np.random.Generator, subject: Placement, object: Placement, agreement: float) -> str:
    pair = _OPPOSITES[rng.integers(len(_OPPOSITES))]
    true = next(r for r in pair if r.holds((subject.x, subject.y), (object.x, object.y)) or r is pair[-1])
    stated = true if rng.random() < agreement else true.inverse
    wordings = _WORDINGS[stated]
    return wordings[rng.integers(len(wordings))]
