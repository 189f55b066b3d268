"""Whatever a file or a prompt holds: it is read, or refused in one line that names it, and in no time.

``--fuzz-cases 30000`` draws more than the thousand of each that the tests do.
"""

from __future__ import annotations

import io
import itertools
import json
import random
import struct
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from mutations import ODD_TEXTS, damaged_bytes, damaged_value, odd_text
from PIL import Image
from safetensors import safe_open
from test_classifier import published, small
from toy_recording import record_toy

from steering_core.classifier import load_classifier, save_classifier
from steering_core.cli.config import read_config
from steering_core.cli.main import main
from steering_core.editing import edited, read_edits
from steering_core.layout import laid_out, read_layout
from steering_core.parser import objects, parse
from steering_core.parser.network import NETWORK_DIR, TOKENIZER_FILE, WEIGHTS_FILE, load_reader
from steering_core.parser.rules import read_by_rules
from steering_core.tokens import Token, ground
from steering_core.training.dataset import MANIFEST, read_manifest, read_records, shard_file
from steering_core.training.sources import coco_pictures, gqa_pictures

#: Seconds of the processor that a case may take, on a machine that does other things as well.
_MOST_SECONDS = 3.0


@pytest.fixture
def cases(request) -> int:
    return request.config.getoption("--fuzz-cases")


def run(
    cases: int,
    prepare: Callable[[random.Random], Any],
    read: Callable[[Any], Any],
    named: str | None = None,
    spoilt: float = 0.0,
) -> None:
    """Read many damaged inputs.

    Args:
        prepare: makes the input of one case.
        named: must stand in every refusal.
        spoilt: share of the cases that must be refused, so that the damage is known to be some.
    """
    refused, start = 0, time.monotonic()
    for number in range(cases):
        given = prepare(random.Random(number))
        begun = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read(given)
        except (ValueError, OSError) as error:
            refused += 1
            said = str(error)
            assert len(said.splitlines()) == 1, f"case {number}: {said!r}"
            assert named is None or named in said, f"case {number}: {said!r}"
            assert len(said) < 3000, f"case {number}: {said!r}"
        except BaseException as error:
            error.add_note(f"case {number}: {given!r:.2000}")
            raise
        assert time.process_time() - begun < _MOST_SECONDS, f"case {number}"
    print(f"{cases} cases: {refused} refused, {cases - refused} accepted, {time.monotonic() - start:.1f} s")
    assert refused >= spoilt * cases
    assert spoilt == 1 or refused < cases


def writes(file: Path, contents: Callable[[random.Random], bytes]) -> Callable[[random.Random], Path]:
    def prepare(rng: random.Random) -> Path:
        file.write_bytes(contents(rng))
        return file

    return prepare


def json_of(value: Any) -> Callable[[random.Random], bytes]:
    """A JSON value, damaged as a value and now and then as text."""

    def contents(rng: random.Random) -> bytes:
        if rng.random() < 0.2:
            return damaged_bytes(rng, json.dumps(value).encode())
        return json.dumps(damaged_value(rng, value)).encode()

    return contents


def test_the_tokenizer_of_the_prompt_network(cases, tmp_path):
    (tmp_path / WEIGHTS_FILE).write_bytes((NETWORK_DIR / WEIGHTS_FILE).read_bytes())
    whole = (NETWORK_DIR / TOKENIZER_FILE).read_bytes()
    prepare = writes(tmp_path / TOKENIZER_FILE, lambda rng: damaged_bytes(rng, whole))
    run(min(cases, 20), prepare, lambda file: load_reader(file.parent), named=str(tmp_path), spoilt=0.3)


def test_parser(cases):
    def read(prompt: str) -> None:
        scene = parse(prompt)
        for span in (*objects(prompt), *scene.objects):
            assert prompt[span.start : span.end] == span.text != ""
        assert all(relation.subject != relation.object for relation in scene.relations)

    run(cases, odd_text, read)


def test_prompt_to_tokens(cases):
    def prepare(rng: random.Random) -> tuple[str, list[Token]]:
        prompt = odd_text(rng)
        cuts = sorted({0, len(prompt), *(rng.randrange(len(prompt) + 1) for _ in range(8))})
        spans = list(itertools.pairwise(cuts))
        if rng.random() < 0.3:  # as of a prompt that is too long
            spans = spans[: rng.randrange(len(spans) + 1)]
        with_spans = rng.random() < 0.5
        return prompt, [
            Token(index, prompt[start:end], (start, end) if with_spans else None)
            for index, (start, end) in enumerate(spans)
        ]

    run(cases, prepare, lambda given: ground(read_by_rules(given[0]).scene, given[1]), spoilt=0.001)


class Header:
    """A safetensors file of one of our classifiers, whose parts can be put together anew."""

    def __init__(self, file: Path) -> None:
        save_classifier(small(), file)
        content = file.read_bytes()
        (length,) = struct.unpack("<Q", content[:8])
        self.content, self.data = content, content[8 + length :]
        self.header = json.loads(content[8 : 8 + length])
        with safe_open(file, framework="pt") as opened:
            self.described = json.loads(opened.metadata()["relation_classifier"])

    def damaged(self, rng: random.Random) -> bytes:
        how = rng.randrange(4)
        if how == 0:
            return damaged_bytes(rng, self.content)
        header, data = dict(self.header), self.data
        if how == 1:
            header = damaged_value(rng, header)
        elif how == 2:
            header["__metadata__"] = {"relation_classifier": json.dumps(damaged_value(rng, self.described))}
        else:
            data = data[:-64] + damaged_bytes(rng, data[-64:]) if rng.random() < 0.5 else data.replace(b"\x3f", b"\xff")
        told = json.dumps(header).encode("utf-8", "replace")
        return struct.pack("<Q", len(told)) + told + data


def test_classifier_safetensors(cases, tmp_path):
    file = tmp_path / "a.safetensors"
    run(cases, writes(file, Header(file).damaged), load_classifier, file.name, 0.5)


def test_classifier_pth(cases, tmp_path):
    file, checkpoint = tmp_path / "a.pth", published()
    torch.save(checkpoint, file)
    content = file.read_bytes()
    told = {key: value for key, value in checkpoint.items() if key != "model_state_dict"}

    def damaged(rng: random.Random) -> bytes:
        if rng.random() < 0.5:
            return damaged_bytes(rng, content)
        changed = damaged_value(rng, told)
        if isinstance(changed, dict):
            weights = dict(checkpoint["model_state_dict"])
            if rng.random() < 0.3:
                name = rng.choice(list(weights))
                weights[name] = rng.choice(
                    (None, "x", torch.zeros(1), weights[name] * float("nan"), weights[name].long(), weights[name][:0],
                     torch.zeros(1).expand(2**20, 2**13), weights[name].to_sparse(), weights[name].to("meta"))
                )  # fmt: skip
            changed = {"model_state_dict": weights, **changed}
        saved = io.BytesIO()
        torch.save(changed, saved)
        return saved.getvalue()

    run(cases, writes(file, damaged), load_classifier, file.name, 0.3)


@pytest.fixture
def pictures(tmp_path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("0.png", "1.png", "0.jpg"):
        Image.new("RGB", (20, 10)).save(folder / name)
    return folder


BOXES = [[5, 4, 3, 3], [12, 4, 3, 3], [8, 0, 4, 3]]


def test_coco(cases, tmp_path, pictures):
    coco = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 20, "height": 10, "license": 1} for n in range(2)],
        "annotations": [
            {"image_id": n, "category_id": c, "bbox": box, "iscrowd": 0}
            for n in range(2)
            for c, box in enumerate(BOXES)
        ],
        "categories": [{"id": n, "name": name} for n, name in enumerate(["dog", "cat", "car"])],
    }
    file = tmp_path / "coco.json"
    run(cases, writes(file, json_of(coco)), lambda file: coco_pictures(file, pictures, 0), file.name, 0.3)


def test_gqa(cases, tmp_path, pictures):
    placed = [dict(zip("xywh", box)) for box in BOXES]
    relations = [{"name": "to the left of", "object": "1"}]
    objects = {
        str(n): {"name": name, **placed[n], "relations": relations * (n == 0), "attributes": []}
        for n, name in enumerate(["black dog", "cat", "car"])
    }
    file = tmp_path / "gqa.json"
    graphs = {"0": {"width": 20, "height": 10, "objects": objects}}
    run(cases, writes(file, json_of(graphs)), lambda file: gqa_pictures(file, pictures, 0), file.name, 0.3)


def test_pictures(cases, tmp_path, pictures):
    coco = {
        "images": [{"id": 0, "file_name": "0", "width": 20, "height": 10}],
        "annotations": [{"image_id": 0, "category_id": c, "bbox": box} for c, box in enumerate(BOXES)],
        "categories": [{"id": n, "name": name} for n, name in enumerate(["dog", "cat", "car"])],
    }
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    (pictures / "0").touch()
    source, whole = coco_pictures(tmp_path / "coco.json", pictures, 0), {}
    for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"):
        saved = io.BytesIO()
        Image.effect_noise((20, 10), 50).convert("RGB").save(saved, kind)
        whole[kind] = saved.getvalue()
    run(
        cases,
        writes(pictures / "0", lambda rng: damaged_bytes(rng, whole[rng.choice(list(whole))])),
        lambda file: source[0],
        str(pictures / "0"),
        0.2,
    )


def test_manifest(cases, tmp_path):
    folder = record_toy(tmp_path / "data")
    file = folder / MANIFEST
    whole = json.loads(file.read_text())
    run(cases, writes(file, json_of(whole)), lambda file: read_manifest(folder), str(folder), 0.5)


def test_records(cases, tmp_path):
    """Manifest and shards together: neither is believed for the other's sake."""
    folder = record_toy(tmp_path / "data")
    shard, whole = shard_file(folder, 0), json.loads((folder / MANIFEST).read_text())
    content = shard.read_bytes()

    def prepare(rng: random.Random) -> None:
        told = damaged_value(rng, whole) if rng.random() < 0.5 else whole
        (folder / MANIFEST).write_text(json.dumps(told))
        shard.write_bytes(damaged_bytes(rng, content) if rng.random() < 0.7 else content)

    run(cases, prepare, lambda _: read_records(folder, read_manifest(folder)), str(folder), 0.1)


OPTIONS = {
    "data": ["no/such/a", "no/such/b"],
    "validation": "no/such/a",
    "out": "no/such/out",
    "epochs": 3,
    "rate": 1e-3,
    "leakage_test": False,
    "extractor_layers": 1,
    "without": ["dog"],
}


def options(rng: random.Random) -> bytes:
    how = rng.randrange(3)
    whole = yaml.safe_dump(OPTIONS)
    if how == 0:
        return damaged_bytes(rng, whole.encode())
    if how == 1:
        return yaml.safe_dump(damaged_value(rng, OPTIONS)).encode("utf-8", "replace")
    markup = ("&a ", "*a", "!!python/object/apply:os.system [x]", "!!int ''", "!!bool x", "<<: *a", "? ", "- ", "|",
              ">", "[" * 2000, "{a: ", "%YAML 9", "---", "...", "\t", "2001-99-99", "0b_", "=", "@", "`",
              "config: a.yaml", "help: true", "leakage_test: [a]", "a: &a [*a, *a]", *ODD_TEXTS)  # fmt: skip
    lines = whole.splitlines()
    for _ in range(rng.randint(1, 4)):
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(markup) + rng.choice(("", " ", "x")))
    return "\n".join(lines).encode("utf-8", "replace")


def test_yaml_options(cases, tmp_path):
    file = tmp_path / "a.yaml"
    run(cases, writes(file, options), read_config, file.name, 0.3)


def test_yaml_options_on_the_command_line(cases, tmp_path, capsys):
    """They end in one line and status 2, there being no such data."""
    file, prepare = tmp_path / "a.yaml", writes(tmp_path / "a.yaml", options)
    for number in range(cases // 10):
        prepare(random.Random(number))
        try:
            status = main(["train", "--config", str(file)])
        except SystemExit as ended:
            status = ended.code
        said = capsys.readouterr()
        assert (status, len(said.err.splitlines()), said.out) == (2, 1, ""), f"case {number}: {said}"


def test_edits(cases):
    prompt = "a dog above a cat and a cup left of a bus"
    edits = {
        "relations": [
            {"subject": "dog", "relation": "above", "object": "cat", "wanted": "below", "on": True},
            {"subject": "cup", "relation": "left_of", "object": "bus", "wanted": "left_of", "on": False},
        ]
    }
    run(
        cases,
        lambda rng: damaged_value(rng, edits),
        lambda value: edited(parse(prompt), read_edits(value)),
        spoilt=0.3,
    )


def test_layout(cases):
    prompt = "a dog above a cat and a cup left of a bus"
    layout = {
        "objects": [{"name": name, "occurrence": 0, "x": 0.2, "y": 0.7} for name in ("dog", "cat", "cup")],
        "relations": [[0, "above", 1], [2, "left_of", 0]],
    }
    run(
        cases,
        lambda rng: damaged_value(rng, layout),
        lambda value: laid_out(parse(prompt), read_layout(value)),
        spoilt=0.3,
    )
