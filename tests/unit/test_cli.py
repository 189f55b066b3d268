from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from test_classifier import published

from steering_core.backends.diffusers import verification
from steering_core.cli.main import main
from steering_core.evaluation.figures import PromptCounts, figures
from steering_core.files.described import parse_json
from steering_core.miniature import demo as miniature_demo
from steering_core.miniature import score
from steering_core.miniature.folder import SHIPPED

COMMANDS = [
    [],
    ["demo"],
    ["evaluate"],
    ["generate"],
    ["parse"],
    ["record"],
    ["train"],
    ["verify"],
    ["classifier"],
    ["classifier", "show"],
    ["classifier", "convert"],
    ["miniature"],
    *(["miniature", action] for action in ("train", "sample", "score", "glyphs")),
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command) or "steer")
def test_every_command_has_help(capsys, command):
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {' '.join(['steer', *command])}")


def test_parse_prints_triplets_as_json(capsys):
    prompt = "a dog to the left of a teddy bear"
    assert main(["parse", prompt, "--json"]) == 0
    (triplet,) = json.loads(capsys.readouterr().out)
    assert triplet == {
        "subject": "dog",
        "relation": "left_of",
        "object": "teddy bear",
        "subject_span": [2, 5],
        "object_span": [23, 33],
        "steered": True,
    }


def test_parse_prints_places_and_depth_as_json(capsys):
    assert main(["parse", "a dog in the upper right corner behind a sofa", "--json"]) == 0
    told = [(one["relation"], one["object"], one["object_span"], one["steered"]) for one in _printed(capsys)]
    assert told == [("at_top_right", None, None, True), ("behind", "sofa", [41, 45], False)]


def _printed(capsys):
    return json.loads(capsys.readouterr().out)


def test_parse_prints_words(capsys):
    main(["parse", "a dog to the left of a teddy bear"])
    assert capsys.readouterr().out == "dog to the left of teddy bear\n"
    main(["parse", "a dog on the left in front of a sofa"])
    assert capsys.readouterr().out == "dog on the left\nread, but not steered: dog in front of sofa\n"
    main(["parse", "a dog behind a sofa"])
    none, depth = capsys.readouterr().out.splitlines()
    assert none == "No spatial relation was found." and depth == "read, but not steered: dog behind sofa"


def test_no_relation_is_an_empty_list(capsys):
    assert main(["parse", "a dog", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["generate", "a dog above a cat", "--out", "no/such/folder/x.png"], "no/such/folder"),
        (["generate", "a dog above a cat", "--out", "x.mp3"], "x.mp3"),
        (["generate", "a dog above a cat", "--out", "x.png", "--report", "no/r.json"], "no/r.json"),
        (["generate", "a dog above a cat", "--out", "x.png", "--model", "no/such/model"], "no/such/model"),
        (["generate", "a dog above a cat", "--out", "x.png", "--alpha", "-1"], "alpha"),
        (["generate", "a dog above a cat", "--out", "x.png", "--start", "0.5", "--end", "0.2"], "0.5 to 0.2"),
        (["generate", "a dog above a cat", "--out", "x.psd"], "x.psd"),
        (["generate", "a dog above a cat", "--out", "."], "folder"),
        (["generate", "a dog above a cat", "--out", "x.png", "--maps", "x.png"], "both"),
        (["generate", "a dog above a cat", "--out", "x.png", "--report", "r.txt"], ".json"),
        (["generate", "a dog above a cat", "--out", "x.png", "--seed", "1", "1"], "--seed [1, 1]"),
        (["generate", "a dog above a cat", "--out", "x.png", "--device", "toaster"], "toaster"),
        (["generate", "a dog", "--out", "x.png", "--maps", "m.png"], "no step"),
        (["demo", "--out", "no/such/folder/x.png"], "no/such/folder"),
        (["demo", "--out", "x"], "x:"),
        (["demo", "--margin", "2"], "margin"),
        (["miniature", "glyphs", "--font", "no.ttf", "--out", "x.png"], "no.ttf"),
        (["miniature", "train", "--out", "m", "--work", "m/work"], "--work m/work lies in --out m"),
        (["miniature", "score", "--model", "no/such/model", "--scenes", "1"], "no/such/model"),
    ],
)
def test_errors_are_one_line_and_status_2(capsys, monkeypatch, tmp_path, arguments, named):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err.strip()
    lines = [line for line in error.splitlines() if line.startswith("steer: error:")]
    assert len(lines) == 1 and named in lines[0]
    assert error.endswith(lines[0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (
            ["generate", "a dog", "--out", "x.png", "--model", "x.safetensors"],
            "--model or --components: x.safetensors is",
        ),
        (["generate", "a dog", "--out", "x.png", "--components", "c"], "--model or --components: "),
        (["generate", "a dog", "--out", "x.png", "--model", "no/such/model"], "--model: 'no/such/model' is neither"),
        (["record", "--out", "out", "--model", "x.safetensors"], "--model: x.safetensors is a single file"),
        (["verify", "--out", "x.png", "--detector", "no/such/model"], "--detector: 'no/such/model' is neither"),
        (["classifier", "show", "mine.pth"], "--network: mine.pth says it was made for 'mine'"),
        (
            ["generate", "a dog", "--out", "x.png", "--loss", "learned", "--classifier", "mine.pth"],
            "--classifier: steer classifier convert --network: mine.pth says it was made for 'mine'",
        ),
    ],
)
def test_what_the_library_refuses_is_told_with_its_option(capsys, monkeypatch, tmp_path, arguments, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.safetensors").write_bytes(b"weights")
    torch.save(published(training_config={"exp_name": "mine", "timesteps": [5]}), tmp_path / "mine.pth")
    assert main(arguments) == 2
    assert f"steer: error: {named}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["generate"],
        ["demo", "--prompts", "0"],
        ["demo", "--prompts", "few"],
        ["generate", "a", "--out", "x", "--seed", "-1"],
        ["generate", "a", "--out", "x", "--loss", "best"],
    ],
)
def test_wrong_usage_is_one_line_and_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_package_that_is_missing_is_told_with_the_clones_install(capsys, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "accelerate", None)

    assert main(["evaluate", "--out", str(tmp_path / "results"), "--only-draw"]) == 2
    told = capsys.readouterr().err
    assert told == 'steer: error: accelerate is not installed. In the folder of the clone: pip install -e ".[cli]"\n'


def test_an_import_that_is_broken_names_no_package_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "steering_core.report.viz", None)

    with pytest.raises(ModuleNotFoundError, match=r"steering_core\.report\.viz"):
        main(["generate", "a cup above a banana", "--out", "x.png"])


def test_generate_writes_pictures_maps_and_report(tmp_path, capsys):
    out, maps, report = tmp_path / "out.png", tmp_path / "maps.png", tmp_path / "report.json"
    prompt = "a photo of a giraffe above an airplane"
    files = ["--out", str(out), "--maps", str(maps), "--report", str(report)]
    assert main(["generate", prompt, "--seed", "3", "4", "--steps", "8", "--refinements", "1", *files]) == 0
    assert "giraffe above airplane" in capsys.readouterr().out
    for seed in (3, 4):
        assert Image.open(tmp_path / f"out_{seed}.png").size == (128, 128)
    assert Image.open(maps).width > 128
    told = json.loads(report.read_text())
    assert told["objects"] == ["giraffe", "airplane"] and told["seeds"] == [3, 4]
    assert [entry["step"] for entry in told["trace"]] == [0, 1]


def test_steering_changes_the_picture_and_its_absence_does_not(tmp_path):
    pictures = {}
    for name, options in {"none": ["--loss", "none"], "again": ["--loss", "none"], "steered": []}.items():
        out = tmp_path / f"{name}.png"
        assert main(["generate", "a giraffe above an airplane", "--steps", "8", "--out", str(out), *options]) == 0
        pictures[name] = out.read_bytes()
    assert pictures["none"] == pictures["again"] != pictures["steered"]


@pytest.mark.parametrize("source", [[], ["--data"]], ids=["model", "data"])
def test_sample_writes_a_sheet_and_its_captions(tmp_path, capsys, source):
    out = tmp_path / "sheet.png"
    assert main(["miniature", "sample", "--out", str(out), "--count", "3", *source]) == 0
    assert Image.open(out).size == (3 * 128, 128)
    assert len(capsys.readouterr().out.strip().splitlines()) == 3


def test_verify_writes_pictures_and_a_table(tmp_path, capsys):
    out = tmp_path / "verify.png"
    assert main(["verify", "--prompts", "2", "--steps", "8", "--out", str(out)]) == 0
    width, height = Image.open(out).size
    assert width > 2 * 128 and height > 2 * 128
    told = dict(line.strip("| ").split(" | ", 1) for line in capsys.readouterr().out.splitlines())
    assert told["model"].startswith("Stable Diffusion")
    assert told["layers read"].startswith("up.0")
    assert told["tokens"] == "dog: 1, teddy bear: 2; cat: 1, chair: 1"
    assert told["maps and losses"].startswith("finite, each map sums to 1; ") and told["steps not steered"] == "none"
    assert told["attention stands as asked, at the last look"].endswith("of 2 prompts")
    assert {"unsteered, as a detector sees it", "steered, as a detector sees it"} < told.keys()


def test_verify_tells_a_size_that_its_detector_cannot_look_at_before_anything_is_drawn(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("steering_core.backends.diffusers.generate", None)
    assert main(["verify", "--size", "64", "64", "--out", str(tmp_path / "verify.png")]) == 2
    assert "--size: pictures of 64×64 pixels cannot be looked at" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate"],
        ["record"],
        ["train", "--data", "a", "--validation", "a"],
        ["miniature", "train"],
    ],
    ids=lambda command: command[0],
)
def test_a_file_in_place_of_a_folder_is_told(tmp_path, capsys, command):
    file = tmp_path / "out"
    file.write_text("mine")
    for out in (file, file / "more"):
        assert main([*command, "--out", str(out)]) == 2
        assert f"a folder to write into was expected, and {file} is none." in capsys.readouterr().err


def test_verify_of_binding_alone_says_that_nothing_is_read(tmp_path, capsys):
    options = ["--prompts", "1", "--steps", "2", "--strength", "0", "--bound", "0.5"]
    assert main(["verify", "--out", str(tmp_path / "verify.png"), *options]) == 0
    told = dict(line.strip("| ").split(" | ", 1) for line in capsys.readouterr().out.splitlines())
    assert told["maps and losses"] == "none was read: by these options no step is steered"
    assert told["steps with bound objects"] == "1 of 1"
    assert not {"steps not steered", "attention stands as asked, at the last look"} & told.keys()


def test_verify_saves_its_pictures_before_it_prints(tmp_path, monkeypatch):
    def report(*_):
        raise ValueError("cannot be printed")

    monkeypatch.setattr(verification, "report", report)
    out = tmp_path / "verify.png"
    assert main(["verify", "--prompts", "1", "--steps", "1", "--strength", "0", "--out", str(out)]) == 2
    assert out.exists()


@pytest.mark.parametrize("folder", SHIPPED.values(), ids=SHIPPED)
def test_the_shipped_miniatures_are_small(folder):
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    assert 1e6 < size <= 25e6
    assert not [file for file in folder.rglob("*") if file.suffix in (".bin", ".pt", ".ckpt", ".pkl")]


@pytest.mark.parametrize("models", [["miniature"], ["miniature", "flux_miniature"]])
def test_demo_draws_and_scores_the_miniatures_side_by_side(tmp_path, capsys, models):
    out = tmp_path / "demo.png"
    assert main(["demo", "--prompts", "1", "--model", *models, "--out", str(out)]) == 0
    width, height = Image.open(out).size
    assert width > len(models) * 4 * 128 and height > 2 * 128
    lines = capsys.readouterr().out.splitlines()
    ways = [f"{model} {way}" for model in models for way in ("unsteered", "steered")]
    assert [" ".join(line.split()[:3]) for line in lines[1 : 1 + len(ways)]] == [f"{way} 4" for way in ways]


def test_a_share_of_no_pictures_is_null_and_told_in_words(tmp_path, capsys, monkeypatch):
    unseen = PromptCounts(pictures=4, present=0, correct=0, score=0.0)
    monkeypatch.setattr(score, "draw", lambda *_: SimpleNamespace(counts=unseen))
    assert main(["miniature", "score", "--prompts", "1", "--scenes", "1"]) == 0
    told = parse_json(capsys.readouterr().out.splitlines()[1], "the scores")  # which takes no NaN
    assert told["unsteered"]["visor_cond"] is None and told["unsteered"]["oa"] == 0
    shown = Image.new("RGB", (8, 8)), {("miniature", "unsteered"): figures([unseen])}
    monkeypatch.setattr(miniature_demo, "draw_demo", lambda *_: shown)
    assert main(["demo", "--out", str(tmp_path / "demo.png")]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["miniature", "unsteered", "4", "0.0%", "none", "0.0%"]
    odd = tmp_path / os.fsdecode(b"\xff.png")
    assert main(["demo", "--out", str(odd)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"Contact sheet: {tmp_path}/\\xff.png"


def test_objects_are_bound_alone_and_that_is_printed_and_reported(capsys, tmp_path):
    out, report = tmp_path / "x.png", tmp_path / "r.json"
    arguments = ["generate", "a dog above a cat", "--out", str(out), "--steps", "2", "--strength", "0"]
    assert main([*arguments, "--bound", "0.5", "--report", str(report)]) == 0
    assert "bound in the first step: dog in the upper half, cat in the lower half" in capsys.readouterr().out
    told = json.loads(report.read_text())
    assert told["bound"]["regions"] == {"dog": [0, 0, 1, 0.5], "cat": [0, 0.5, 1, 1]} and told["trace"] == []
    bound = out.read_bytes()
    assert main(arguments) == 0
    assert out.read_bytes() != bound
    with pytest.raises(SystemExit):
        main([*arguments, "--bound", "2"])


@pytest.mark.parametrize("value", ["-1e-3", "-.5", "-inf"])
def test_a_negative_number_is_no_option_however_it_is_written(capsys, value):
    with pytest.raises(SystemExit):
        main(["generate", "a dog above a cat", "--target", value, "--steps", "0"])
    error = capsys.readouterr().err
    assert "--target" not in error or "one argument" not in error
    assert "argument --steps" in error or "argument --target: a" in error
