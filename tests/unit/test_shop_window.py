"""What the Comfy registry shows of the pack, and how it comes there."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tools import shop_pictures

ROOT = Path(__file__).resolve().parents[2]
_PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
_REPOSITORY = re.search(r'^Repository = "(.+)"$', _PROJECT, re.MULTILINE)[1]
_PLACE = _REPOSITORY.removeprefix("https://github.com/")


def _entry(name: str) -> str:
    return re.search(rf'^{name} = "(.+)"$', _PROJECT, re.MULTILINE)[1]


def _picture(name: str) -> Path:
    address = _entry(name)
    assert address.startswith(f"https://raw.githubusercontent.com/{_PLACE}/main/")
    return ROOT / address.partition("/main/")[2]


def test_the_icon_is_a_square_of_400_pixels_at_most():
    with Image.open(_picture("Icon")) as icon:
        width, height = icon.size
    assert width == height <= 400


def test_the_banner_is_21_to_9():
    with Image.open(_picture("Banner")) as banner:
        width, height = banner.size
    assert width * 9 == height * 21


@pytest.mark.parametrize(("name", "draw"), [("Icon", shop_pictures.icon), ("Banner", shop_pictures.banner)])
def test_the_pictures_are_what_the_tool_draws(name, draw):
    with Image.open(_picture(name)) as saved:
        drawn = draw()
        assert saved.mode == drawn.mode
        difference = np.abs(np.asarray(saved, dtype=float) - np.asarray(drawn, dtype=float))
    assert difference.mean() < 1  # another build of FreeType draws letters a little otherwise


def test_the_projects_addresses_name_what_is_there():
    assert _entry("Issues") == f"{_REPOSITORY}/issues"
    for name, sort in (("Documentation", "tree"), ("Changelog", "blob")):
        base = f"{_REPOSITORY}/{sort}/main/"
        assert _entry(name).startswith(base)
        assert (ROOT / _entry(name).removeprefix(base)).exists()


def test_publishing_waits_for_a_new_version_and_tells_no_secret():
    text = (ROOT / ".github" / "workflows" / "publish.yml").read_text(encoding="utf-8")
    workflow = yaml.safe_load(text)
    # YAML reads the key `on` as true.
    assert workflow[True] == {"push": {"branches": ["main"], "paths": ["pyproject.toml"]}, "workflow_dispatch": None}
    (job,) = workflow["jobs"].values()
    assert job["if"] == f"github.repository == '{_PLACE}'"
    (publish,) = (step for step in job["steps"] if step["uses"].startswith("Comfy-Org/publish-node-action@"))
    assert publish["with"] == {"personal_access_token": "${{ secrets.REGISTRY_ACCESS_TOKEN }}"}
    assert "/.github/" in (ROOT / ".comfyignore").read_text(encoding="utf-8").splitlines()


def test_the_readme_names_templates_that_are_there():
    titles = [file.stem for file in (ROOT / "example_workflows").glob("*.json")]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"[*[](\d\d [A-Z][^*,]+)", readme)
    assert len(named) > 10
    assert [name for name in named if not any(title.startswith(name.rstrip(" …")) for title in titles)] == []


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.stem
)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text(encoding="utf-8"))
    for file, part in links:
        if file.startswith(("http://", "https://")):
            continue
        target = page.parent / file if file else page
        assert target.exists(), file
        if part:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert part in anchors, f"{file}#{part}"
