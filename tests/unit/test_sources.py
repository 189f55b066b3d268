from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from steering_core.detection.boxes import Box
from steering_core.miniature.detector import GlyphDetector
from steering_core.miniature.world import OBJECTS, is_unseen_pair
from steering_core.relations.relation import CARDINAL_RELATIONS, Relation
from steering_core.training.sources import (
    LabelledPictures,
    MiniatureScenes,
    coco_pictures,
    gqa_pictures,
    unambiguous_relation,
)

CENTRE = Box(0.4, 0.4, 0.2, 0.2)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (Box(0.8, 0.4, 0.2, 0.2), Relation.RIGHT_OF),
        (Box(0.0, 0.5, 0.2, 0.2), Relation.LEFT_OF),
        (Box(0.4, 0.0, 0.2, 0.2), Relation.ABOVE),
        (Box(0.45, 0.8, 0.2, 0.2), Relation.BELOW),
        (Box(0.7, 0.7, 0.2, 0.2), None),  # as much below as to the right
        (Box(0.48, 0.4, 0.2, 0.2), None),  # one over the other
        (Box(0.3, 0.3, 0.5, 0.4), None),  # around it
        (Box(0.9, 0.45, 0.05, 0.05), None),  # too small to be seen
    ],
)
def test_only_what_is_beyond_dispute_counts(other, expected):
    assert unambiguous_relation(other, CENTRE) is expected
    assert unambiguous_relation(CENTRE, other) is (expected.inverse if expected else None)


def test_scenes_of_the_miniature_have_the_four_relations_equally_often():
    scenes = MiniatureScenes(12, seed=0)
    examples = [scenes[index] for index in range(len(scenes))]
    assert [example.relation for example in examples] == list(CARDINAL_RELATIONS) * 3
    assert not any(is_unseen_pair(example.subject, example.object) for example in examples)
    assert len({example.key for example in examples}) == 12


def test_a_scene_is_the_same_whenever_it_is_asked_for():
    first, again = MiniatureScenes(9, seed=3)[7], MiniatureScenes(9, seed=3)[7]
    assert (first.key, first.subject, first.object) == (again.key, again.subject, again.object)
    assert np.array_equal(first.picture, again.picture)
    assert not np.array_equal(first.picture, MiniatureScenes(9, seed=4)[7].picture)


def test_scenes_can_be_of_unseen_pairs_and_without_some_objects():
    unseen = MiniatureScenes(20, seed=0, unseen_pairs=True)
    assert all(is_unseen_pair(unseen[index].subject, unseen[index].object) for index in range(20))
    without = MiniatureScenes(40, seed=0, without=("dog", "cat"))
    assert not any({without[index].subject, without[index].object} & {"dog", "cat"} for index in range(40))


def test_scenes_can_have_more_objects_than_their_label_names():
    scenes = MiniatureScenes(8, seed=0, others=2)
    pictures = torch.from_numpy(np.stack([np.array(scenes[index].picture) for index in range(8)])).permute(0, 3, 1, 2)
    counts = set()
    for index, found in enumerate(GlyphDetector().detect(pictures / 255)):
        example, centres = scenes[index], {one.label: one.box.centre for one in found}
        assert example.relation.holds(centres[example.subject], centres[example.object])
        counts.add(len(found))
    assert counts == {2, 3, 4}


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"without": ["unicorn"]}, "unicorn"), ({"without": OBJECTS[1:]}, "No pair"), ({"others": 4}, "0 to 3")],
)
def test_scenes_that_cannot_be_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        MiniatureScenes(1, 0, **settings)


def picture(folder, name):
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (200, 100), "white").save(folder / name)


def coco(folder, boxes, crowd=()):
    """One picture of 200×100 for each list of (category, box)."""
    folder.mkdir(exist_ok=True)
    images = [{"id": n, "file_name": f"{n}.png", "width": 200, "height": 100} for n in range(len(boxes))]
    annotations = [
        {"image_id": n, "category_id": category, "bbox": box, "iscrowd": int(category in crowd)}
        for n, objects in enumerate(boxes)
        for category, box in objects
    ]
    categories = [{"id": n, "name": name} for n, name in enumerate(["dog", "cat", "car"])]
    file = folder / "instances.json"
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    for image in images:
        picture(folder / "pictures", image["file_name"])
    return file, folder / "pictures"


LEFT, RIGHT, MIDDLE = [52, 40, 30, 30], [118, 40, 30, 30], [85, 0, 30, 30]
#: Of a picture that has one pair.
BOXED = [(0, LEFT), (1, RIGHT)]


def test_coco_gives_a_pair_of_each_picture_that_has_one(tmp_path):
    pictures = coco_pictures(*coco(tmp_path, [[(0, LEFT), (1, RIGHT)], [(0, LEFT)], [(1, LEFT), (2, RIGHT)]]), seed=0)
    examples = [pictures[index] for index in range(len(pictures))]
    assert [example.key for example in examples] == ["0000000", "0000001"]
    assert {examples[1].subject, examples[1].object} == {"cat", "car"}
    told = {(examples[0].subject, examples[0].relation, examples[0].object)}
    assert told <= {("dog", Relation.LEFT_OF, "cat"), ("cat", Relation.RIGHT_OF, "dog")}
    assert {example.relation for example in examples} == {Relation.LEFT_OF, Relation.RIGHT_OF}
    assert examples[0].picture.size == (200, 100)


@pytest.mark.parametrize("boxes", [[(0, LEFT), (0, MIDDLE), (1, RIGHT)], [(0, LEFT), (2, RIGHT)]])
def test_coco_leaves_out_what_occurs_twice_or_as_a_crowd(tmp_path, boxes):
    with pytest.raises(ValueError, match="no picture has a pair"):
        coco_pictures(*coco(tmp_path, [boxes], crowd={2}), seed=0)


def test_objects_count_in_the_square_that_is_recorded(tmp_path):
    """Of 200 pixels the middle hundred; an object of which half lies beyond them is still one of its name."""
    beyond, cut, whole = [0, 40, 40, 30], [40, 0, 30, 30], [60, 70, 30, 30]
    for objects in ([(0, beyond), (1, RIGHT)], [(0, LEFT), (0, beyond), (1, RIGHT)]):
        with pytest.raises(ValueError, match="no picture has a pair"):
            coco_pictures(*coco(tmp_path, [objects]), seed=0)
    # By the whole boxes the cut one is as much to the left as above; by what is seen of it, it is above.
    (example,) = coco_pictures(*coco(tmp_path, [[(0, cut), (1, whole)]]), seed=0)
    assert {(example.subject, example.relation), (example.object, example.relation.inverse)} == {
        ("dog", Relation.ABOVE),
        ("cat", Relation.BELOW),
    }


def photograph(file, size, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.new("RGB", size, "white").save(file, exif=exif)


def test_a_photograph_is_turned_as_its_annotations_have_it(tmp_path):
    file, folder = coco(tmp_path, [BOXED])
    for size, orientation in (((200, 100), 6), ((100, 200), 6), ((400, 201), 1)):  # as stored, upright, a larger copy
        photograph(folder / "0.png", size, orientation)
        assert coco_pictures(file, folder, seed=0)[0].picture.size == (size if orientation == 1 else (200, 100))


def test_a_photograph_of_another_shape_than_its_annotations_say_is_refused(tmp_path):
    file, folder = coco(tmp_path, [BOXED])
    photograph(folder / "0.png", (100, 200), 1)
    with pytest.raises(ValueError, match=r"0\.png has 100 × 200 pixels, where its annotations have 200 × 100"):
        coco_pictures(file, folder, seed=0)[0]


def test_a_missing_picture_is_named_before_anything_is_recorded(tmp_path):
    file, folder = coco(tmp_path, [[(0, LEFT), (1, RIGHT)]])
    (folder / "0.png").unlink()
    with pytest.raises(ValueError, match=r"0\.png' was expected"):
        coco_pictures(file, folder, seed=0)


@pytest.mark.parametrize("content", ["no json", "[]", '{"images": []}'])
def test_a_file_of_another_format_is_named(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=r"a\.json"):
        coco_pictures(tmp_path / "a.json", tmp_path, seed=0)


def gqa(folder, objects, relations):
    """A graph with one picture; relations are (subject, name, object)."""
    graph = {"width": 200, "height": 100, "objects": {}}
    for number, (name, (x, y, w, h)) in enumerate(objects):
        stated = [
            {"name": relation, "object": str(other)} for subject, relation, other in relations if subject == number
        ]
        graph["objects"][str(number)] = {"name": name, "x": x, "y": y, "w": w, "h": h, "relations": stated}
    file = folder / "graphs.json"
    file.write_text(json.dumps({"77": graph}))
    picture(folder / "images", "77.jpg")
    return file, folder / "images"


def test_gqa_gives_relations_that_graph_and_boxes_agree_on(tmp_path):
    objects = [("black dog", LEFT), ("cat", RIGHT), ("car", MIDDLE)]
    relations = [(0, "to the left of", 1), (2, "to the left of", 0), (2, "near", 1)]
    pictures = gqa_pictures(*gqa(tmp_path, objects, relations), seed=0)
    (example,) = [pictures[index] for index in range(len(pictures))]
    assert (example.subject, example.relation, example.object) == ("black dog", Relation.LEFT_OF, "cat")


@pytest.mark.parametrize("other", ["dog", "dogs", "white dog"])
def test_gqa_leaves_out_a_noun_that_occurs_twice(tmp_path, other):
    objects = [("black dog", LEFT), ("cat", RIGHT), (other, MIDDLE)]
    with pytest.raises(ValueError, match="no picture has a pair"):
        gqa_pictures(*gqa(tmp_path, objects, [(0, "to the left of", 1)]), seed=0)


def test_labels_are_read_as_prompts_are():
    pictures = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    labelled = LabelledPictures(pictures, ["a red dog to the left of a cat", "the car under the bus"])
    told = [(e.subject, e.relation, e.object) for e in (labelled[0], labelled[1])]
    assert told == [("red dog", Relation.LEFT_OF, "cat"), ("car", Relation.BELOW, "bus")]
    assert labelled.description != LabelledPictures(pictures[::-1], list(labelled.description["labels"])).description


def test_annotations_without_a_clear_pair_are_named_with_what_to_give(tmp_path):
    file, folder = coco(tmp_path, [[(0, LEFT)]])
    with pytest.raises(ValueError, match="no picture has a pair") as raised:
        coco_pictures(file, folder, seed=0)
    assert str(file) in str(raised.value) and "Give annotations" in str(raised.value)
    assert "sha256" not in str(raised.value)


@pytest.mark.parametrize("labels", [["a dog", "a dog above a cat"], ["a dog next to a cat"] * 2, ["a dog above a cat"]])
def test_labels_without_one_clear_relation_are_refused(labels):
    with pytest.raises(ValueError, match=r"^labels: "):
        LabelledPictures([Image.new("RGB", (8, 8))] * 2, labels)
