"""Texts of the nodes, in English and Chinese, as ComfyUI's front end receives them."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.locales import node_definitions

_PACK = Path(__file__).resolve().parents[2]
LOCALES = _PACK / "locales"
DOCS = _PACK / "web" / "docs"
_CHINESE = re.compile("[\u4e00-\u9fff]")
_SYNTAX = re.compile("[{}@|]")


def _read(language: str) -> dict:
    return json.loads((LOCALES / language / "nodeDefs.json").read_text(encoding="utf-8"))


def _texts(definitions: dict, path: str = "") -> Iterator[tuple[str, str]]:
    for key, value in definitions.items():
        if isinstance(value, dict):
            yield from _texts(value, f"{path}/{key}")
        else:
            yield f"{path}/{key}", value


def test_english_is_what_the_schemas_say(server):
    assert _read("en") == node_definitions(server.get("/object_info")), "run python -m tools.locales"


def test_chinese_says_all_that_english_says():
    chinese = dict(_texts(_read("zh")))

    assert list(chinese) == list(dict(_texts(_read("en"))))
    assert [key for key, text in chinese.items() if not text.strip()] == []
    said = {key: text for key, text in chinese.items() if not key.endswith("/name")}
    assert [key for key, text in said.items() if not _CHINESE.search(text)] == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_names_and_descriptions_hold_no_sign_of_the_front_ends_message_syntax(language):
    texts = dict(_texts(_read(language)))

    assert [key for key, text in texts.items() if not key.endswith("/tooltip") and _SYNTAX.search(text)] == []


def test_comfyui_serves_both_languages(server):
    served = server.get("/i18n")

    for language in ("en", "zh"):
        expected = _read(language)
        assert {node: served[language]["nodeDefs"][node] for node in expected} == expected
    assert served["zh"]["nodeCategories"]["Spatial Steering"] == "\u7a7a\u95f4\u5f15\u5bfc"


def test_comfyui_serves_help_in_chinese_where_the_front_end_asks_first(server):
    schemas = server.get("/object_info")
    nodes = [node for node in schemas if node.startswith("SpatialSteering")]
    assert sorted(nodes) == sorted(_read("zh"))
    for node in nodes:
        pack = schemas[node]["python_module"].removeprefix("custom_nodes.")
        address = f"http://127.0.0.1:{server.port}/extensions/{pack}/docs"
        page = (DOCS / node / "zh.md").read_bytes()
        with urllib.request.urlopen(f"{address}/{node}/zh.md") as answer:
            assert answer.read() == page
        # Pictures stand where the English page has them: the front end resolves them from docs.
        (picture,) = re.findall(r"!\[.+\]\((.+)\)", page.decode("utf-8"))
        with urllib.request.urlopen(f"{address}/{picture}") as answer:
            assert answer.headers["Content-Type"] == "image/jpeg"
