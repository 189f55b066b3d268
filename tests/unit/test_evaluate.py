"""``steer evaluate``: stages on disk that go on where they were, and what comes out."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import tracemalloc
from collections import deque

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_pipelines import autoencoder, qwen_autoencoder
from transformers import BitImageProcessor, CLIPConfig, CLIPImageProcessor, CLIPModel, Dinov2Config, Dinov2Model

from steering_core.classifier import CLASSIFIERS_DIR
from steering_core.cli.main import main
from steering_core.detection.boxes import Box, Found
from steering_core.evaluation.arms import Arm, Drawn
from steering_core.evaluation.cost import Cost, read_times
from steering_core.evaluation.detecting import detect_objects
from steering_core.evaluation.drawing import draw_pictures
from steering_core.evaluation.encoders import AutoencoderEncoder, TransformersEncoder
from steering_core.evaluation.folder import EvaluationFolder
from steering_core.evaluation.page import html_page
from steering_core.evaluation.results import arm_results
from steering_core.evaluation.rules import RULES, VISOR
from steering_core.evaluation.suites import ScenePrompt, Suite
from steering_core.evaluation.tables import markdown, tables_of
from steering_core.miniature.folder import MINIATURE_DIR
from steering_core.miniature.look import MiniatureDetector
from steering_core.pictures import from_image
from steering_core.relations.place import Place
from steering_core.relations.relation import Relation

FEATURES = ["--features", "autoencoder"]
SMALL = ["evaluate", "--count", "2", "--seed", "3", "4", "--steps", "2", "--gallery", "3"]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """An evaluation of two prompts in two ways on the miniature."""
    out = tmp_path_factory.mktemp("evaluation") / "out"
    assert main([*SMALL, "--loss", "none,centroid", *FEATURES, "--out", str(out)]) == 0
    return out


def pictures_in(folder) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.png"))}


def test_every_picture_and_every_result_is_there(evaluated):
    names = [f"{number:06d}_{seed}.png" for number in range(2) for seed in (3, 4)]
    for arm in ("none", "centroid"):
        assert sorted(file.name for file in (evaluated / "arms" / arm / "pictures").iterdir()) == names
        assert Image.open(evaluated / "arms" / arm / "pictures" / names[0]).size == (128, 128)
    results = json.loads((evaluated / "results.json").read_text())
    assert [(arm["name"], arm["pictures"]) for arm in results["arms"]] == [("none", 4), ("centroid", 4)]
    assert results["arms"][0]["gain"] is None and results["arms"][1]["gain"]["value"] is not None
    unsteered, steered = results["arms"]
    assert (unsteered["looks"], unsteered["gradient_passes"]) == (0, 0) and unsteered["seconds"] > 0
    assert steered["looks"] >= steered["gradient_passes"] >= 1
    assert set(results["arms"][0]["by_relation"]) == {"left_of", "right_of"}
    assert (evaluated / "results.md").read_text().startswith("| arm | pictures | OA | VISOR-cond | VISOR-uncond |")
    distances = results["frechet_distance"]
    assert distances["none"] == pytest.approx(0, abs=1e-6) and distances["centroid"] > 1e-3
    assert not list(evaluated.rglob("*.partial"))


def test_the_page_needs_nothing_beside_it(evaluated):
    page = (evaluated / "index.html").read_text()
    assert page.count("<figure") == 2 * 3 == page.count("data:image/jpeg;base64,")
    assert not re.search(r"https?://|src=\"(?!data:)|href", page)
    lines = (evaluated / "results.md").read_text().splitlines()
    of_markdown = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line and "---" not in line
    ]
    of_page = [re.split(r"<t[hd]>", row)[1:] for row in re.findall(r"<tr>(.*?)(?=<tr>|</table>)", page)]
    assert of_page == of_markdown and page.count("<details>") == 3


def test_pictures_are_filtered_in_a_browser(evaluated, browser):
    page, said = browser.new_page(), []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto((evaluated / "index.html").as_uri())
    figures = page.locator("figure:visible")
    assert figures.count() == 6 == int(page.locator("#shown").inner_text())
    page.select_option("select[name=arm]", "centroid")
    assert figures.count() == 3 and page.locator("figure:visible[data-arm=none]").count() == 0
    for verdict in page.locator("select[name=verdict] option").all_inner_texts()[1:]:
        page.select_option("select[name=verdict]", verdict)
        shown = page.locator(f"figure:visible[data-arm=centroid][data-verdict='{verdict}']").count()
        assert figures.count() == shown == int(page.locator("#shown").inner_text())
    assert page.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    assert page.locator("table:visible").count() == 1
    page.locator("summary").first.click()
    assert page.locator("table:visible").count() == 2 and said == []
    page.close()


def test_nothing_is_made_again(evaluated, monkeypatch, capsys):
    before = {file: file.stat().st_mtime_ns for file in evaluated.rglob("*") if file.suffix in (".png", ".json")}
    results = evaluated / "results.json"
    told = results.read_bytes()
    monkeypatch.setattr("steering_core.backends.diffusers.generate", None)
    assert main([*SMALL, "--loss", "none,centroid", *FEATURES, "--out", str(evaluated)]) == 0
    assert "index.html" in capsys.readouterr().out
    assert results.read_bytes() == told
    assert {file: file.stat().st_mtime_ns for file in before if file != results} == {
        file: time for file, time in before.items() if file != results
    }


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        (["--steps", "3"], "run.json was made with other settings: sampling.steps: 2 there, 3 here. Give"),
        (["--cfg", "2"], "sampling.guidance_scale: 5.0 there, 2.0 here"),
        (["--suite-seed", "1"], "suite: 'miniature_2_0' there, 'miniature_2_1' here; "),
        (["--seed", "3"], "seeds: [3, 4] there, [3] here"),
        (["--step-size", "0.7"], "arm.json was made with other settings: schedule.step_size: None there, 0.7 here"),
        (["--margin", "0.1"], "loss.centroid.margin: "),
    ],
)
def test_a_changed_setting_is_noticed(evaluated, capsys, changed, named):
    assert main([*SMALL, "--loss", "none,centroid", "--out", str(evaluated), *changed]) == 2
    error = capsys.readouterr().err
    assert named in error and "another folder" in error


def test_another_detector_is_noticed(tmp_path):
    folder = EvaluationFolder(tmp_path, Suite("mine", (DOG_ABOVE_CAT,), (0,)), {})
    arm = Arm("none", {}, lambda prompt, seeds: Drawn(torch.zeros(1, 3, 8, 8)))
    folder.claim([arm], Seeing())
    assert (
        list(draw_pictures(folder, arm, [0], batch=1)) == list(detect_objects(folder, arm.name, Seeing(), [0])) == [0]
    )
    with pytest.raises(ValueError, match=r"detector\.json .* settings: detector: 'seeing' there, 'another' here\."):
        folder.claim([arm], Another())
    (tmp_path / "arms" / "none" / "detector.json").unlink()
    with pytest.raises(ValueError, match=r"detector\.json was expected, .*and the folder found beside it"):
        folder.claim([arm], Another())


def drawing(name: str, **description) -> Arm:
    """Draws black pictures."""
    return Arm(name, description, lambda prompt, seeds: Drawn(torch.zeros(len(seeds), 3, 8, 8)))


def test_what_has_no_pictures_yet_is_claimed_anew(tmp_path):
    suite = Suite("mine", (DOG_ABOVE_CAT,), (0,))
    EvaluationFolder(tmp_path, suite, {"steps": 1}).claim([drawing("none"), drawing("steered")], None)
    folder = EvaluationFolder(tmp_path, suite, {"steps": 2})
    folder.claim([drawing("none")], Seeing())
    assert list(draw_pictures(folder, drawing("none"), [0], batch=1)) == [0]
    with pytest.raises(ValueError, match=r"run\.json was made with other settings: sampling\.steps: 2 there, 1 here"):
        EvaluationFolder(tmp_path, suite, {"steps": 1}).claim([drawing("none")], None)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.json")}
    with pytest.raises(ValueError, match=r"none.arm\.json was made with other settings: size: nothing there, 2 here"):
        folder.claim([drawing("more"), drawing("steered", size=1), drawing("none", size=2)], None)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*.json")} == before
    folder.claim([drawing("none"), drawing("steered", size=1)], None)


def test_pictures_never_end_in_a_folder_that_another_has_claimed_meanwhile(tmp_path):
    """Neither where it had none yet when the other began."""
    suite = Suite("mine", (DOG_ABOVE_CAT,), (0,))
    late, other = (EvaluationFolder(tmp_path, suite, {"steps": steps}) for steps in (1, 2))
    late.claim([drawing("none")], Seeing())
    other.claim([drawing("none")], Seeing())
    with pytest.raises(ValueError, match=r"sampling\.steps: 2 there, 1 here"):
        list(draw_pictures(late, drawing("none"), [0], batch=1))
    assert not pictures_in(tmp_path) and not list(tmp_path.rglob("times"))
    assert list(draw_pictures(other, drawing("none"), [0], batch=1)) == [0]
    other.claim([drawing("none")], Another())
    with pytest.raises(ValueError, match="detector: 'another' there, 'seeing' here"):
        list(detect_objects(other, "none", Seeing(), [0]))
    assert not other.is_looked_at("none", 0)


def test_a_refused_command_claims_nothing(tmp_path, capsys):
    command = ["evaluate", "--count", "1", "--seed", "0", "--steps", "1", "--only-draw", "--out", str(tmp_path / "out")]
    assert main([*command, "--loss", "none", "--size", "17", "33"]) == 2
    assert main([*command, "--loss", "none"]) == 0
    assert main([*command, "--loss", "none,presence", "--steps", "2"]) == 2
    assert "sampling.steps: 1 there, 2 here" in capsys.readouterr().err
    assert main([*command, "--loss", "none,presence", "--strength", "2"]) == 0


def test_a_way_more_is_drawn_beside_the_others(evaluated, capsys):
    before = pictures_in(evaluated)
    assert main([*SMALL, "--loss", "none,presence", "--out", str(evaluated)]) == 0
    after = pictures_in(evaluated)
    assert before.items() <= after.items() and len(after) == len(before) + 4


def test_a_stopped_run_goes_on(evaluated, tmp_path):
    """Whatever was there when it stopped, the pictures are the same."""
    assert main([*SMALL, "--loss", "none,centroid", "--out", str(tmp_path), "--batch", "1"]) == 0
    alone = pictures_in(tmp_path)
    removed = list(alone)[1::2]
    for name in removed:
        (tmp_path / name).unlink()
    for file in (tmp_path / "arms").rglob("found/*.json"):
        file.unlink()
    assert main([*SMALL, "--loss", "none,centroid", "--out", str(tmp_path), "--batch", "1"]) == 0
    assert pictures_in(tmp_path) == alone
    assert alone.keys() <= pictures_in(evaluated).keys()


@pytest.mark.parametrize("make", [autoencoder, qwen_autoencoder])
def test_pictures_have_features_by_any_autoencoder(make):
    torch.manual_seed(0)
    encoder, pictures = AutoencoderEncoder(make().eval()), [Image.effect_noise((64, 64), 9).convert("RGB")] * 2
    features = encoder(pictures)
    assert features.shape[0] == 2 and features.isfinite().all()


@pytest.mark.parametrize("kept", [0, 300], ids=["empty", "half"])
def test_a_damaged_picture_is_named(tmp_path, kept):
    folder = EvaluationFolder(tmp_path, Suite("mine", (DOG_ABOVE_CAT,), (0,)), {})
    file = folder.picture("none", 0, 0)
    file.parent.mkdir(parents=True)
    Image.effect_noise((64, 64), 50).save(file)
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"is no picture that can be read: .*Remove it") as told:
        folder.read_picture("none", 0, 0)
    assert str(file) in str(told.value)


def test_a_picture_that_the_detector_cannot_look_at_is_named(tmp_path):
    folder, detector = EvaluationFolder(tmp_path, Suite("mine", (DOG_ABOVE_CAT,), (0,)), {}), MiniatureDetector()
    file = folder.picture("none", 0, 0)
    file.parent.mkdir(parents=True)
    Image.effect_noise((16, 16), 50).save(file)
    folder.detector_claim("none", detector).write()
    with pytest.raises(ValueError, match=r"128, 128\)") as told:
        list(detect_objects(folder, "none", detector, [0]))
    assert str(told.value).startswith(f"{file}: ")


def test_two_processes_make_the_same_pictures_as_one(evaluated, tmp_path):
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    threads = str(torch.get_num_threads())  # torchrun gives each process one, which rounds otherwise than several
    run = subprocess.run(
        [sys.executable, *command, "-m", "steering_core", *SMALL, "--loss", "none,centroid", "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": threads},
    )
    assert run.returncode == 0, run.stderr
    assert " 1/1 " in run.stderr and "/2 " not in run.stderr  # of two prompts each process had one
    wanted = {name: content for name, content in pictures_in(evaluated).items() if "presence" not in name}
    assert pictures_in(tmp_path) == wanted
    assert json.loads((tmp_path / "results.json").read_text())["arms"][1]["pictures"] == 4


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--suite", "geneval"], "--file"),
        (["--suite", "visor", "--file", "x.txt"], "--file"),
        (["--suite", "own", "--file", "no_such.txt"], "no_such.txt"),
        (["--model", "somewhere"], "--detector DIR"),
        (["--suite", "visor", "--count", "4"], "does not know"),
        (["--suite", "own", "--file", "mine.txt", "--suite-seed", "1"], "--suite-seed"),
        (["--suite", "own", "--file", "mine.txt", "--rule", "geneval"], '--rule: The rule geneval knows no "next to"'),
        (["--size", "256", "256"], "--size: pictures of 256×256 pixels cannot be looked at"),
        (["--features", "autoencoder", "--count", "1", "--seed", "0"], "--features: two pictures of each way or more"),
        (["--only-draw", "--detector", "nowhere"], "--detector is for looking at the pictures, and --only-draw"),
        (["--only-draw", "--rule", "visor"], "--rule is for looking"),
        (["--only-draw", "--features", "autoencoder"], "--features is for looking"),
        (["--only-draw", "--gallery", "0"], "--gallery is for looking"),
        (["--suite", "own", "--file", "empty.txt"], "empty.txt: a line with a prompt was expected, and there is none"),
        (["--suite", "geneval", "--file", "empty.txt"], "empty.txt: a line with a prompt with the tag position"),
        (
            ["--suite", "own", "--file", "twice.txt"],
            "twice.txt: prompts that all differ were expected, and 'a dog above a cat' stands in lines 1, 3, 5. Leave",
        ),
        (
            ["--suite", "own", "--file", "twice.jsonl"],
            "twice.jsonl: prompts that all differ were expected, and 'a dog above a cat' stands in lines 1, 2",
        ),
        (
            ["--suite", "own", "--file", "twice.json"],
            "twice.json: prompts that all differ were expected, and 'a dog above a cat' stands in lines 1, 2",
        ),
        (["--loss", "none,learned", "--classifier", "other.safetensors"], "other.safetensors"),
        (["--classifier", "other.safetensors"], "--classifier belongs to --loss learned, not to none centroid"),
        (
            ["--loss", "none,presence+learned", "--margin", "0.1"],
            "--margin belongs to --loss centroid, not to none pres",
        ),
        (["--features", "nowhere"], "--features: 'nowhere'"),
        (
            ["--suite", "own", "--file", "mixed.txt", "--loss", "none,learned"],
            "prompt 'a dog next to a cat': The relation classifier does not know \"next to\"",
        ),
        (
            ["--loss", "learned", "--classifier", str(CLASSIFIERS_DIR / "flux_miniature.safetensors")],
            "steer: error: The relation classifier reads",
        ),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_drawn(tmp_path, capsys, monkeypatch, options, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("a dog next to a cat\n")
    (tmp_path / "mixed.txt").write_text("a dog above a cat\na dog next to a cat\n")
    (tmp_path / "empty.txt").write_text("\n")
    again = "a dog above a cat"
    (tmp_path / "twice.txt").write_text(f"{again}\n\n{again}\na cat above a dog\n {again}\n")
    for name in ("twice.jsonl", "twice.json"):
        (tmp_path / name).write_text(2 * (json.dumps({"prompt": again}) + "\n"))
    assert main(["evaluate", "--out", str(tmp_path / "out"), *options]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.png"))


@pytest.mark.parametrize("arms", ["", "none,none", "none,unknown", "none+centroid", "centroid+centroid", "centroid,"])
def test_ways_that_are_none_are_refused(capsys, arms):
    with pytest.raises(SystemExit):
        main(["evaluate", "--out", "out", "--loss", arms])
    assert "ways that differ" in capsys.readouterr().err


DOG_ABOVE_CAT = ScenePrompt((("dog", Relation.ABOVE, "cat"),))
DOG_LEFT_OF_SOFA = ScenePrompt((("dog", Relation.LEFT_OF, "sofa"),))


class Seeing:
    """Finds what the colour of a picture stands for: all of the names in a column or a row, in their order."""

    description = "seeing"

    def find(self, picture: Image.Image, names):
        red, green, _ = (from_image(picture)[:, 0, 0] * 255).round().int().tolist()
        places = ((0.0, 0.0), (0.0, 0.5) if green else (0.5, 0.0))
        return [Found(name, Box(*place, 0.2, 0.2)) for name, place in zip(names, places)][: 1 if red else 2]


class Another(Seeing):
    description = "another"


def colour_of(name: str):
    red, green = {"column": (0.0, 1.0), "row": (0.0, 0.0), "one": (1.0, 0.0)}[name]
    return from_image(Image.new("RGB", (8, 8), (round(255 * red), round(255 * green), 0)))


def test_figures_are_those_of_the_pictures(tmp_path):
    def arm(name: str, *colours: str) -> Arm:
        left = iter(colours)
        return Arm(name, {}, lambda prompt, seeds: Drawn(torch.stack([colour_of(next(left)) for _ in seeds])))

    suite = Suite("mine", (DOG_ABOVE_CAT, DOG_LEFT_OF_SOFA), (0, 1))
    folder = EvaluationFolder(tmp_path, suite, {})
    arms = (arm("first", "column", "row", "one", "column"), arm("second", "column", "column", "row", "row"))
    for one in arms:
        folder.claim([one], Seeing())
        assert list(draw_pictures(folder, one, (0, 1), batch=2)) == [0, 1]
        assert list(detect_objects(folder, one.name, Seeing(), (0, 1))) == [0, 1]
    first, second = arm_results(folder, ("first", "second"), RULES[VISOR])
    assert (first.all.oa.value, first.all.visor_cond.value, first.all.visor_uncond.value) == (0.75, 1 / 3, 0.25)
    assert [one.value for one in first.all.visor_n] == [0.5, 0.0]
    assert second.all.visor_uncond.value == 1.0 and second.gain.value == 0.75
    assert {name: one.visor_uncond.value for name, one in first.by_object.items()} == {
        "cat": 0.5,
        "couch": 0.0,
        "dog": 0.25,
    }
    assert set(first.by_relation) == {"above", "left_of"} and first.by_relation["above"].pictures == 2
    table = markdown(tables_of([first, second], False, {}))
    assert "| first | 4 | 75.0% (50% to 100%) | 33.3%" in table and "+75.0 points" in table


def peak_memory_of(evaluate) -> int:
    """Bytes of Python objects, arrays of pictures among them."""
    tracemalloc.start()
    evaluate()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_many_pictures_need_hardly_more_memory_than_few(tmp_path):
    pictures, side = (40, 400), 64

    def evaluated_in(count: int) -> int:
        prompts = [ScenePrompt(((f"dog {number}", Relation.ABOVE, "cat"),)) for number in range(count // 4)]
        suite = Suite("mine", tuple(prompts), (0, 1, 2, 3))
        folder = EvaluationFolder(tmp_path / str(count), suite, {})
        one = Arm("one", {}, lambda prompt, seeds: Drawn(torch.from_numpy(np.zeros((len(seeds), 3, side, side), "f"))))
        folder.claim([one], Seeing())
        numbers = range(count // 4)

        def evaluate():
            deque(draw_pictures(folder, one, numbers, batch=4), 0)
            deque(detect_objects(folder, one.name, Seeing(), numbers), 0)
            results = arm_results(folder, ("one",), RULES[VISOR])
            html_page(folder, results, tables_of(results, False, {}), RULES[VISOR], 8)

        return peak_memory_of(evaluate)

    evaluated_in(4)  # what is imported and kept the first time
    few, many = map(evaluated_in, pictures)
    of_pixels = 3 * side * side * 4
    assert few > 4 * of_pixels  # what is measured has the pictures in it
    assert (many - few) / (pictures[1] - pictures[0]) < of_pixels / 25


def test_places_are_told_by_relation_and_can_be_filtered(tmp_path):
    asked = (("dog", Place.AT_LEFT, None), ("dog", Relation.ABOVE, "cat"))
    folder = EvaluationFolder(tmp_path, Suite("mine", (DOG_ABOVE_CAT, ScenePrompt(asked)), (0,)), {})
    one = Arm("one", {}, lambda prompt, seeds: Drawn(colour_of("column")[None]))
    folder.claim([one], Seeing())
    assert (
        list(draw_pictures(folder, one, (0, 1), batch=1))
        == list(detect_objects(folder, "one", Seeing(), (0, 1)))
        == [0, 1]
    )
    results = arm_results(folder, ("one",), RULES[VISOR])
    assert {name: told.pictures for name, told in results[0].by_relation.items()} == {"above": 2, "at_left": 1}
    tables = tables_of(results, False, {})
    assert "| at_left |" in markdown(tables)
    page = html_page(folder, results, tables, RULES[VISOR], 2)
    assert "<option>at_left</option>" in page and 'data-relation="at_left above"' in page


def test_the_cost_of_a_picture_is_by_the_arms_clock_and_by_what_steering_did(tmp_path):
    """Also where a run was stopped between the pictures of a prompt; a folder without times tells none."""
    now = iter((0.0, 6.0, 10.0, 11.0))

    def draw(prompt, seeds):
        return Drawn(torch.zeros(len(seeds), 3, 8, 8), looks=7 * len(seeds), gradient_passes=4)

    arm = Arm("one", {}, draw, clock=lambda: next(now))
    folder = EvaluationFolder(tmp_path, Suite("mine", (DOG_ABOVE_CAT,), (0, 1)), {})
    folder.claim([arm], None)
    assert all(map(math.isnan, vars(folder.cost("one", [0])).values()))
    assert list(draw_pictures(folder, arm, [0], batch=2)) == [0]
    assert folder.cost("one", [0]) == Cost(3.0, 7.0, 2.0)
    folder.picture("one", 0, 1).unlink()
    assert list(draw_pictures(folder, arm, [0], batch=2)) == [0]
    assert folder.cost("one", [0]) == Cost(pytest.approx(7 / 3), 7.0, pytest.approx(8 / 3))


def test_what_was_not_counted_then_is_told_as_unknown_and_the_time_goes_on(tmp_path):
    folder = EvaluationFolder(tmp_path, Suite("mine", (DOG_ABOVE_CAT,), (0,)), {})
    arm = Arm("one", {}, lambda prompt, seeds: Drawn(torch.zeros(1, 3, 8, 8), looks=7), clock=lambda: 0.0)
    folder.claim([arm], None)
    file = tmp_path / "arms" / "one" / "times" / "000000.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"pictures": 1, "seconds": 2.0}))
    for pictures in (1, 2):
        cost = folder.cost("one", [0])
        assert cost.seconds == 2.0 / pictures and math.isnan(cost.looks) and math.isnan(cost.gradient_passes)
        assert list(draw_pictures(folder, arm, [0], batch=1)) == [0]


def test_a_damaged_file_of_times_is_named_and_what_to_do(tmp_path):
    (tmp_path / "000000.json").write_text("{")
    with pytest.raises(ValueError, match=r"000000.json is no JSON .* Remove it"):
        read_times(tmp_path / "000000.json")


def test_variety_is_that_of_what_was_found(tmp_path):
    places = {"narrow": (0.0, 0.0), "wide": (0.0, 0.4)}
    suite = Suite("mine", (DOG_ABOVE_CAT,), (0, 1))
    folder = EvaluationFolder(tmp_path, suite, {})
    for arm, tops in places.items():
        found = [[["dog", 0.0, top, 0.2, 0.2, 1.0], ["cat", 0.0, 0.8, 0.2, 0.2, 1.0]] for top in tops]
        file = tmp_path / "arms" / arm / "found" / "000000.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"size": [8, 8], "found": found}))
    narrow, wide = arm_results(folder, tuple(places), RULES[VISOR])
    assert (narrow.spread_of_places, narrow.spread_of_sizes) == (0.0, 0.0)
    assert wide.spread_of_places == pytest.approx(0.1)  # 0.2 of the dog, 0 of the cat
    told = markdown(tables_of([narrow, wide], False, {"narrow": 0.0, "wide": 1.5}))
    assert "| wide | 0.100 | 0.000 | 1.500 |" in told


@pytest.mark.parametrize("kind", ["clip", "dinov2"])
def test_features_of_vision_models(tmp_path, kind):
    """Of reduced size with random weights: their form is what is tested."""
    torch.manual_seed(0)
    size = {"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    if kind == "clip":
        text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        vision = {**size, "intermediate_size": 16}
        CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)).save_pretrained(tmp_path)
        CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(tmp_path)
    else:
        Dinov2Model(Dinov2Config(**size)).save_pretrained(tmp_path)
        BitImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    pictures = [Image.effect_noise((48, 40), 90).convert("RGB") for _ in range(3)]
    features = TransformersEncoder(str(tmp_path), "cpu")(pictures)
    assert features.shape == (3, 12 if kind == "clip" else 16) and features.isfinite().all()
    torch.testing.assert_close(TransformersEncoder(str(tmp_path), "cpu")(pictures[1:2]), features[1:2])


def test_a_folder_without_a_vision_model_is_told(tmp_path):
    with pytest.raises(ValueError, match="nowhere"):
        TransformersEncoder(str(tmp_path / "nowhere"), "cpu")
    with pytest.raises(ValueError, match="CLIP or DINOv2, was expected"):
        TransformersEncoder(str(MINIATURE_DIR / "text_encoder"), "cpu")


def test_a_damaged_file_of_what_was_found_is_told(tmp_path):
    folder = EvaluationFolder(tmp_path, Suite("mine", (DOG_ABOVE_CAT,), (0, 1)), {})
    file = tmp_path / "arms" / "none" / "found" / "000000.json"
    file.parent.mkdir(parents=True)
    for content in ("", "[]", '{"size": [8, 8], "found": [[]]}', '{"size": [8, 8], "found": [[["dog"]], []]}'):
        file.write_text(content)
        with pytest.raises(ValueError, match=r"000000\.json"):
            folder.found("none", 0)
