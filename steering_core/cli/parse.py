"""``steer parse``."""

from __future__ import annotations

import argparse
import json

from ..parser import parse
from ..relations import SpatialRelation
from .options import text


def add_parse_command(commands: argparse._SubParsersAction) -> None:
    """``steer parse``."""
    parser = commands.add_parser("parse", help="show the relations that a prompt states")
    parser.add_argument("prompt", type=text, help='such as "a cat between a dog and a bird"')
    parser.add_argument("--json", action="store_true", help="as a list of objects")
    parser.set_defaults(run=_parse)


def _parse(options: argparse.Namespace) -> None:
    scene = parse(options.prompt)
    if options.json:
        print(json.dumps([_as_json(relation) for relation in scene.relations], indent=1))
    else:
        print("\n".join(map(str, scene.relations)) or "No spatial relation was found.")


def _as_json(relation: SpatialRelation) -> dict:
    return {
        "subject": relation.subject.text,
        "relation": relation.relation.value,
        "object": relation.object.text,
        "subject_span": [relation.subject.start, relation.subject.end],
        "object_span": [relation.object.start, relation.object.end],
    }
