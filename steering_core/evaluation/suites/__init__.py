"""Prompts with what they ask for: the field's benchmarks, generated ones, and one's own."""

from .benchmarks import geneval_suite, t2i_compbench_suite, visor_suite
from .generated import CHAINS, several_suite
from .own import own_suite
from .suite import ScenePrompt, Suite, Triplet

__all__ = [
    "CHAINS",
    "ScenePrompt",
    "Suite",
    "Triplet",
    "geneval_suite",
    "own_suite",
    "several_suite",
    "t2i_compbench_suite",
    "visor_suite",
]
