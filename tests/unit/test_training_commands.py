from __future__ import annotations

import json
import re

import pytest
import torch
from safetensors.torch import load_file
from test_classifier import published

from steering_core.classifier import load_classifier
from steering_core.cli.main import main
from steering_core.training.dataset import read_manifest, read_records, together

GENERATED = ["--source", "generated"]
SMALL = ["--width", "16", "--epochs", "2", "--batch", "16", "--extractor-layers", "1", "--classifier-layers", "1"]


def record(out, count=8, seed=0, *more):
    how = ["--steps", "2", "--recorded", "0", "1", "--method", "noise", "--map-size", "8", "--shard-size", "4"]
    return main(["record", "--out", str(out), "--count", str(count), "--seed", str(seed), *how, *more])


def train(data, validation, out, *more):
    return main(["train", "--data", str(data), "--validation", str(validation), "--out", str(out), *SMALL, *more])


def test_of_few_steps_the_first_half_is_recorded(tmp_path):
    how = ["--steps", "4", "--method", "noise", "--map-size", "8", "--count", "4"]
    assert main(["record", "--out", str(tmp_path), *how]) == 0
    assert read_manifest(tmp_path).settings.recorded == (0, 1)


def test_from_pictures_to_a_classifier_that_steers(tmp_path, capsys):
    assert record(tmp_path / "a") == 0 and record(tmp_path / "b", 4, 1) == 0
    assert train(tmp_path / "a", tmp_path / "b", tmp_path / "out") == 0
    told = capsys.readouterr().out
    assert re.search(r"accuracy: [\d.]+% on true prompts, [\d.]+% on false ones", told)
    assert "trained on true prompts alone" in told
    file = tmp_path / "out" / "classifier.safetensors"
    names = {"report.json", "confusion.png", "curves.png", "metrics.csv", file.name}
    assert names <= {path.name for path in file.parent.iterdir()}
    report = json.loads((file.parent / "report.json").read_text())
    assert set(report["by_step"]) == {"0", "1"} and report["leaked_false"] is not None

    assert main(["classifier", "show", str(file)]) == 0
    assert "trained at steps 0, 1 of 2" in capsys.readouterr().out
    drawn = ["generate", "a dog above a cat", "--out", str(tmp_path / "x.png"), "--steps", "4", "--refinements", "1"]
    report = ["--report", str(tmp_path / "x.json")]
    assert (
        main([*drawn, *report, "--loss", "learned", "presence", "--weights", "1", "0.5", "--classifier", str(file)])
        == 0
    )
    trace = json.loads((tmp_path / "x.json").read_text())["trace"]
    assert [entry["step"] for entry in trace] == [0]
    assert trace[0]["gradient_norm"][0] > 0


def test_options_come_from_a_file_and_the_command_line_wins(tmp_path, capsys):
    record(tmp_path / "a", 4)
    config = tmp_path / "train.yaml"
    config.write_text(
        f"data: {tmp_path / 'a'}\nvalidation: {tmp_path / 'a'}\nepochs: 3\nwidth: 16\nleakage_test: false\n"
    )
    assert main(["train", "--config", str(config), "--out", str(tmp_path / "out"), "--epochs", "1"]) == 0
    assert "trained on true prompts alone" not in capsys.readouterr().out
    assert load_classifier(tmp_path / "out" / "classifier.safetensors").settings.width == 16
    assert len((tmp_path / "out" / "metrics.csv").read_text().splitlines()) == 2


def test_a_folder_with_files_of_somebody_else_is_refused_before_the_training(tmp_path, capsys):
    record(tmp_path / "a", 4)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.json").write_text("mine")
    assert train(tmp_path / "a", tmp_path / "a", tmp_path / "out") == 2
    assert "has report.json, which would be replaced" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["report.json"]


def test_objects_can_be_left_out_of_training_and_are_told_apart_in_the_report(tmp_path, capsys):
    record(tmp_path / "a", 24)
    shown = {name for pair in read_records(tmp_path / "a", read_manifest(tmp_path / "a")).objects[:2] for name in pair}
    config = tmp_path / "train.yaml"
    config.write_text(json.dumps({"without": sorted(shown), "leakage_test": False}))
    assert train(tmp_path / "a", tmp_path / "a", tmp_path / "out", "--config", str(config)) == 0
    told = capsys.readouterr().out
    assert re.search(r"with objects left out of training: [\d.]+%", told)
    assert re.search(r"^--validation: \d+ of its \d+ records are in --data too", told, re.MULTILINE)
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert f"{report['learned_from']} records of the test were learned from" in told and report["learned_from"] > 0
    assert main(["train", "--data", str(tmp_path / "a"), "--validation", str(tmp_path / "a"), *SMALL, "--out",
                 str(tmp_path / "out"), "--no-leakage-test"]) == 2  # fmt: skip
    assert "other data" in capsys.readouterr().err


def test_several_datasets_are_learned_from_together(tmp_path):
    record(tmp_path / "a", 4)
    record(tmp_path / "b", 6, 1)
    parts = [read_records(tmp_path / name, read_manifest(tmp_path / name)) for name in "ab"]
    both = together(parts)
    assert len(both.objects) == len(both.maps) == sum(len(part.maps) for part in parts)
    assert both.maps == (*parts[0].maps, *parts[1].maps) and both.objects[-1] == parts[1].objects[-1]
    config = tmp_path / "train.yaml"
    config.write_text(json.dumps({"data": [str(tmp_path / "a"), str(tmp_path / "b")], "leakage_test": False}))
    validation = ["--validation", str(tmp_path / "a"), "--out", str(tmp_path / "out"), *SMALL]
    assert main(["train", "--config", str(config), *validation]) == 0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("epochs: many", "epochs"),
        ("unheard_of: 1", "no option 'unheard_of'"),
        ("no-leakage-test: true", "no option 'no-leakage-test'"),
        ("epochs: [1, 2]", "epochs: one value was expected, not ['1', '2']"),
        ("- a", "epochs: 50"),
        ("a: [", "a.yaml"),
    ],
)
def test_a_wrong_file_of_options_is_told_on_one_line(tmp_path, capsys, text, named):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(SystemExit) as ended:
        main(["train", "--config", str(tmp_path / "a.yaml")])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A folder with two datasets, b of other maps than a."""
    folder = tmp_path_factory.mktemp("recorded")
    record(folder / "a", 4)
    record(folder / "b", 4, 0, "--layers", "up.0")
    return folder


#: {} is the folder of ``recorded``.
TRAIN, RECORD = ["train", "--out", "x", "--data"], ["record", "--out", "{}/c"]
GENERATE = ["generate", "a dog above a cat", "--out", "x.png", "--loss"]


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ([*TRAIN, "{}/a"], "--validation DIR"),
        ([*TRAIN, "{}/a", "--validation", "{}/b"], "other maps of it"),
        ([*TRAIN, "{}", "--validation", "{}"], "--data: "),
        ([*TRAIN, "{}/a", "--validation", "{}/a", "--without", "yak"], "yak"),
        ([*RECORD, "--source", "coco"], "--annotations FILE"),
        ([*RECORD, "--recorded", "30"], "0 to 24"),
        ([*RECORD, "--objects", "dog", "cat"], "--objects belongs to --source generated"),
        ([*RECORD, *GENERATED, "--others", "1"], "--others belongs to --source miniature"),
        ([*RECORD, *GENERATED, "--model", "sd", "--objects", "dog", "cat"], "--detector DIR"),
        ([*RECORD, *GENERATED, "--model", "sd", "--detector", "owl"], "--objects NAME"),
        ([*RECORD, *GENERATED, "--device", "abacus"], "abacus"),
        ([*RECORD, *GENERATED, "--size", "64"], "--size: pictures of 64×64 pixels"),
        ([*GENERATE, "learned", "--classifier", "no.pth"], "no.pth"),
        ([*GENERATE, "presence", "learned", "--weights", "1"], "2 were expected"),
        ([*GENERATE, "none", "presence"], "none by itself"),
    ],
)
def test_what_is_missing_or_does_not_fit_is_named(recorded, capsys, command, named):
    assert main([part.format(recorded) for part in command]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert named in line


def test_a_released_checkpoint_is_converted(tmp_path, capsys):
    checkpoint = published()
    torch.save(checkpoint, tmp_path / "a.pth")
    assert main(["classifier", "convert", str(tmp_path / "a.pth"), "--out", str(tmp_path / "a.safetensors")]) == 0
    weights = load_file(tmp_path / "a.safetensors")
    assert weights.keys() == checkpoint["model_state_dict"].keys()
    assert main(["classifier", "convert", str(tmp_path / "a.pth"), "--out", str(tmp_path / "a.pt")]) == 2
    assert "ends in .safetensors" in capsys.readouterr().err
