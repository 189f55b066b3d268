"""The benchmarks of the field: VISOR from its definition, GenEval and T2I-CompBench from their published files."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...detection.names import COCO_NAMES
from ...files.described import described, parse_json
from ...relations.relation import CARDINAL_RELATIONS, Relation
from ...relations.wording import with_article
from ...wording import brief, unencodable
from .prompt_files import suite_of_file
from .suite import ScenePrompt, Suite, evenly, stated

#: Four pictures of a prompt, ten for T2I-CompBench, from seed 42 on.
_FOUR_SEEDS, _TEN_SEEDS = tuple(range(42, 46)), tuple(range(42, 52))
_GENEVAL_RELATIONS = {relation.phrase.removeprefix("to the "): relation for relation in CARDINAL_RELATIONS}
_T2I_RELATIONS = {
    "on the left of": Relation.LEFT_OF,
    "on the right of": Relation.RIGHT_OF,
    "on the top of": Relation.ABOVE,
    "on the bottom of": Relation.BELOW,
    "next to": Relation.NEAR,
    "near": Relation.NEAR,
    "on side of": Relation.NEAR,
}
_T2I_PROMPT = re.compile(rf"an? (?P<subject>.+?) (?P<relation>{'|'.join(_T2I_RELATIONS)}) an? (?P<object>.+?)\.?")


def visor_suite(count: int | None = None, seed: int = 0) -> Suite:
    """VISOR (Gokhale et al. 2022, section 3): every ordered pair of COCO's names in each of the four relations.

    Args:
        count: of a subset, with the four relations equally often; all 25,280 when not given.
        seed: of the subset.

    Raises:
        ValueError: there are not so many.
    """
    prompts = [
        ScenePrompt(((a, relation, b),), f"{with_article(a)} {relation.phrase} {with_article(b)}")
        for pair in itertools.combinations(COCO_NAMES, 2)
        for relation in CARDINAL_RELATIONS
        for a, b in (pair, pair[::-1])
    ]
    if count is None:
        return Suite("visor", tuple(prompts), _FOUR_SEEDS)
    order = np.random.default_rng((seed, 0)).permutation(len(prompts)).tolist()
    return Suite(f"visor_{count}_{seed}", evenly(prompts, order, count), _FOUR_SEEDS)


@dataclass(frozen=True)
class _GenEvalObject:
    """What GenEval wants to be found; ``position``: its relation to the object of that number."""

    name: str
    position: tuple[str, int] | None = None


@dataclass(frozen=True)
class _GenEvalLine:
    """A line of GenEval's file, as far as it is read for every tag."""

    tag: str
    prompt: str
    include: tuple[Any, ...]


def geneval_suite(file: Path) -> Suite:
    """The prompts with the tag ``position`` of GenEval's ``evaluation_metadata.jsonl`` (Ghosh et al. 2023).

    Raises:
        ValueError, OSError: as ``suite_of_file``; a line is none of that file's.
    """
    wanted = "a line with a prompt with the tag position"
    return suite_of_file(file, _geneval_prompt, "geneval_position", _FOUR_SEEDS, wanted)


def _geneval_prompt(line: str, source: str) -> ScenePrompt | None:
    """What a line asks for; nothing where it has another tag.

    Args:
        source: the line's place, for errors.

    Raises:
        ValueError: it is none of GenEval's.
    """
    entry = described(_GenEvalLine, parse_json(line, source), source, strict=False)
    if entry.tag != "position":
        return None
    # "class" can be no field's name in Python.
    named = [{**part, "name": part.get("class")} if isinstance(part, dict) else part for part in entry.include]
    wanted = [described(_GenEvalObject, part, f"{source}: include", strict=False) for part in named]
    if len(wanted) == 2 and wanted[0].position is None and wanted[1].position is not None:
        phrase, target = wanted[1].position
        if target == 0 and phrase in _GENEVAL_RELATIONS:
            for text in (entry.prompt, *(one.name for one in wanted)):
                if complaint := unencodable(text):
                    raise ValueError(f"{source}: {complaint}")
            return stated([(wanted[1].name, _GENEVAL_RELATIONS[phrase], wanted[0].name)], entry.prompt, source)
    raise ValueError(
        f"{source}: two objects to include were expected, the second with a position to the first, one of "
        f"{', '.join(_GENEVAL_RELATIONS)}; not {brief(entry.include)}."
    )


def t2i_compbench_suite(file: Path) -> Suite:
    """The prompts of T2I-CompBench's ``spatial_val.txt`` (Huang et al. 2023): one a line.

    Raises:
        ValueError, OSError: as ``suite_of_file``; a line is no such prompt.
    """
    return suite_of_file(file, _t2i_prompt, "t2i_compbench_spatial", _TEN_SEEDS)


def _t2i_prompt(line: str, source: str) -> ScenePrompt:
    found = _T2I_PROMPT.fullmatch(line)
    if found is None:
        raise ValueError(
            f"{source}: two objects with {', '.join(_T2I_RELATIONS)} between them were expected, not {brief(line)}."
        )
    return stated([(found["subject"], _T2I_RELATIONS[found["relation"]], found["object"])], line, source)
