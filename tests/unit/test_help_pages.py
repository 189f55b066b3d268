"""The help pages: one for each node, with a picture, and a word on each input; and each in Chinese as well."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "web" / "docs"
NODES = json.loads((ROOT / "locales" / "en" / "nodeDefs.json").read_text(encoding="utf-8"))
CHINESE = json.loads((ROOT / "locales" / "zh" / "nodeDefs.json").read_text(encoding="utf-8"))
_MOST_BYTES = 100_000


def test_every_page_is_of_a_node():
    assert sorted(page.stem for page in DOCS.glob("*.md")) == sorted(NODES)
    assert sorted(picture.stem for picture in (DOCS / "images").iterdir()) == sorted(NODES)


@pytest.mark.parametrize("node", NODES)
def test_page_shows_a_picture(node):
    pictures = re.findall(r"!\[.+\]\((.+)\)", (DOCS / f"{node}.md").read_text(encoding="utf-8"))

    assert pictures == [f"images/{node}.jpg"]
    assert (DOCS / pictures[0]).stat().st_size < _MOST_BYTES


def _unnamed(page: str, inputs: dict) -> set[str]:
    """The inputs that a page does not name. Of those that are numbered, the first will do."""
    names = {re.sub(r"\d+$", "0", entry["name"]) for entry in inputs.values()}
    return {name for name in names if f"**{name}**" not in page}


@pytest.mark.parametrize("node", NODES)
def test_page_names_every_input(node):
    page = (DOCS / f"{node}.md").read_text(encoding="utf-8")

    assert _unnamed(page, NODES[node]["inputs"]) == set()


def test_every_page_is_translated():
    """Where the front end looks first for its language; for others it falls back to the English page."""
    assert sorted(page.parent.name for page in DOCS.glob("*/zh.md")) == sorted(NODES)


@pytest.mark.parametrize("node", NODES)
def test_translation_is_built_as_the_page(node):
    english = (DOCS / f"{node}.md").read_text(encoding="utf-8")
    chinese = (DOCS / node / "zh.md").read_text(encoding="utf-8")

    # Headings by level, items of lists, rows of tables, links, and code: as many of each, in whatever order of words.
    for part in (r"^#+ ", r"^ *- ", r"^\|", r"\]\(([^)]+)\)", r"`([^`]+)`"):
        said, translated = (re.findall(part, page, re.MULTILINE) for page in (english, chinese))
        assert sorted(map(_translated, said)) == sorted(translated), part


def _translated(code: str) -> str:
    """Of what stands in both languages as it is: NAME stands for a word of the reader's."""
    return code.replace("NAME", "\u540d\u79f0")


@pytest.mark.parametrize("node", NODES)
def test_translation_has_the_names_that_the_node_shows(node):
    page = (DOCS / node / "zh.md").read_text(encoding="utf-8")

    assert page.startswith(f"# {CHINESE[node]['display_name']}\n")
    assert _unnamed(page, CHINESE[node]["inputs"]) == set()
    # Beside examples, code and names, no line is left in English.
    prose = [line for line in page.splitlines() if line and not line.startswith("| --- ")]
    assert [line for line in prose if not re.search("[\u4e00-\u9fff]|\\| [\\d*]", line)] == []
