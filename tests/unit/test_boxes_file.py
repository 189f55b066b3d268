"""Boxes that another program found: the file of ``steer evaluate --detector FILE``."""

from __future__ import annotations

import json

import pytest
import torch

from steering_core.cli.main import main
from steering_core.detection.boxes import Box, Found
from steering_core.detection.boxes_file import BoxesFile
from steering_core.evaluation.arms import Arm, Drawn
from steering_core.evaluation.detecting import check_boxes, take_boxes
from steering_core.evaluation.drawing import draw_pictures
from steering_core.evaluation.folder import EvaluationFolder
from steering_core.evaluation.results import arm_results
from steering_core.evaluation.rules import RULES, VISOR
from steering_core.evaluation.suites import ScenePrompt, Suite
from steering_core.relations.relation import Relation

DOG_ABOVE_SOFA = ScenePrompt((("dog", Relation.ABOVE, "sofa"),))
DOG = {"label": "dog", "box": [8, 0, 4, 4], "score": 0.9}
COUCH = {"label": "Couch", "box": [8, 8, 16, 8], "score": 0.95, "area": 128}


def written(folder, *lines):
    file = folder / "boxes.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return file


def test_boxes_are_read_line_by_line_in_any_order(tmp_path):
    file = written(
        tmp_path, {"picture": "b.png", "found": []}, "", {"picture": "ä.png", "found": [DOG, COUCH], "of": "mine"}
    )
    boxes = BoxesFile(file)
    boxes.check(["sofa"], ["ä.png", "b.png"])
    assert boxes.find("ä.png", (32, 16), ["dog", "sofa"]) == [
        Found("sofa", Box(0.25, 0.5, 0.5, 0.5), 0.95),
        Found("dog", Box(0.25, 0.0, 0.125, 0.25), 0.9),
    ]
    assert boxes.find("b.png", (32, 16), ["dog", "sofa"]) == []
    assert boxes.description == BoxesFile(file).description
    written(tmp_path, {"picture": "b.png", "found": [{"label": "dog", "box": [0, 0, 1, 1]}]})
    again = BoxesFile(file)
    assert again.description != boxes.description and again.find("b.png", (4, 4), ["dog"])[0].score == 1.0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("no JSON", "is no JSON"),
        ("[1]", "an object with picture, found was expected"),
        ({"found": []}, "picture was expected in it"),
        ({"picture": "a.png", "found": [{"label": "dog"}]}, r"found\[0\]: box was expected in it"),
        ({"picture": "a.png", "found": [{**DOG, "box": [1, 2, 3]}]}, r"found\[0\]\.box: a list of 4 was expected"),
        ({"picture": "a.png", "found": [DOG, {**DOG, "box": [1, 2, 3, 0]}]}, r"found\[1\]: a box with a width"),
        ({"picture": "a.png", "found": [{**DOG, "score": 1.5}]}, "a score from 0 to 1"),
        ({"picture": "a.png", "found": [{**DOG, "label": " "}]}, "a label with a word"),
        ({"picture": "first.png", "found": []}, "first.png' is there already"),
    ],
)
def test_a_wrong_line_is_refused_with_its_number(tmp_path, line, told):
    file = written(tmp_path, {"picture": "first.png", "found": []}, line)
    with pytest.raises(ValueError, match=rf"boxes\.jsonl: line 2.*{told}"):
        BoxesFile(file)


def test_a_file_of_other_pictures_or_names_is_refused(tmp_path):
    boxes = BoxesFile(written(tmp_path, {"picture": "a.png", "found": [DOG]}))
    with pytest.raises(ValueError, match=r"2 have none, such as b\.png\. Draw the pictures first"):
        boxes.check(["dog"], ["a.png", "b.png", "c.png"])
    with pytest.raises(ValueError, match=r"such as bus. Those in it are: dog"):
        boxes.check(["bus"], ["a.png"])
    with pytest.raises(ValueError, match=r"a\.png: a box in its 4×4 pixels was expected, not \[8.0, 0.0"):
        boxes.find("a.png", (4, 4), ["dog"])


def test_a_file_may_say_that_nothing_was_found_in_any_picture(tmp_path):
    boxes = BoxesFile(written(tmp_path, {"picture": "a.png", "found": []}))
    boxes.check(["dog"], ["a.png"])
    assert boxes.find("a.png", (4, 4), ["dog"]) == []


def test_pictures_are_judged_by_the_boxes_of_a_file(tmp_path):
    folder = EvaluationFolder(tmp_path / "out", Suite("mine", (DOG_ABOVE_SOFA,), (0, 1)), {})
    arm = Arm("none", {}, lambda prompt, seeds: Drawn(torch.zeros(len(seeds), 3, 16, 32)))
    folder.claim([arm], None)
    assert list(draw_pictures(folder, arm, [0], batch=2)) == [0]
    right, missing = (folder.place(*picture) for picture in folder.all_pictures(["none"]))
    boxes = BoxesFile(
        written(tmp_path, {"picture": missing, "found": [DOG]}, {"picture": right, "found": [COUCH, DOG]})
    )
    check_boxes(folder, ["none"], boxes)
    folder.claim([arm], boxes)
    assert list(take_boxes(folder, "none", boxes, [0])) == [0]
    (result,) = arm_results(folder, ["none"], RULES[VISOR])
    assert (result.all.oa.value, result.all.visor_uncond.value) == (0.5, 0.5)
    other = BoxesFile(written(tmp_path, {"picture": missing, "found": []}, {"picture": right, "found": [DOG]}))
    with pytest.raises(ValueError, match=r"detector\.json and the folder found beside it: the pictures stay"):
        folder.claim([arm], other)


def test_the_command_draws_and_goes_on_with_what_another_program_found(tmp_path, capsys):
    out, prompts = tmp_path / "out", tmp_path / "prompts.txt"
    prompts.write_text("a dog above a sofa\n")
    command = ["evaluate", "--suite", "own", "--file", str(prompts), "--seed", "1", "--steps", "2", "--out", str(out)]
    file = written(tmp_path, {"picture": "arms/none/pictures/000000_1.png", "found": [DOG]})
    assert main([*command, "--detector", str(file)]) == 2
    told = capsys.readouterr().err
    assert "1 have none, such as arms/centroid/pictures/000000_1.png" in told and "--detector or --only-draw: " in told
    assert not list(out.rglob("*.png"))
    assert main([*command, "--only-draw"]) == 0
    pictures = sorted(str(picture.relative_to(out)) for picture in out.rglob("*.png"))
    assert len(pictures) == 2 and not (out / "results.json").exists()
    written(tmp_path, *({"picture": picture, "found": [DOG, COUCH]} for picture in pictures))
    assert main([*command, "--detector", str(file)]) == 0
    results = json.loads((out / "results.json").read_text())
    assert [arm["visor_uncond"]["value"] for arm in results["arms"]] == [1.0, 1.0]


def test_boxes_of_pictures_that_are_not_drawn_are_refused(tmp_path, capsys):
    """They are those of another folder: pictures that are drawn only then, nobody has looked at."""
    out, prompts = tmp_path / "out", tmp_path / "prompts.txt"
    prompts.write_text("a dog above a sofa\n")
    command = ["evaluate", "--suite", "own", "--file", str(prompts), "--seed", "1", "2", "--steps", "1"]
    command += ["--loss", "none", "--out", str(out)]
    pictures = [f"arms/none/pictures/000000_{seed}.png" for seed in (1, 2)]
    file = written(tmp_path, *({"picture": picture, "found": [DOG, COUCH]} for picture in pictures))
    assert main([*command, "--detector", str(file)]) == 2
    assert f"2 of 2 are not in {out}, such as {pictures[0]}. Draw the pictures first" in capsys.readouterr().err
    assert not out.exists()
    assert main([*command, "--only-draw"]) == 0
    (out / pictures[1]).unlink()
    assert main([*command, "--detector", str(file)]) == 2
    assert f"1 of 2 are not in {out}, such as {pictures[1]}" in capsys.readouterr().err
    assert not (out / pictures[1]).exists()


def test_a_file_of_boxes_can_be_corrected(tmp_path, capsys):
    """A box beyond its picture is told before anything is taken from the file, also from the lines before it."""
    out, prompts = tmp_path / "out", tmp_path / "prompts.txt"
    prompts.write_text("a dog above a sofa\n")
    command = ["evaluate", "--suite", "own", "--file", str(prompts), "--seed", "1", "--steps", "1", "--out", str(out)]
    assert main([*command, "--only-draw"]) == 0
    pictures = [f"arms/{arm}/pictures/000000_1.png" for arm in ("none", "centroid")]
    for right in (False, True):
        last = DOG if right else {**DOG, "box": [500, 0, 4, 4]}
        lines = [{"picture": picture, "found": [COUCH, one]} for picture, one in zip(pictures, (DOG, last))]
        assert main([*command, "--detector", str(written(tmp_path, *lines))]) == (0 if right else 2)
        assert right or f"{pictures[1]}: a box in its 128×128 pixels" in capsys.readouterr().err
