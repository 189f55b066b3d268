"""Prompts with several relations, in the manner of PosEval (Stitch, arXiv 2509.26644), made with a seed."""

from __future__ import annotations

import numpy as np

from ...detection.names import COCO_NAMES
from ...relations.relation import CARDINAL_RELATIONS
from .suite import ScenePrompt, Suite, chained

#: Objects of the chains, by the names of their suites: three objects and two relations …
CHAINS: dict[str, tuple[int, ...]] = {
    "3_objects_2_relations": (3,),
    "4_objects_2_relations": (2, 2),
    "4_objects_3_relations": (4,),
    "5_objects_3_relations": (2, 3),
}
_SEEDS = tuple(range(42, 46))


def several_suite(kind: str, count: int, seed: int = 0) -> Suite:
    """So many prompts of a kind, of different objects of COCO, each relation one of four with equal chance.

    Args:
        kind: a key of ``CHAINS``.
    """
    rng = np.random.default_rng((seed, 1, *CHAINS[kind]))
    prompts: dict[str, ScenePrompt] = {}
    while len(prompts) < count:
        names = [COCO_NAMES[at] for at in rng.permutation(len(COCO_NAMES))[: sum(CHAINS[kind])]]
        chosen = rng.integers(len(CARDINAL_RELATIONS), size=len(names) - len(CHAINS[kind]))
        relations = (CARDINAL_RELATIONS[at] for at in chosen)
        prompt = ScenePrompt(chained(names, CHAINS[kind], relations))
        prompts.setdefault(prompt.text, prompt)
    return Suite(f"{kind}_{count}_{seed}", tuple(prompts.values()), _SEEDS)
