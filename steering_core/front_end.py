"""What the pack's front end asks of its server, as JSON: what a prompt says, and the words for it."""

from __future__ import annotations

from typing import Any

from .object_names import UNSPACED, described_names
from .parser import objects, parse
from .relations.named import numbered
from .relations.place import Place
from .relations.relation import Relation
from .relations.scene import Scene

#: Most letters of an object's name that are of a script which sets no words apart. What is longer and takes part in no
#: relation is taken for a clause, whose objects a person names by hand.
_LONGEST_UNSPACED = 6


def prompt_as_json(prompt: str, scene: Scene | None = None) -> dict[str, Any]:
    """What a front end needs of a prompt, as JSON: its objects but what is rather a clause, where these stand in it,
    its ``described_names``, its relations by the objects' positions, and what was read and is not steered, in words.

    The object of a place is null.

    Args:
        scene: relations of the prompt that were made by other means than reading it.

    Raises:
        TypeError: the prompt is not a string.
    """
    scene = scene or parse(prompt)
    steered = {end for relation in scene.relations for end in relation.ends}
    named = {
        span: one for span, one in numbered(objects(prompt)).items() if span in steered or not _is_clause(one.name)
    }
    positions = {span: position for position, span in enumerate(named)}
    return {
        "objects": [one._asdict() for one in named.values()],
        "stands": [[_letters(prompt[: span.start]), _letters(prompt[: span.end])] for span in named],
        "described": sorted(described_names(prompt, named)),
        "unsteered": [*map(str, scene.depth), *scene.left_out],
        "relations": [
            [
                positions[relation.subject],
                relation.relation.value,
                None if relation.object is None else positions[relation.object],
            ]
            for relation in scene.relations
        ],
    }


def _letters(text: str) -> int:
    """How many a browser counts, which takes those beyond 16 bits for two."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _is_clause(name: str) -> bool:
    return len(UNSPACED.findall(name)) > _LONGEST_UNSPACED


def vocabulary() -> list[dict[str, Any]]:
    """All relations and places as JSON: name, words, the signs (dx, dy) of subject minus object, or of a place minus
    the picture's middle, y downward; how far a centre may be where there is no direction; whether it is a place."""
    return [
        {
            "name": one.value,
            "phrase": one.phrase,
            "direction": list(one.direction),
            "reach": one.reach,
            "place": isinstance(one, Place),
        }
        for one in (*Relation, *Place)
    ]
