"""Files that are damaged or lie: one line names the file and what is wrong, and no memory is taken for a claim."""

from __future__ import annotations

import copy
import io
import json
import os
import resource
import struct
import time
import zipfile
import zlib
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file
from test_classifier import published, small
from test_sources import BOXED, LEFT, coco, gqa

from steering_core.classifier import load_classifier, save_classifier
from steering_core.files.whole import save_text
from steering_core.training.sources import coco_pictures, gqa_pictures

_GIGABYTE = 2**30


def refusal(read, *given, **named) -> str:
    with pytest.raises(ValueError) as refused:
        read(*given, **named)
    assert len(str(refused.value).splitlines()) == 1
    return str(refused.value)


def put(value, path, new):
    """A copy of nested values with one of them changed; without it where the new one is ``...``."""
    changed = copy.deepcopy(value)
    *way, last = path
    part = changed
    for step in way:
        part = part[step]
    if new is ...:
        del part[last]
    else:
        part[last] = new
    return changed


DESCRIBED = [
    (["relations"], []),
    (["relations"], "above"),
    (["relations"], ["above", "above", "below", "left_of"]),
    (["relations", 0], 7),
    (["relations", 0], None),
    (["relations"], ["above"]),
    (["relations"], ...),
    (["layout"], ...),
    (["layout"], []),
    (["layout", "network"], []),
    (["layout", "network", 0, "heads"], -1),
    (["layout", "network", 0, "heads"], 10**12),
    (["layout", "network", 0, "heads"], "two"),
    (["layout", "network", 0, "level"], 1.5),
    (["layout", "network", 0, "stage"], None),
    (["layout", "network", 0, "unheard"], 1),
    (["layout", "network", 1], {"stage": "down", "number": 0, "level": 0, "heads": 2}),
    (["layout", "layers"], ["nowhere.0"]),
    (["layout", "layers"], ["down.0", "down.0"]),
    (["layout", "layers"], []),
    (["layout", "map_size"], 0),
    (["layout", "map_size"], 5),
    (["layout", "total"], float("nan")),
    (["layout", "total"], 0),
    (["settings"], {}),
    (["settings", "width"], -8),
    (["settings", "width"], 7),
    (["settings", "width"], True),
    (["settings", "width"], 2**60),
    (["settings", "width"], 10**400),
    (["settings", "steps"], 0),
    (["settings", "steps"], 10**13),
    (["settings", "extractor"], None),
    (["settings", "extractor", "layers"], 10**9),
    (["settings", "extractor", "heads"], 3),
    (["settings", "extractor", "heads"], 0),
    (["settings", "extractor", "dropout"], 2),
    (["settings", "classifier", "feed_forward"], 10**9),
    (["settings", "time_before"], "never"),
    (["settings", "mean_maps"], 1),
    (["settings", "time_width"], -1),
    (["settings", "more"], 1),
    (["trained_steps"], []),
    (["trained_steps"], [3, 1]),
    (["trained_steps"], [1, 1]),
    (["trained_steps"], [5]),
    (["trained_steps"], [-1]),
    (["trained_steps"], ["1"]),
    (["positions"], 1),
    (["positions"], 10**9),
    (["positions"], None),
    (["more"], 1),
]


@pytest.mark.parametrize(("path", "value"), DESCRIBED, ids=lambda part: str(part)[:40])
def test_a_classifier_that_is_described_wrongly_is_named(tmp_path, path, value):
    file = tmp_path / "a.safetensors"
    save_classifier(small(), file)
    with safe_open(file, "pt") as opened:
        weights = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        told = put(json.loads(opened.metadata()["relation_classifier"]), path, value)
    save_file(weights, file, {"relation_classifier": json.dumps(told)})
    assert refusal(load_classifier, file).startswith(f"{file}: ")


@pytest.mark.parametrize("told", ["", "[]", "1", "{", "[" * 100_000, '"\\ud800"', '{"format": NaN}', "null"])
def test_metadata_of_a_classifier_that_is_none_is_named(tmp_path, told):
    save_file({"weight": torch.zeros(1)}, tmp_path / "a.safetensors", {"relation_classifier": told})
    assert "a.safetensors" in refusal(load_classifier, tmp_path / "a.safetensors")


WEIGHT = "relation_classifier.fc.8.bias"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path, value):
    classifier = small()
    with torch.no_grad():
        classifier.get_parameter(WEIGHT)[0] = value
    save_classifier(classifier, tmp_path / "a.safetensors")
    assert f"a.safetensors: {WEIGHT} holds" in refusal(load_classifier, tmp_path / "a.safetensors")
    checkpoint = published()
    checkpoint["model_state_dict"][WEIGHT][0] = value
    torch.save(checkpoint, tmp_path / "a.pth")
    assert f"a.pth: {WEIGHT} holds" in refusal(load_classifier, tmp_path / "a.pth")


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64, torch.uint8])
def test_weights_of_another_kind_are_refused(tmp_path, dtype):
    torch.save(put(published(), ["model_state_dict", WEIGHT], torch.zeros(4).to(dtype)), tmp_path / "a.pth")
    assert f"a.pth: {WEIGHT} was expected in float32" in refusal(load_classifier, tmp_path / "a.pth")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_another_precision_are_read(tmp_path, dtype):
    torch.save(put(published(), ["model_state_dict", WEIGHT], torch.ones(4, dtype=dtype)), tmp_path / "a.pth")
    weight = load_classifier(tmp_path / "a.pth").get_parameter(WEIGHT)
    assert weight.dtype is torch.float32 and weight.tolist() == [1] * 4


CHECKPOINTS = [
    (["config"], None),
    (["config"], {}),
    (["config", "extractor"], []),
    (["config", "extractor", "nhead"], "2"),
    (["config", "extractor", "nhead"], 3),
    (["config", "extractor", "num_layers"], 10**9),
    (["config", "extractor", "timestep_embedding"], ...),
    (["config", "extractor", "timestep_embedding", "mode"], "post"),
    (["config", "d_model"], 2**13),
    (["config", "d_model"], float("nan")),
    (["config", "map_size"], 10**6),
    (["config", "num_timesteps"], 10**12),
    (["config", "classifier", "timestep_embedding_dim"], -1),
    (["rel_name_to_idx"], {}),
    (["rel_name_to_idx"], {"above": 0, "below": 0}),
    (["rel_name_to_idx"], {"above": "x"}),
    (["rel_name_to_idx"], {3: 0}),
    (["rel_name_to_idx"], {"above": 0}),
    (["input_channels"], 10**9),
    (["input_channels"], "many"),
    (["training_config"], ...),
    (["training_config"], None),
    (["training_config", "timesteps"], ...),
    (["training_config", "timesteps"], [50]),
    (["training_config", "timesteps"], 5),
    (["training_config", "exp_name"], ["sd14"]),
    (["training_config", "exp_name"], "x" * 10**6),
    (["model_state_dict"], []),
    (["model_state_dict"], {}),
    (["model_state_dict", WEIGHT], None),
    (["model_state_dict", WEIGHT], ...),
    (["model_state_dict", "more"], torch.zeros(1)),
    (["model_state_dict", WEIGHT], torch.zeros(4).to_sparse()),
    (["model_state_dict", WEIGHT], torch.zeros(4, device="meta")),
]


@pytest.mark.parametrize(("path", "value"), CHECKPOINTS, ids=lambda part: str(part)[:40])
def test_a_released_checkpoint_with_something_else_in_it_is_named(tmp_path, path, value):
    torch.save(put(published(), path, value), tmp_path / "a.pth")
    said = refusal(load_classifier, tmp_path / "a.pth")
    assert str(tmp_path / "a.pth") in said and len(said) < 1000


class Zeros:
    """Asks for ten gigabytes when it is read."""

    def __reduce__(self):
        return bytearray, (10 * _GIGABYTE,)


def seen_many_times(file: Path) -> None:
    checkpoint = put(published(), ["input_channels"], 10**9)
    checkpoint["model_state_dict"]["object_extractor.positional_encoding.pe"] = torch.zeros(1).expand(1, 10**9, 8)
    torch.save(checkpoint, file)


def compressed(file: Path) -> None:
    torch.save(published(), file)
    with zipfile.ZipFile(file) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        with archive.open(f"{file.stem}/data/999", "w") as bomb:
            for _ in range(16):
                bomb.write(bytes(2**24))


CLAIMS = {
    "a storage seen many times": seen_many_times,
    "compressed": compressed,
    "a call": lambda file: torch.save({**published(), "more": Zeros()}, file),
    "a table of positions": lambda file: torch.save(put(published(), ["input_channels"], 10**9), file),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_no_memory_is_taken_for_what_a_file_claims(tmp_path, claim):
    file = tmp_path / "a.pth"
    CLAIMS[claim](file)
    assert file.stat().st_size < 2**21
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    assert str(file) in refusal(load_classifier, file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18  # of kB
    assert time.process_time() - start < 2


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_files_have_the_mode_that_the_process_gives(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        save_classifier(small(), tmp_path / "a.safetensors")
        save_text("one", tmp_path / "a.txt")
    finally:
        os.umask(before)
    assert [file.stat().st_mode & 0o777 for file in tmp_path.iterdir()] == [mode] * 2


def test_a_pickle_from_before_archives_is_no_checkpoint(tmp_path):
    torch.save(published(), tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    assert "a.pth is damaged" in refusal(load_classifier, tmp_path / "a.pth")


COCO = [
    ([], []),
    (["images"], None),
    (["images", 0], 3),
    (["images", 0, "id"], ...),
    (["images", 0, "id"], []),
    (["images", 0, "file_name"], 5),
    (["images", 0, "file_name"], ...),
    (["images", 0, "file_name"], "\0"),
    (["images", 0, "file_name"], "x" * 5000),
    (["images", 0, "width"], 0),
    (["images", 0, "height"], -3),
    (["images", 0, "width"], "wide"),
    (["images", 0, "width"], float("inf")),
    (["images", 1], {"id": 0, "file_name": "1.png", "width": 5, "height": 5}),
    (["categories", 0, "name"], None),
    (["categories", 0, "name"], " "),
    (["categories", 0, "id"], 1),
    (["categories", 0], ...),
    (["annotations", 0, "bbox"], None),
    (["annotations", 0, "bbox"], [1, 2, 3]),
    (["annotations", 0, "bbox"], [1, 2, 3, 4, 5]),
    (["annotations", 0, "bbox"], [1, 2, "3", 4]),
    (["annotations", 0, "bbox", 0], float("nan")),
    (["annotations", 0, "bbox", 2], -5),
    (["annotations", 0, "bbox", 3], float("inf")),
    (["annotations", 0, "bbox", 1], 10**400),
    (["annotations", 0, "image_id"], 99),
    (["annotations", 0, "image_id"], {}),
    (["annotations", 0, "category_id"], 99),
    (["annotations", 0, "iscrowd"], "yes"),
]


@pytest.mark.parametrize(("path", "value"), COCO, ids=lambda part: str(part)[:40])
def test_an_annotation_file_of_coco_that_is_damaged_is_named(tmp_path, path, value):
    file, folder = coco(tmp_path, [BOXED, BOXED])
    file.write_text(json.dumps(put(json.loads(file.read_text()), path, value) if path else value))
    assert str(file) in refusal(coco_pictures, file, folder, 0)


GQA = [
    (["77"], None),
    (["77", "objects"], []),
    (["77", "objects", "0"], None),
    (["77", "objects", "0", "name"], 5),
    (["77", "objects", "0", "name"], ""),
    (["77", "objects", "0", "x"], None),
    (["77", "objects", "0", "x"], float("nan")),
    (["77", "objects", "0", "w"], -1),
    (["77", "objects", "0", "h"], ...),
    (["77", "objects", "0", "relations"], None),
    (["77", "objects", "0", "relations", 0], "left"),
    (["77", "objects", "0", "relations", 0, "object"], "99"),
    (["77", "objects", "0", "relations", 0, "object"], 1),
    (["77", "objects", "0", "relations", 0, "name"], []),
    (["77", "width"], 0),
    (["77", "height"], "tall"),
]


@pytest.mark.parametrize(("path", "value"), GQA, ids=lambda part: str(part)[:40])
def test_scene_graphs_of_gqa_that_are_damaged_are_named(tmp_path, path, value):
    file, folder = gqa(
        tmp_path, [("black dog", [0, 40, 40, 30]), ("cat", [150, 40, 40, 30])], [(0, "to the left of", 1)]
    )
    file.write_text(json.dumps(put(json.loads(file.read_text()), path, value)))
    assert str(file) in refusal(gqa_pictures, file, folder, 0)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 200_000, b"1" * 100_000, b"null"])
def test_what_is_no_json_is_named(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    for read in (coco_pictures, gqa_pictures):
        assert str(tmp_path / "a.json") in refusal(read, tmp_path / "a.json", tmp_path, 0)


def test_thousands_of_objects_in_a_picture_take_no_time(tmp_path):
    count, places = 3000, [[number % 60, number // 60, 15, 15] for number in range(3000)]
    Image.new("RGB", (8, 8)).save(tmp_path / "0.jpg")
    images = [{"id": 0, "file_name": "0.jpg", "width": 100, "height": 100}]
    categories = [{"id": number, "name": f"thing{number}x"} for number in range(count)]
    annotations = [{"image_id": 0, "category_id": number, "bbox": box} for number, box in enumerate(places)]
    (tmp_path / "coco.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    objects = {
        str(number): {"name": f"thing{number}x", **dict(zip("xywh", box)), "relations": []}
        for number, box in enumerate(places)
    }
    objects["0"]["relations"] = [{"name": "to the left of", "object": str(number)} for number in range(count)]
    (tmp_path / "gqa.json").write_text(json.dumps({"0": {"width": 100, "height": 100, "objects": objects}}))
    for read, name in ((coco_pictures, "coco.json"), (gqa_pictures, "gqa.json")):
        start = time.process_time()
        assert len(read(tmp_path / name, tmp_path, 0)) == 1
        assert time.process_time() - start < 1


def test_what_lies_beyond_the_picture_is_cut_off(tmp_path):
    file, folder = coco(tmp_path, [[(0, [-1e300, 40, 1e300, 30]), (1, [150, 40, 1e308, 1e308])]])
    refusal(coco_pictures, file, folder, 0)  # the first lies beyond it altogether
    file, folder = coco(tmp_path, [[(0, LEFT), (1, [118, 60, 30, 1e308])]])
    assert len(coco_pictures(file, folder, 0)) == 1


@pytest.mark.parametrize("name", ["../../0.png", "/etc/passwd", "linked/0.png"])
def test_pictures_outside_the_root_are_not_read(tmp_path, name):
    file, folder = coco(tmp_path / "root", [BOXED])
    outside = tmp_path / "outside"
    outside.mkdir()
    Image.new("RGB", (8, 8)).save(outside / "0.png")
    (folder / "linked").symlink_to(outside)
    content = put(json.loads(file.read_text()), ["images", 0, "file_name"], name)
    file.write_text(json.dumps(content))
    said = refusal(coco_pictures, file, folder, 0, within=tmp_path / "root")
    assert str(file) in said and "was expected to lie in" in said


def bomb() -> bytes:
    """A PNG of a hundred bytes that is 50,000 pixels on a side."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def half() -> bytes:
    saved = io.BytesIO()
    Image.effect_noise((200, 100), 50).save(saved, "PNG")
    return saved.getvalue()[:5000]


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(%pipe%touch MARK) (w) file\n%%EOF\n"


@pytest.mark.parametrize(
    "content", [b"", b"no picture", bomb(), half(), EPS], ids=["empty", "text", "bomb", "half", "eps"]
)
def test_a_damaged_picture_is_named(tmp_path, content):
    file, folder = coco(tmp_path, [BOXED])
    (folder / "0.png").write_bytes(content)
    pictures = coco_pictures(file, folder, 0)
    assert f"{folder / '0.png'} is no picture that can be read" in refusal(lambda: pictures[0])
