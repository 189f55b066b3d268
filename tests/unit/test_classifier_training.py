from __future__ import annotations

import csv
import hashlib
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_classifier import NETWORK

from steering_core.classifier import ClassifierSettings, MapLayout, RelationClassifier, TransformerSettings
from steering_core.files.described import parse_json
from steering_core.files.whole import only_writer
from steering_core.relations.relation import CARDINAL_RELATIONS
from steering_core.training.augmentation import augmented
from steering_core.training.checkpoint import METRICS
from steering_core.training.dataset import Records
from steering_core.training.report import make_report, write_report
from steering_core.training.settings import TrainingSettings
from steering_core.training.train import train_classifier

PARTS, RECORDED = 10, (0, 4)
NAMES = ("dog", "cat")
LAYOUT = MapLayout(NETWORK, ("mid.0",), 6, 36.0)
SIZES = ClassifierSettings(
    map_size=6,
    width=16,
    steps=PARTS,
    extractor=TransformerSettings(2, 1, 16, 0.1),
    classifier=TransformerSettings(2, 1, 16, 0.1),
)
SETTINGS = TrainingSettings(epochs=12, batch=16, rate=3e-3, patience=12, augment=False)
SHORT = {"epochs_at_most": 3}


class ToyMaps:
    """A record's maps in memory, (recorded steps, 2, maps, H, W)."""

    def __init__(self, maps: torch.Tensor) -> None:
        self._maps = maps
        self.digests = tuple(hashlib.sha256(step.numpy().tobytes()).digest() for step in maps)

    def __getitem__(self, position: int) -> torch.Tensor:
        return self._maps[position]


def toy_records(count: int, seed: int, leak: bool = False) -> Records:
    """Maps with a blob for each object where its relation says; in ``leak`` one map tells the prompt's word."""
    rng = torch.Generator().manual_seed(seed)
    relation = torch.arange(count) % 4
    stated = torch.where(torch.arange(count) % 8 < 4, relation, (relation + 1 + torch.arange(count) // 8 % 3) % 4)
    maps = torch.rand(count, len(RECORDED), 2, 3, 6, 6, generator=rng)
    places = torch.tensor([[[2, 0], [2, 5]], [[2, 5], [2, 0]], [[0, 2], [5, 2]], [[5, 2], [0, 2]]])
    for row in range(count):
        for object in range(2):
            y, x = places[relation[row], object]
            maps[row, :, object, :2, y, x] += 1.5
            if leak:
                maps[row, :, object, 2, stated[row], :] += 6
    maps = (maps / maps.sum(dim=(-2, -1), keepdim=True) * 36).half()
    return Records(tuple(map(ToyMaps, maps)), relation, stated, (NAMES,) * count, ())


def train(folder, leak=False, true_prompts_only=False, epochs=None, epochs_at_most=12, on_epoch=None, **settings):
    options = TrainingSettings(**{**vars(SETTINGS), "epochs": epochs_at_most, **settings})
    seen = []

    def stop(told):
        seen.append(told)
        if on_epoch:
            on_epoch(told)
        if told.epoch == epochs:
            raise KeyboardInterrupt

    data = toy_records(160, 0, leak), toy_records(80, 1, leak)
    if true_prompts_only:
        data = tuple(records.with_true_prompts() for records in data)
    return train_classifier(*data, LAYOUT, RECORDED, SIZES, options, folder, stop), seen


def test_a_classifier_learns_what_the_maps_show(tmp_path):
    classifier, seen = train(tmp_path)
    report = make_report(classifier, toy_records(80, 2), RECORDED)
    assert min(report.true_prompts, report.false_prompts) > 0.9
    assert (classifier.settings.steps, classifier.trained_steps) == (PARTS, RECORDED)
    with (tmp_path / METRICS).open() as file:
        assert [int(row["epoch"]) for row in csv.DictReader(file)] == [told.epoch for told in seen]


def test_true_prompts_alone_let_the_words_leak_and_both_do_not(tmp_path):
    dual, _ = train(tmp_path / "dual", leak=True)
    alone, _ = train(tmp_path / "alone", leak=True, true_prompts_only=True)
    report = make_report(dual, toy_records(80, 2, leak=True), RECORDED, alone)
    assert report.leaked_true > 0.9 and report.leaked_false < 0.5
    assert report.false_prompts > report.leaked_false + 0.3
    assert "trained on true prompts alone" in str(report)


def test_a_stopped_training_goes_on_as_if_it_had_not(tmp_path):
    whole, seen = train(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "stopped", epochs=5)
    resumed, later = train(tmp_path / "stopped")
    assert [told.epoch for told in later] == list(range(6, 13))
    assert [told.validation_loss for told in later] == [told.validation_loss for told in seen[5:]]
    for name, weight in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], weight), name
    assert (tmp_path / "stopped" / METRICS).read_bytes() == (tmp_path / "whole" / METRICS).read_bytes()


def test_training_ends_when_nothing_is_gained(tmp_path):
    _, seen = train(tmp_path, patience=2, rate=1e-12)
    losses = [told.validation_loss for told in seen]
    assert len(seen) == 2 + 1 + losses.index(min(losses)) < 12


def test_the_folder_of_another_training_is_refused(tmp_path):
    train(tmp_path, epochs=None)
    with pytest.raises(ValueError, match=r"other data: settings\.rate: 0\.003 there, 0\.0001 here\. .*folder"):
        train(tmp_path, rate=1e-4)


def test_a_log_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / METRICS).write_text("mine")
    with pytest.raises(ValueError, match=r"has metrics\.csv, which would be replaced, and no checkpoint\.pt"):
        train(tmp_path)
    assert (tmp_path / METRICS).read_text() == "mine"


def test_a_folder_has_one_training_at_a_time_which_clears_away_what_a_killed_one_left(tmp_path):
    left = tmp_path / "checkpoint.pt.training.partial"
    with only_writer(tmp_path, "training", "training"):
        left.write_bytes(b"half")
        with pytest.raises(ValueError, match=r"Another training is writing into .*Wait until it has ended, or give"):
            train(tmp_path, epochs_at_most=1)
    train(tmp_path, epochs_at_most=1)
    assert not left.exists()


def test_what_a_killed_writer_of_another_name_left_is_cleared_away_and_what_one_at_work_has_is_not(tmp_path):
    ended, at_work = (tmp_path / f"000001.tar.{name}.partial" for name in ("writer1", "writer2"))
    with only_writer(tmp_path, "writer1", "recording"):
        ended.write_bytes(b"half")
    with only_writer(tmp_path, "writer2", "recording"):
        at_work.write_bytes(b"half")
        with only_writer(tmp_path, "writer0", "recording"):
            assert not ended.exists() and at_work.exists()


def test_a_damaged_checkpoint_is_named(tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"checkpoint\.pt is damaged"):
        train(tmp_path)


def epochs_of(folder):
    with (folder / METRICS).open() as file:
        return [int(row["epoch"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5])
def test_a_training_stopped_at_any_moment_logs_each_epoch_once(tmp_path, monkeypatch, stop):
    """Checkpoint and log are put in their places by a rename each: the process ends before one of them."""
    calls, replace = [], Path.replace

    def stopped(self, target):
        calls.append(target)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", stopped)
        train(tmp_path, **SHORT)
    _, seen = train(tmp_path, **SHORT)
    assert epochs_of(tmp_path) == [1, 2, 3]
    # Of each epoch one rename is the checkpoint's, which comes first.
    assert [told.epoch for told in seen] == [1, 2, 3][stop // 2 :]
    assert not list(tmp_path.glob("*.partial"))


def random_numbers():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def test_training_that_meets_no_numbers_says_so_and_leaves_the_random_numbers(tmp_path):
    before = random_numbers()
    with pytest.raises(
        ValueError, match=r"In epoch 1 the loss is no finite number: at a rate of 1e\+30 .*smaller rate"
    ):
        train(tmp_path, rate=1e30)
    assert random_numbers() == before
    assert not (tmp_path / "checkpoint.pt").exists()
    train(tmp_path, **SHORT)
    assert random_numbers() == before


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(told):
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))

    try:
        with pytest.raises(OSError, match="too large"):
            train(tmp_path, on_epoch=fill, **SHORT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(file.name for file in tmp_path.iterdir()) == [".training.lock", "checkpoint.pt", METRICS]
    _, seen = train(tmp_path, **SHORT)
    assert [told.epoch for told in seen] == [2, 3] and epochs_of(tmp_path) == [1, 2, 3]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    train(folder, **SHORT)
    return folder / "checkpoint.pt"


def _with(path, value):
    """A change of a checkpoint's entry; none removes it."""

    def change(kept):
        *way, last = path
        for step in way:
            kept = kept[step]
        if value is None:
            del kept[last]
        else:
            kept[last] = value(kept[last]) if callable(value) else value

    return change


@pytest.mark.parametrize(
    "change",
    [
        _with(["run"], None),
        _with(["run"], "no JSON"),
        _with(["parts"], None),
        _with(["parts"], {}),
        _with(["parts", 2], None),
        _with(["history"], []),
        _with(["history", 0, "validation_loss"], float("nan")),
        _with(["history", 0, "epoch"], "1"),
        _with(["best_epoch"], 9),
        _with(["best_epoch"], 10**400),
        _with(["best_weights"], {}),
        _with(["best_weights", "relation_classifier.fc.0.weight"], torch.zeros(1)),
        _with(["best_weights", "relation_classifier.fc.0.weight"], lambda weight: weight * float("nan")),
        _with(["best_weights", "relation_classifier.fc.0.weight"], 7),
        _with(["parts", 0, "relation_classifier.fc.0.weight"], None),
        _with(["parts", 1, "state"], {}),
        _with(["parts", 1, "state", 0, "exp_avg"], torch.zeros(1).expand(10**12)),
        _with(["parts", 1, "param_groups"], []),
        _with(["parts", 1, "param_groups", 0, "lr"], "fast"),
        _with(["parts", 2, "step"], "another method"),
        _with(["parts", 2, "best"], [1]),
        _with(["more"], 1),
    ],
)
def test_a_checkpoint_of_anything_else_is_told_on_one_line(checkpoint, tmp_path, change):
    kept = torch.load(checkpoint, weights_only=True)
    kept["parts"] = list(kept["parts"])
    change(kept)
    torch.save(kept, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError) as refused:
        train(tmp_path, **SHORT)
    (line,) = str(refused.value).splitlines()
    assert "checkpoint.pt" in line and "remove it and metrics.csv to start the training again" in line


@pytest.mark.parametrize("value", [[1], 7, {}, torch.zeros(3)])
def test_a_file_that_is_no_checkpoint_is_told_on_one_line(tmp_path, value):
    torch.save(value, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"checkpoint\.pt: .*remove it and metrics.csv to start the training again\.$"):
        train(tmp_path)


def test_the_report_counts_by_relation_step_and_prompt(tmp_path):
    classifier, _ = train(tmp_path)
    records = toy_records(80, 2)
    report = make_report(classifier, records, RECORDED)
    assert [sum(row) for row in report.confusion] == [20 * len(RECORDED)] * 4
    right = sum(report.confusion[index][index] for index in range(4)) / 160
    assert right == pytest.approx((report.true_prompts + report.false_prompts) / 2)
    assert sum(report.by_relation.values()) / 4 == pytest.approx(right)
    assert set(report.by_step) == set(RECORDED)
    write_report(report, tmp_path)
    for name in ("confusion.png", "curves.png"):
        with Image.open(tmp_path / name) as plot:
            assert plot.convert("L").getextrema()[0] < 50
    assert (tmp_path / "report.json").exists()


def test_what_a_test_does_not_show_is_null_in_the_report(tmp_path):
    torch.manual_seed(0)
    classifier = RelationClassifier([relation.value for relation in CARDINAL_RELATIONS], LAYOUT, SIZES, RECORDED)
    data = toy_records(8, 0)
    rows = [row for row in range(8) if data.relation[row] != 0 and data.relation[row] != data.stated[row]]
    some = Records(
        tuple(data.maps[row] for row in rows), data.relation[rows], data.stated[rows], (NAMES,) * len(rows), ()
    )
    report = make_report(classifier, some, RECORDED)
    (tmp_path / METRICS).write_text("epoch,training_loss,validation_loss,validation_accuracy\n1,1,1,1\n")
    write_report(report, tmp_path)
    told = parse_json((tmp_path / "report.json").read_bytes(), "the report")  # which takes no NaN
    missing = CARDINAL_RELATIONS[0].value
    assert [name for name, share in told["by_relation"].items() if share is None] == [missing]
    assert told["true_prompts"] is None and told["by_step"]["0"][0] is None
    assert f"{missing}: not measured, no picture of the test shows it" in str(report) and "nan" not in str(report)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("epochs", 0), ("rate", 0.0), ("rate", float("inf")), ("weight_decay", float("nan")), ("rate_factor", 1.0)],
)
def test_training_settings_outside_their_range_are_named(setting, value):
    with pytest.raises(ValueError, match=setting):
        TrainingSettings(**{setting: value})


def test_augmented_maps_show_what_their_relation_says():
    """The toy's first map has each object's blob where the relation puts it; so it must after every change."""
    records = toy_records(400, 0)
    torch.manual_seed(0)
    maps, relation = augmented(torch.stack([maps[0] for maps in records.maps]).float(), records.relation)
    assert not torch.equal(relation, records.relation)
    places = maps[:, :, :2].mean(dim=2).flatten(2).argmax(dim=2)
    y, x = (places // 6).float(), (places % 6).float()
    for row, (wanted, differs) in enumerate(zip(relation.tolist(), (y[:, 0] != y[:, 1]).tolist())):
        sign_x, sign_y = CARDINAL_RELATIONS[wanted].direction
        assert differs == bool(sign_y)
        along = x[row] if sign_x else y[row]
        assert (along[0] - along[1]) * (sign_x or sign_y) > 0


def test_augmentation_teaches_what_the_data_leave_out(tmp_path):
    """From pictures of the right and of below alone, the other two are learned."""
    all_four = toy_records(160, 0)
    two = ((all_four.relation == 1) | (all_four.relation == 3)).nonzero()[:, 0]
    maps = tuple(all_four.maps[row] for row in two)
    records = Records(maps, all_four.relation[two], all_four.stated[two], (NAMES,) * len(two), ())
    settings = TrainingSettings(**{**vars(SETTINGS), "augment": True})
    classifier = train_classifier(records, records, LAYOUT, RECORDED, SIZES, settings, tmp_path)
    assert min(make_report(classifier, toy_records(80, 2), RECORDED).by_relation.values()) > 0.9


def test_objects_can_be_left_out():
    records = toy_records(8, 0)
    pairs = (("dog", "cat"), ("cow", "cat"), ("dog", "bus"), ("cup", "car")) * 2
    records = Records(records.maps, records.relation, records.stated, pairs, ())
    left = records.without(["cat", "bus"])
    assert left.objects == (("cup", "car"),) * 2
    assert left.maps == (records.maps[3], records.maps[7]) and torch.equal(left.relation, records.relation[[3, 7]])
    assert records.showing(["cup"]) == [False, False, False, True] * 2
    with pytest.raises(ValueError, match="nothing is left"):
        records.without(["dog", "cat", "cup"])
