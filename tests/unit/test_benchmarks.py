from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import torch
from drawings import as_if_drawn
from PIL import Image
from pipelines import state
from toy_recording import SETTINGS as TOY_SETTINGS
from toy_recording import ToyModel, ToySource, record_toy

from benchmarks import command, contrast, cost, leak, places, research, steering, tune, warnings
from benchmarks.inversion import coming_back
from benchmarks.logits import scaled_logits
from benchmarks.measuring import Measurement, Sampling, draw_all, drawing_processes, pairs_suite
from benchmarks.memory import peak_memory
from benchmarks.named_losses import named_loss
from benchmarks.second_try import right_then
from benchmarks.separation import SeparationLoss
from benchmarks.shapes import SHAPES, made
from benchmarks.warnings import LastLook, Picture, rates_of
from benchmarks.ways import UNSTEERED, Way, centroid_way, learned_way, rows
from steering_core.attention import token_columns
from steering_core.backends.diffusers import load_pipeline
from steering_core.backends.diffusers.arms import loss_description
from steering_core.backends.diffusers.families import readable_network
from steering_core.backends.diffusers.pipelines import kind_of
from steering_core.backends.diffusers.probe import probe_network
from steering_core.backends.diffusers.recording import recordable
from steering_core.classifier import (
    MINIATURE_CLASSIFIER,
    ClassifierSettings,
    MapLayout,
    RelationClassifier,
    TransformerSettings,
    load_classifier,
    save_classifier,
)
from steering_core.evaluation.visor import Trial
from steering_core.layers import AttentionLayer
from steering_core.losses import CentroidLoss, CombinedLoss, LearnedLoss, PresenceLoss
from steering_core.miniature.folder import MINIATURE_DIR
from steering_core.probe import MapCollector, MapRequest, ProbeComplete
from steering_core.relations.place import Place
from steering_core.relations.relation import CARDINAL_RELATIONS
from steering_core.schedule import SteeringSchedule
from steering_core.token_maps import TokenMaps

ROOT = Path(__file__).resolve().parents[2]
BEST_WAYS = [("none", "none"), ("gelu", "guidance"), ("gelu", "descent")]
SHARES = {"oa", "visor_cond", "visor_uncond", "visor_1", "visor_2", "visor_3", "visor_4"}


def quick(benchmark, *options):
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{benchmark}", "--quick", "--json", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def table():
    return quick("steering", "--functions", "gelu")


@pytest.mark.slow
def test_the_learned_losses_are_held_against_the_best_centroid_loss():
    """Two prompts tell nothing of how good they are; that all ways and tables are there, they do."""
    tables = quick("learned")
    one = tables["One relation, pairs of objects never seen together"]
    assert [row["loss"] for row in one][:4] == ["none", "centroid", "learned", "combined"]
    assert {"Three objects, two relations", "Five objects, three relations"} <= set(tables)
    for told in tables.values():
        unsteered, *steered = told
        assert (unsteered["gradient_passes"], unsteered["time_ratio"]) == (0, 1)
        assert all(row["gradient_passes"] >= 1 for row in steered)
    assert max(row["visor_uncond"] for row in one) > one[0]["visor_uncond"]


def test_warnings_are_counted_where_an_object_is_missing_and_where_none_is():
    def picture(missing: bool, warned: bool, overlap: float) -> Picture:
        return Picture(missing, LastLook(warned, {"weakness": 0.0, "spread": -overlap, "overlap": overlap}))

    first = [picture(True, True, 0.9), picture(True, False, 0.3), picture(False, False, 0.2), picture(False, True, 0.6)]
    second = [picture(False, False, 0.1), picture(False, False, 0.2)] * 2
    told = rates_of("two", [first, second])
    assert (told["images"], told["missing"], told["hits"], told["false_alarms"]) == (8, 2, 1 / 2, 1 / 6)
    assert (told["auc_weakness"], told["auc_overlap"]) == pytest.approx((0.5, 11 / 12))
    assert told["auc_spread"] == pytest.approx(1 / 12)
    none_missing = rates_of("two", [second])
    assert none_missing["hits"] is None and none_missing["auc_overlap"] is None


def test_what_steering_saw_is_kept_beside_the_pictures(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(command, "drawing_processes", ThreadPoolExecutor)
    monkeypatch.setattr(Measurement, "of", partial(Measurement.of, sampling=Sampling(steps=4)))
    monkeypatch.setattr(sys, "argv", ["warnings", "--prompts", "1", "--json", "--jobs", "1", "--keep", str(tmp_path)])
    warnings.main()
    told = capsys.readouterr().out
    looks = sorted(tmp_path.glob("looks/*.json"))
    assert len(looks) == 8 and [row["images"] for row in json.loads(told)["rows"]] == [4, 4, 8]
    monkeypatch.setattr("benchmarks.warnings.generate", None)
    warnings.main()
    assert capsys.readouterr().out == told
    looks[0].write_text('{"warned": 1}')
    with pytest.raises(ValueError, match=looks[0].name):
        warnings.main()


def test_a_second_try_is_counted_by_what_was_wrong_with_the_first():
    before = [["right", "object missing", "object missing"], ["relation wrong", "relation wrong", "object missing"]]
    after = [["object missing", "right", "object missing"], ["right", "relation wrong", "right"]]
    told = right_then(before, after)
    assert [told[f"{one}_pictures"] for one in ("object missing", "relation wrong", "right")] == [3, 2, 1]
    assert (told["object missing"], told["relation wrong"], told["right"]) == (2 / 3, 1 / 2, 0)
    assert right_then([["object missing"]], [["right"]])["relation wrong"] is None


@pytest.mark.slow
def test_a_second_try_is_measured():
    rows = quick("second_try", "--model", "flux_miniature")["rows"]
    assert rows[0]["try"] == "another seed" and len({row["try"] for row in rows}) == len(rows)
    assert all(row["object missing_pictures"] + row["relation wrong_pictures"] > 0 for row in rows)


@pytest.mark.slow
def test_warnings_are_measured():
    rows = quick("warnings")["rows"]
    assert [one["objects"] for one in rows] == ["two", "three", "all"]
    assert rows[2]["images"] == rows[0]["images"] + rows[1]["images"] == 16


def test_losses_are_made_by_name():
    assert named_loss("relu") == CentroidLoss("relu")
    combined = named_loss("gelu + 0.3 learned + presence")
    assert isinstance(combined, CombinedLoss)
    assert [type(loss) for loss, _ in combined.terms] == [CentroidLoss, LearnedLoss, PresenceLoss]
    assert [weight for _, weight in combined.terms] == [1, 0.3, 1]
    assert [weight for _, weight in named_loss("0.5 gelu").terms] == [0.5]
    for wrong in ("-1 gelu", "0.3 0.4 gelu", "gelu +"):
        with pytest.raises(ValueError):
            named_loss(wrong)
    with pytest.raises(ValueError, match="gleu"):
        named_loss("gelu + gleu")


@pytest.mark.slow
def test_the_best_ways_are_measured_of_all_kinds(table):
    for key in ("rows", "two_relations", "near"):
        assert [(row["loss"], row["update"]) for row in table[key]] == BEST_WAYS


def test_all_eight_ways_are_measured_and_a_classifier_joins_in_at_every_number_of_steps(monkeypatch, capsys):
    """But for next to, which no classifier knows; nothing is drawn."""
    monkeypatch.setattr(command, "drawing_processes", ThreadPoolExecutor)
    asked = as_if_drawn(monkeypatch)
    options = ["--steps", "10", "30", "--guidance", "4.5", "--classifier", str(MINIATURE_CLASSIFIER)]
    run_steering(monkeypatch, "--json", "--prompts", "8", *options)
    table = json.loads(capsys.readouterr().out)
    folders = {(folder.folder.parent.name, folder.suite.name) for folder, _, _ in asked}
    assert folders == {
        (Sampling(MINIATURE_DIR, steps, 4.5).name, suite)
        for steps in (10, 30)
        for suite in ("unseen_pairs", "chains_of_3", "near")
    }
    learned = [(loss, update) for loss in ("learned", "combined") for update in ("guidance", "descent")]
    ways = {key: [(row["loss"], row["update"]) for row in rows] for key, rows in table.items()}
    losses = ("relu", "leaky_relu", "gelu", "sigmoid")
    eight = [(loss, update) for update in ("guidance", "descent") for loss in losses]
    assert ways["rows"] == 2 * [("none", "none"), *eight, *learned]
    assert ways["two_relations"] == 2 * [*BEST_WAYS, *learned] and ways["near"] == 2 * BEST_WAYS
    assert [table[key][0]["images"] for key in table] == [4 * 8, 4 * 4, 4 * 2]
    assert all(row["visor_uncond"] == 1 for told in table.values() for row in told)
    assert [row["steps"] for row in table["near"]] == [10] * 3 + [30] * 3


@pytest.mark.slow
def test_a_classifier_steers_in_few_steps():
    table = quick("steering", "--steps", "1", "4", "--classifier", str(MINIATURE_CLASSIFIER))
    assert all((row["gradient_passes"] > 0) == (row["loss"] != "none") for row in table["rows"])


class Counting(ThreadPoolExecutor):
    """Counts the prompts that are drawn."""

    drawn = 0

    def map(self, draw, numbers):
        numbers = list(numbers)
        self.drawn += len(numbers)
        return super().map(draw, numbers)


def test_a_stopped_run_goes_on_and_settings_are_kept_apart(tmp_path):
    ways, sampling = (UNSTEERED, centroid_way("gelu", SteeringSchedule())), Sampling(steps=2)

    def measurement(count, ways=ways, sampling=sampling):
        return Measurement.of(tmp_path, pairs_suite(seeds=(0, 1)), range(count), ways, sampling)

    with Counting(1) as pool:
        draw_all([measurement(2)], pool)
        first = rows(measurement(2))
        (tmp_path / sampling.name / "unseen_pairs" / "arms" / "gelu_descent" / "found" / "000001.json").unlink()
        draw_all([measurement(3)], pool)
        assert pool.drawn == 2 + 2 and rows(measurement(2)) == first
        draw_all([measurement(3)], pool)
        assert pool.drawn == 4
        other_settings = [
            (ways, dataclasses.replace(sampling, guidance_scale=1.0)),
            (ways, dataclasses.replace(sampling, alone=True)),
            ((UNSTEERED, centroid_way("gelu", SteeringSchedule("guidance"))), sampling),
            ((UNSTEERED, learned_way("learned", SteeringSchedule(), MINIATURE_CLASSIFIER)), sampling),
        ]
        for number, (other_ways, other) in enumerate(other_settings, 5):
            draw_all([measurement(1, other_ways, other)], pool)
            assert pool.drawn == number
    with pytest.raises(ValueError, match=r"schedule\.step_size: None there, 0\.3 here"):
        measurement(1, (UNSTEERED, centroid_way("gelu", SteeringSchedule(step_size=0.3))))
    with pytest.raises(ValueError, match="There are 384 prompts of unseen pairs; 385"):
        measurement(385)


def test_pictures_drawn_alone_or_by_scaled_logits_are_known_for_it():
    loss = partial(named_loss, "gelu")
    plain, scaled = (Way("gelu", loss, logit_scale=scale).arm(Sampling()).description for scale in (1.0, 4.0))
    assert {**plain, "logit_scale": 4.0} == scaled
    assert Sampling(alone=True).description == {**Sampling().description, "alone": True}


def test_losses_with_the_same_settings_are_told_apart():
    told = [loss_description(loss) for loss in (CentroidLoss(), PresenceLoss(), SeparationLoss())]
    assert [list(one) for one in told] == [["centroid"], ["presence"], ["SeparationLoss"]]


def test_a_losses_defaults_are_told_as_numbers():
    assert loss_description(CentroidLoss("relu")) == loss_description(CentroidLoss("relu", alpha=0.75, margin=0.25))


def test_a_long_name_is_cut_and_told_from_others_that_begin_alike():
    names = [Way("gelu, " + 200 * "x" + end).name for end in ("a", "b")]
    assert len(set(names)) == 2 and all(len(name) == 200 for name in names)


def test_what_is_no_folder_to_keep_pictures_in_is_told_before_it_begins(monkeypatch, capsys, tmp_path):
    file = tmp_path / "kept"
    file.write_text("mine")
    with pytest.raises(SystemExit):
        run_steering(monkeypatch, "--keep", str(file))
    assert str(file) in capsys.readouterr().err.splitlines()[-1]
    assert file.read_text() == "mine"


def run_steering(monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["steering", *options])
    steering.main()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--model", "no/such/folder"], "'no/such/folder' is neither a folder nor"),
        (["--classifier", "no/such/file"], "no/such/file"),
        (["--steps", "0"], "--steps"),
        (["--guidance", "-1"], "--guidance"),
    ],
)
def test_what_cannot_be_measured_is_told_before_it_begins(monkeypatch, capsys, options, told):
    with pytest.raises(SystemExit) as ended:
        run_steering(monkeypatch, *options)
    assert ended.value.code == 2 and told in capsys.readouterr().err.splitlines()[-1]


def test_a_classifier_of_another_model_is_told_before_it_begins(monkeypatch, capsys, tmp_path):
    network = (AttentionLayer("mid", 0, 0, 1),)
    transformer = TransformerSettings(1, 1, 8, 0.0)
    sizes = ClassifierSettings(map_size=4, width=8, steps=2, extractor=transformer, classifier=transformer)
    names = [relation.value for relation in CARDINAL_RELATIONS]
    other = RelationClassifier(names, MapLayout(network, ("mid.0",), 4, 16.0), sizes, (0,))
    save_classifier(other, tmp_path / "other.safetensors")
    with pytest.raises(SystemExit):
        run_steering(monkeypatch, "--classifier", str(tmp_path / "other.safetensors"))
    assert "Use a classifier that was trained on this model" in capsys.readouterr().err


class TellingModel(ToyModel):
    """Each object's map has its one spot where the object stands in the prompt, whatever the picture shows."""

    def token_maps(self, latent, level, tokens, layers):
        spots = torch.eye(16).view(16, 4, 4)
        maps = torch.stack([spots[indices[0] % 16].expand(len(latent), 4, 4) for indices in tokens], dim=1)
        return TokenMaps({"up.0": maps[:, :, None].expand(-1, -1, 2, -1, -1)})


def test_words_that_leak_are_told_from_the_picture(monkeypatch, capsys, tmp_path):
    """Left and right stand at the same words, and so do above and below: half of the prompts can be told."""
    settings = dataclasses.replace(TOY_SETTINGS, false_prompts=3)
    for name, seed in (("data", 0), ("validation", 1)):
        record_toy(tmp_path / name, TellingModel(), ToySource(12, seed), settings)
    folders = ["--data", str(tmp_path / "data"), "--validation", str(tmp_path / "validation")]
    monkeypatch.setattr(sys, "argv", ["leak", "--json", "--epochs", "12", *folders])
    leak.main()
    told = json.loads(capsys.readouterr().out)
    assert told["prompt"] == 0.5 and told["picture"] <= told["chance"] == 0.25

    record_toy(tmp_path / "dual")
    monkeypatch.setattr(sys, "argv", ["leak", *folders, "--data", str(tmp_path / "dual")])
    with pytest.raises(SystemExit):
        leak.main()
    assert "--false-prompts 3" in capsys.readouterr().err


def test_layers_and_keys_are_swept(monkeypatch, capsys, tmp_path):
    """Nothing is drawn."""
    asked = as_if_drawn(monkeypatch)
    monkeypatch.setattr(command, "drawing_processes", ThreadPoolExecutor)
    options = ["--prompts", "2", "--layers", "each", "up.0 up.1", "--softmax-over", "text", "all"]
    monkeypatch.setattr(sys, "argv", ["tune", "--keep", str(tmp_path), *options])
    tune.main()
    assert sorted({number for _, _, number in asked}) == [200, 201]
    arms = list(dict.fromkeys(arm for _, arm, _ in asked))[1:]
    told = [json.loads(next(tmp_path.rglob(f"{arm}/arm.json")).read_text()) for arm in arms]
    seen = [one["loss"]["centroid"] for one in told]
    sets = [*(((layer.name,)) for layer in load_classifier(MINIATURE_CLASSIFIER).layout.network), ("up.0", "up.1")]
    swept = [(tuple(loss["layers"]), loss["over_all_keys"]) for loss in seen]
    assert swept == [(names, all) for names in sets for all in (0, 1)]
    assert "layers up.0 up.1, softmax over all" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["tune", "--layers", "up.99"])
    with pytest.raises(SystemExit):
        tune.main()
    assert "up.99" in capsys.readouterr().err


def test_next_to_is_tuned_by_prompts_that_no_other_benchmark_measures(monkeypatch, capsys, tmp_path):
    """Nothing is drawn. What cannot be measured is refused before that: too many prompts, and a loss that has not
    learned the relation."""
    asked = as_if_drawn(monkeypatch)
    monkeypatch.setattr(command, "drawing_processes", ThreadPoolExecutor)
    tuned = ["tune", "--keep", str(tmp_path), "--relations", "near"]
    monkeypatch.setattr(sys, "argv", [*tuned, "--prompts", "46"])
    tune.main()
    assert sorted({number for _, _, number in asked}) == list(range(50, 96))
    drawn = len(asked)
    for options, refusal in (["--prompts", "47"], "There are 96 prompts"), (["--losses", "learned"], '"next to"'):
        monkeypatch.setattr(sys, "argv", [*tuned, *options])
        with pytest.raises(SystemExit):
            tune.main()
        assert refusal in capsys.readouterr().err
    assert len(asked) == drawn


def test_logits_are_scaled_where_steering_reads_them_and_not_for_the_network():
    q, k = torch.randn(2, 1, 2, 9, 8, generator=torch.Generator().manual_seed(0))
    plain = token_columns(q, k, [[1], [2, 3]])

    def read():
        collector = MapCollector(MapRequest([[1], [2, 3]], ["up.0"]))
        with pytest.raises(ProbeComplete):
            collector.add("up.0", q, k, (3, 3))
        return collector.token_maps().layers["up.0"].flatten(-2)

    with scaled_logits(2.0):
        torch.testing.assert_close(read(), token_columns(2 * q, k, [[1], [2, 3]]))
        assert torch.equal(token_columns(q, k, [[1], [2, 3]]), plain)
    assert torch.equal(read(), plain)


def test_peak_memory_is_what_is_held_at_once():
    """In a process of its own, whose memory is given back slowly from then on."""
    with drawing_processes(1) as pool:
        found = pool.submit(peak_memory, partial(torch.ones, 2**24), "cpu").result()
    assert found == pytest.approx(4 * 2**24, rel=0.02)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_the_research_way_sees_the_same_network(shape):
    """Its maps are those of a probe, in every layer, and the network's output is as it was."""
    case = made(shape, shape.reduced, "cpu")
    network, inputs = case.network, case.network_inputs()
    layers = [layer.name for layer in readable_network(network).layers]
    with torch.no_grad():
        plain = network(**inputs, return_dict=False)[0]
        with research.whole_maps(network) as maps:
            found = network(**inputs, return_dict=False)[0]
        theirs = research.token_maps(network, inputs, maps, case.scene)
        ours = probe_network(network, inputs, MapRequest(case.scene.tokens, layers, over_all_keys=True))
    torch.testing.assert_close(found[0], plain[0], atol=1e-4, rtol=1e-3)
    assert list(theirs.layers) == list(ours.layers) == layers
    for name in layers:
        torch.testing.assert_close(theirs.layers[name], ours.layers[name], atol=1e-5, rtol=1e-3)


def test_a_refinement_of_the_research_way_moves_the_latent_and_leaves_the_network():
    case = made(SHAPES[2], SHAPES[2].reduced, "cpu")
    inputs, name = case.network_inputs(), kind_of(case.pipeline).latent
    before = state(case.pipeline)
    moved = research.refined(case.network, inputs, name, case.scene)
    assert moved.shape == inputs[name].shape and not torch.equal(moved, inputs[name])
    assert state(case.pipeline) == before
    assert (research.probes(25), research.probes(8)) == (180, 60)


def test_what_steering_costs_is_told_of_what_fits(monkeypatch, capsys, tmp_path):
    """Nothing is measured."""
    ratios = {"probe_time": 0.4, "probe_memory": 0.1, "image_time": 1.2, "image_time_few_steps": 1.3}
    beside = {"bent_image_time_few_steps": 1.1, "frugal_probe_time": 1.5, "frugal_probe_memory": 0.05}

    def measured(case, device, repetitions):
        if case.shape.name == "SDXL":
            raise torch.OutOfMemoryError
        return {"shape": case.shape.name, **ratios, **beside, "research_image_time_counted": 12.0}

    monkeypatch.setattr(cost, "_measured", measured)
    monkeypatch.setattr(cost, "drawing_processes", ThreadPoolExecutor)
    plot = tmp_path / "cost.png"
    for options in (["--json"], ["--plot", str(plot)]):
        monkeypatch.setattr(sys, "argv", ["cost", "--device", "cpu", *options])
        cost.main()
    told, table = capsys.readouterr().out.split("\n", 1)
    told = json.loads(told)
    assert [row["shape"] for row in told["rows"]] == ["SD 1.5", "FLUX.1", "Z-Image"]
    assert told["does_not_fit"] == ["SDXL"] and "Does not fit into the memory: SDXL" in table
    assert "| FLUX.1 | 0.40 × | 0.10 × | 1.20 × | 1.30 × | 1.10 × | 1.50 × | 0.05 × | 12.00 × |" in table
    assert Image.open(plot).size[0] == 640


@pytest.mark.slow
def test_what_steering_costs_is_measured():
    rows = quick("cost", "--device", "cpu")["rows"]
    assert [row["shape"] for row in rows] == [shape.name for shape in SHAPES]
    for row in rows:
        assert 0 < row["probe_time"] < 1 and 0 < row["frugal_probe_memory"] < row["probe_memory"] < 1
        assert 1 < row["bent_image_time_few_steps"] < row["image_time_few_steps"]
        assert 1 < row["image_time"] < 2 < row["research_image_time_counted"]


@pytest.mark.slow
def test_rows_hold_fractions_that_fit_together(table):
    for row in table["rows"] + table["two_relations"] + table["near"]:
        assert set(row) >= SHARES | {"images", "time_ratio"} and row["steps"] == 25
        assert row["visor_1"] >= row["visor_2"] >= row["visor_3"] >= row["visor_4"]
        assert 0 <= row["visor_uncond"] <= row["oa"] <= 1
        assert abs(row["visor_uncond"] * 4 - sum(row[f"visor_{n}"] for n in range(1, 5))) < 1e-9
        low, high = row["oa_interval"]
        assert low <= row["oa"] <= high


@pytest.mark.slow
def test_steering_makes_relations_come_true(table):
    unsteered, *steered = table["rows"]
    assert unsteered["time_ratio"] == 1
    assert sum(row["visor_uncond"] for row in steered) / len(steered) > unsteered["visor_uncond"]


def test_objects_at_their_places_are_counted_of_those_found():
    right, wrong, missing = Trial(True, True), Trial(True, False), Trial(False, False)
    first = [(Place.AT_LEFT, [right, wrong, missing]), (Place.AT_CENTER, [right, right, right])]
    second = [(Place.AT_TOP_LEFT, [missing, missing, missing]), (Place.AT_TOP, [right, right, wrong])]
    told = {row["places"]: row for row in places.rows(UNSTEERED, [first, second])}
    assert [told[kind]["objects"] for kind in ("all", "sides", "corners", "center")] == [12, 6, 3, 3]
    assert told["sides"]["found"] == pytest.approx(5 / 6) and told["sides"]["placed"] == pytest.approx(3 / 5)
    assert told["corners"]["found"] == 0 and told["corners"]["placed"] is None
    assert told["all"]["placed"] == pytest.approx(6 / 8)
    *_, corners, center = places.table(list(told.values())).splitlines()
    assert corners == "| none | none | corners | 3 | 0.0% | none |"
    assert center.startswith("| none | none | center | 3 | 100.0% | 100.0% (")


@pytest.mark.slow
def test_places_are_measured(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["places", "--prompts", "1", "--jobs", "1", "--json"])
    places.main()
    told = json.loads(capsys.readouterr().out)
    assert [(row["loss"], row["update"]) for row in told[::4]] == [
        ("none", "none"),
        ("gelu", "descent"),
        ("gelu", "guidance"),
    ]
    assert all(row["objects"] == 8 for row in told if row["places"] == "all")


@pytest.mark.slow
def test_inversion_comes_back_to_the_picture():
    model = recordable(load_pipeline(MINIATURE_DIR, "cpu"))
    plain, refined = (coming_back(model, first=0, count=2, steps=50, refinements=refinements) for refinements in (0, 1))
    assert refined.min() >= 25
    assert (refined > plain).all()


def test_the_direction_of_a_move_is_that_of_any_contrast_where_maps_have_one():
    seen = contrast.directions("miniature", prompts=1)
    cosine = {way: torch.cat(found, dim=1)[0] for way, found in seen.items()}
    for scale in (0.25, 4.0):
        assert (cosine["one", scale] > 0.999).all() and cosine["own", scale].mean() < 0.8
    assert "| miniature | one | × 4 | 1.00 |" in contrast.table({"miniature": seen, "flux_miniature": seen})
