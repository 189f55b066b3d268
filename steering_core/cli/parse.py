"""``steer parse``."""

from __future__ import annotations

import argparse
import json

from ..parser import parse
from ..relations.statement import SpatialRelation, Statement
from .options import text


def add_parse_command(commands: argparse._SubParsersAction) -> None:
    """``steer parse``."""
    parser = commands.add_parser("parse", help="show the relations and places that a prompt states")
    parser.add_argument("prompt", type=text, help='such as "a cat between a dog and a bird"')
    parser.add_argument("--json", action="store_true", help="as a list of objects")
    parser.set_defaults(run=_parse)


def _parse(options: argparse.Namespace) -> None:
    scene = parse(options.prompt)
    if options.json:
        print(json.dumps([*map(_as_json, scene.relations), *map(_as_json, scene.depth)], indent=1))
    else:
        relations = map(str, scene.relations) if scene.relations else ["No spatial relation was found."]
        print("\n".join([*relations, *scene.unsteered]))


def _as_json(relation: Statement) -> dict:
    other = relation.object
    return {
        "subject": relation.subject.text,
        "relation": relation.relation.value,
        "object": relation.object_text,
        "subject_span": [relation.subject.start, relation.subject.end],
        "object_span": None if other is None else [other.start, other.end],
        "steered": isinstance(relation, SpatialRelation),
    }
