"""Writes locales/en/nodeDefs.json from the nodes of a running ComfyUI.

    python -m tools.locales http://127.0.0.1:8188

The file holds the texts of the schemas in the form that ComfyUI translates from: a translation has the same keys.
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tools.command import command_line

ENGLISH = Path(__file__).resolve().parents[1] / "locales" / "en" / "nodeDefs.json"
_OWN = "SpatialSteering"


class SchemaInput(NamedTuple):
    """An input as the front end shows it.

    Attributes:
        name: with those of the choices that it stands behind, joined by dots.
        choice: the option that it stands behind, if any.
        tooltip: empty if it has none.
    """

    name: str
    choice: str
    tooltip: str


def node_definitions(object_info: dict[str, Any]) -> dict[str, Any]:
    """The pack's part of what ComfyUI answers at /object_info, in the form of a nodeDefs.json."""
    return {name: _definition(schema) for name, schema in object_info.items() if name.startswith(_OWN)}


def _definition(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "display_name": schema["display_name"],
        "description": schema["description"],
        "inputs": _described(schema_inputs(schema["input"])),
        "outputs": {
            str(number): {**({} if name == type_ else {"name": name}), "tooltip": tooltip}
            for number, (name, type_, tooltip) in enumerate(
                zip(schema["output_name"], schema["output"], schema["output_tooltips"])
            )
        },
    }


def schema_inputs(groups: dict[str, Any], prefix: str = "", choice: str = "") -> Iterator[SchemaInput]:
    """All inputs of a node, also those behind choices and those that grow."""
    for name, (type_, settings) in {**groups.get("required", {}), **groups.get("optional", {})}.items():
        yield SchemaInput(prefix + name, choice, settings.get("tooltip", ""))
        if type_ == "COMFY_DYNAMICCOMBO_V3":
            for option in settings["options"]:
                yield from schema_inputs(option["inputs"], f"{prefix}{name}.", option["key"])
        if type_ == "COMFY_AUTOGROW_V3":
            template = settings["template"]
            ((_, grown),) = template["input"]["required"].values()
            for number in range(template["max"]):
                yield SchemaInput(f"{prefix}{name}.{template['prefix']}{number}", choice, grown["tooltip"])


def _described(inputs: Iterator[SchemaInput]) -> dict[str, dict[str, str]]:
    """Names and tooltips by the front end's keys; where choices differ in an input's tooltip, each by its choice."""
    choices: dict[str, dict[str, str]] = {}
    for name, choice, tooltip in inputs:
        choices.setdefault(name, {}).setdefault(tooltip, choice)
    return {
        name.replace(".", "_"): {
            "name": name.rpartition(".")[-1],
            "tooltip": "\n".join(
                tooltip if len(tooltips) == 1 else f"{choice}: {tooltip}" for tooltip, choice in tooltips.items()
            ),
        }
        for name, tooltips in choices.items()
    }


def main(url: str) -> None:
    """Read the nodes of the server at a URL, and write the file."""
    with urllib.request.urlopen(f"{url.rstrip('/')}/object_info") as answer:
        definitions = node_definitions(json.load(answer))
    ENGLISH.parent.mkdir(parents=True, exist_ok=True)
    ENGLISH.write_text(json.dumps(definitions, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = command_line(__doc__)
    parser.add_argument("url", help="of a running ComfyUI")
    main(parser.parse_args().url)
