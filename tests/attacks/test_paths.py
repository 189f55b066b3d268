"""Names and paths of a stranger's workflow: nothing is written or read but where it belongs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from graphs import core_node, pack_node
from PIL import Image
from toy_recording import content, record_toy

from steering_core.files.paths import check_name, named_path, path_within

GOOD = ["training", "my set-2_b", "v1.5", "数据集", "हिन्दी", "Зоопарк 3", "École", "a" * 150, "console", "COM", "-a"]
BAD = [
    "",
    " ",
    ".",
    "..",
    ".hidden",
    "ends.",
    "ends ",
    " begins",
    "a..b",
    "/tmp/a",
    "../a",
    "a/../../b",
    "a/b",
    "a\\b",
    "..\\a",
    "C:",
    "C:a",
    "a:stream",
    "\\\\host\\share",
    "x.tar::pipe:touch MARK;#",
    "{a,b}",
    "${HOME}",
    "$HOME",
    "~",
    "a\0b",
    "a\nb",
    "a\u202eb",
    "a\u2215b",
    "a\ud800",
    "<img src=x onerror=alert(1)>",
    "*",
    "a?",
    "CON",
    "nul",
    "Nul.txt",
    "COM1.tar.gz",
    "lpt9",
    "aux .png",
    "a" * 151,
    "字" * 60,
]


@pytest.mark.parametrize("name", GOOD)
def test_names_that_may_be(name, tmp_path):
    check_name(name)
    assert named_path(tmp_path, name, ".tar") == tmp_path.resolve() / f"{name}.tar"
    named_path(tmp_path, name, ".tar").write_bytes(b"")


@pytest.mark.parametrize("name", [*BAD, None, 7, ["a"]])
def test_names_that_may_not_be(name, tmp_path):
    with pytest.raises(
        ValueError, match="name must be letters, digits, spaces, '-', '_' and dots within it"
    ) as refused:
        named_path(tmp_path, name)
    assert len(str(refused.value).splitlines()) == 1
    str(refused.value).encode()


def test_a_name_that_a_link_leads_elsewhere_is_refused(tmp_path):
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    folder.mkdir()
    (folder / "a").symlink_to(outside)
    (folder / "b.tar").symlink_to(outside / "new.tar")
    (folder / "c").symlink_to(folder / "d")
    for name, suffix in (("a", ""), ("b", ".tar")):
        with pytest.raises(ValueError, match=r"was expected to lie in .*folder, links followed"):
            named_path(folder, name, suffix)
    assert named_path(folder, "c") == folder.resolve() / "d"


def test_paths_that_lie_within_a_root(tmp_path):
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    for path in ("deep/a.json", root / "deep" / "a.json", "deep/../deep/a.json", "./deep//a.json"):
        assert path_within(root, path) == root.resolve() / "deep" / "a.json"
    (tmp_path / "link").symlink_to(root)
    assert path_within(tmp_path / "link", "deep") == root.resolve() / "deep"
    assert path_within(tmp_path / "link", tmp_path / "link" / "deep") == root.resolve() / "deep"
    assert path_within(tmp_path / "link", root / "deep") == root.resolve() / "deep"


@pytest.mark.parametrize(
    "path",
    ["..", "../rooted/a", "/etc/passwd", "deep/../../a", "out", "out/a", "deep/out/a", "a\0", "a\ud800"],
)
def test_paths_that_lead_out_of_a_root_are_refused(tmp_path, path):
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (tmp_path / "rooted").mkdir()
    (root / "out").symlink_to(tmp_path)
    (root / "deep" / "out").symlink_to("../../rooted")
    with pytest.raises(ValueError, match="was expected to lie in") as refused:
        path_within(root, path)
    assert len(str(refused.value).splitlines()) == 1


def _annotations(file: Path, *pictures: str) -> None:
    told = {
        "images": [{"id": n, "width": 100, "height": 100, "file_name": name} for n, name in enumerate(pictures)],
        "categories": [{"id": 0, "name": "dog"}, {"id": 1, "name": "cat"}],
        "annotations": [
            {"image_id": n, "category_id": kind, "bbox": [80 * kind, 40, 20, 20]}
            for n in range(len(pictures))
            for kind in (0, 1)
        ],
    }
    file.write_text(json.dumps(told))


#: Annotations and pictures, by their paths in the input folder; {} is the folder that holds it.
READS = {
    ("boxes.json", "pictures"): None,
    ("{}/input/boxes.json", "{}/input/pictures"): None,
    ("{}/boxes.json", "pictures"): "annotations: '{}/boxes.json' was expected to lie in",
    ("../boxes.json", "pictures"): "lie in",
    ("boxes.json", "{}/pictures"): "lie in",
    ("boxes.json", "../pictures"): "lie in",
    ("link.json", "pictures"): "lie in",
    ("boxes.json", "linked"): "lie in",
    ("absolute.json", "pictures"): "lie in",
    ("escaping.json", "pictures"): "lie in",
    ("through_a_link.json", "pictures"): "lie in",
    ("through_a_linked_folder.json", "pictures"): "lie in",
    ("none.json", "pictures"): "annotations: a JSON file was expected",
    ("pictures", "pictures"): "annotations: a JSON file was expected",
    ("boxes.json", "none"): "pictures: a folder was expected",
}
NAMES = ["../../escaped", "/tmp/escaped", "..", "x.tar::pipe:touch MARK;#", "NUL", "linked"]
#: Datasets and classifiers; {} is the folder that holds the input folder.
DATASETS = ["{}/somewhere", "../../somewhere", "{}/output/relation_maps/linked", "/etc"]
CLASSIFIERS = ["../elsewhere/kept.safetensors", "{}/elsewhere/kept.safetensors", "../../etc/passwd"]


@pytest.fixture(scope="module")
def asked(comfyui, tmp_path_factory):
    """The folder, and what the nodes said."""
    comfyui.need_training()
    root = tmp_path_factory.mktemp("strangers")
    inside, outside = root / "input" / "pictures", root / "pictures"
    for folder in (inside, outside, root / "classifiers", root / "output" / "relation_maps", root / "elsewhere"):
        folder.mkdir(parents=True)
    for folder in (inside, outside):
        Image.new("RGB", (100, 100)).save(folder / "a.png")
    _annotations(root / "boxes.json", "a.png")
    for name, picture in {
        "boxes": "a.png",
        "absolute": str(outside / "a.png"),
        "escaping": "../../pictures/a.png",
        "through_a_link": "link.png",
        "through_a_linked_folder": "more/a.png",
    }.items():
        _annotations(root / "input" / f"{name}.json", picture)
    (root / "input" / "link.json").symlink_to(root / "boxes.json")
    (root / "input" / "linked").symlink_to(outside)
    (inside / "link.png").symlink_to(outside / "a.png")
    (inside / "more").symlink_to(outside)
    (root / "output" / "relation_maps" / "linked").symlink_to(root / "elsewhere")
    (root / "elsewhere" / "kept.safetensors").write_bytes(b"precious")
    (root / "classifiers" / "linked.safetensors").symlink_to(root / "elsewhere" / "kept.safetensors")
    record_toy(root / "somewhere")
    reads = [[part.format(root) for part in given] for given in READS]
    datasets, classifiers = ([given.format(root) for given in some] for some in (DATASETS, CLASSIFIERS))
    for name, given in {"names": NAMES, "reads": reads, "datasets": datasets, "classifiers": classifiers}.items():
        (root / f"{name}.json").write_text(json.dumps(given))
    before = content(root / "somewhere")
    result = comfyui.run("strangers.py", str(root))
    assert content(root / "somewhere") == before
    return root, result


def test_names_are_checked_typed_and_linked(asked):
    root, result = asked
    for name in NAMES:
        wrong = "was expected to lie in" if name == "linked" else "name must be letters, digits"
        assert name == "linked" or wrong in result["typed"][name]
        assert wrong in result["linked"][name] and wrong in result["trained"][name]
    assert sorted(file.name for file in (root / "output" / "relation_maps").iterdir()) == ["data", "linked", "read"]
    assert [file.name for file in (root / "elsewhere").iterdir()] == ["kept.safetensors"]
    assert (root / "elsewhere" / "kept.safetensors").read_bytes() == b"precious"
    assert not Path("/tmp/escaped").exists()


@pytest.mark.parametrize("given", READS)
def test_a_graph_reads_the_input_folder_alone(asked, given):
    root, result = asked
    said = result["read"][" ".join(part.format(root) for part in given)]
    wrong = READS[given]
    assert (said is None) if wrong is None else wrong.format(root) in said, said


@pytest.mark.parametrize("given", DATASETS)
def test_datasets_lie_where_recording_puts_them(asked, given):
    root, result = asked
    training, validation = result["given"][given.format(root)]
    assert "was expected to lie in" in training and "was expected to lie in" in validation


@pytest.mark.parametrize("given", CLASSIFIERS)
def test_classifiers_are_loaded_from_their_folders_alone(asked, given):
    root, result = asked
    assert "not found" in result["loaded"][given.format(root)]


def test_a_name_that_comes_over_a_link_runs_nothing(server):
    """In a graph on a running ComfyUI, where the input's own check gets nothing to see."""
    mark = server.output.parent / "MARK"
    name = f"x.tar::pipe:touch {mark};#"
    source = {"source": "miniature_scenes", "source.count": 4, "source.seed": 0}
    settings = {"size": 64, "steps": 2, "method": "noise", "false_prompts": 1, **source}
    model = {"model": ["1", 0], "clip": ["1", 1], "vae": ["1", 2]}
    graph = {
        "1": pack_node("LoadMiniatureModel"),
        "2": core_node("PrimitiveString", value=name),
        "3": pack_node("RecordRelationMaps", name=["2", 0], **model, **settings),
        "4": pack_node("TrainRelationClassifier", training=["3", 0], validation=["3", 0], name=["2", 0], epochs=1,
                       rate=1e-3, width=16, seed=0),
        "5": core_node("PreviewAny", source=["4", 3]),
    }  # fmt: skip
    typed = {**graph, "3": pack_node("RecordRelationMaps", name=name, **model, **settings)}
    refused = server.queue(typed)
    assert "name must be letters, digits" in json.dumps(refused["node_errors"]), refused
    entry = server.run(graph)
    (failed,) = [told for kind, told in entry["status"]["messages"] if kind == "execution_error"]
    assert failed["node_id"] == "3" and "name must be letters, digits" in failed["exception_message"]
    assert not mark.exists() and not os.path.exists(server.output / "relation_maps")
