"""The help pages: one for each node, with a picture, and a word on each input."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "web" / "docs"
NODES = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8"))
_MOST_BYTES = 100_000


def test_every_page_is_of_a_node():
    assert sorted(page.stem for page in DOCS.glob("*.md")) == sorted(NODES)
    assert sorted(picture.stem for picture in (DOCS / "images").iterdir()) == sorted(NODES)


@pytest.mark.parametrize("node", NODES)
def test_page_shows_a_picture(node):
    pictures = re.findall(r"!\[.+\]\((.+)\)", (DOCS / f"{node}.md").read_text(encoding="utf-8"))

    assert pictures == [f"images/{node}.jpg"]
    assert (DOCS / pictures[0]).stat().st_size < _MOST_BYTES


@pytest.mark.parametrize("node", NODES)
def test_page_names_every_input(node):
    page = (DOCS / f"{node}.md").read_text(encoding="utf-8")
    # Of inputs that are numbered, the first will do.
    names = {re.sub(r"\d+$", "0", entry["name"]) for entry in NODES[node]["inputs"].values()}

    assert {name for name in names if f"**{name}**" not in page} == set()
