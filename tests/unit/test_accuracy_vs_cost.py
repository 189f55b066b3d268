from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest
import torch
from diffusers import FluxPipeline
from drawings import as_if_drawn
from PIL import Image
from toys import pair_scene, toy_probe

from benchmarks import accuracy_vs_cost, command, measuring
from benchmarks.areas import Area, area_conditioned
from benchmarks.best_of import best_of, best_picture
from benchmarks.calls import answered
from benchmarks.compared import DEFAULT, UNSTEERED, plain, ways_of
from benchmarks.excite import exciting
from benchmarks.front import Point, front, front_chart
from benchmarks.measuring import Measurement, Sampling, pairs_suite, pipeline
from benchmarks.separation import SeparationLoss, divergence
from steering_core.backends.diffusers import ground_prompt
from steering_core.evaluation.cost import Cost
from steering_core.evaluation.suites import ScenePrompt
from steering_core.layers import AttentionLayer
from steering_core.losses import CentroidLoss
from steering_core.miniature.detector import GlyphDetector
from steering_core.miniature.folder import SHIPPED
from steering_core.miniature.world import Background, Layout, Placement, render
from steering_core.regions import Region
from steering_core.relations.relation import Relation
from steering_core.schedule import BOUND, GUIDANCE, SamplingStep, SteeringSchedule
from steering_core.steering import Steering
from steering_core.token_maps import TokenMaps, overlaps

PROMPT = ScenePrompt((("dog", Relation.ABOVE, "car"),))
FEW = Sampling(steps=2)


@pytest.fixture(params=SHIPPED)
def model(request):
    return pipeline(SHIPPED[request.param], "cpu")


def pictures(model, sampling, seeds=(0, 1)):
    """What the model draws by itself."""
    return plain(model, PROMPT, sampling, seeds).pictures


def test_an_area_weighs_as_in_comfyui():
    """Its ``get_area_and_mult`` on a latent of 16 × 16: along each half's inner border 0.5, and 1 elsewhere."""
    rising = torch.tensor([0.5, 1, 1, 1, 1, 1, 1, 1])
    left, right, lower = Area(width=0.5), Area(left=0.5, width=0.5), Area(top=0.5, height=0.5)
    assert left.cells(16, 16) == (slice(0, 16), slice(0, 8))
    assert lower.cells(16, 16) == (slice(8, 16), slice(0, 16))
    assert torch.equal(left.weight(16, 16), rising.flip(0).expand(16, 8))
    assert torch.equal(right.weight(16, 16), rising.expand(16, 8))
    assert torch.equal(lower.weight(16, 16), rising[:, None].expand(8, 16))
    assert torch.equal(Area().weight(16, 16), torch.ones(16, 16))
    long = Area(left=0.5, width=0.5).weight(128, 128)[0]
    assert torch.equal(long[:9], torch.tensor([1, 2, 3, 4, 5, 6, 7, 8, 8]) / 8)
    assert Area.of(Region(x=(0.5, 1), y=(0.25, 0.75))) == Area(0.25, 0.5, 0.5, 0.5)


@pytest.mark.parametrize("scale", [None, 1.0])
def test_the_same_prompt_in_areas_of_the_whole_canvas_changes_nothing(model, scale):
    sampling = Sampling(steps=2, guidance_scale=scale)
    by_itself = pictures(model, sampling)
    with area_conditioned(model, [(PROMPT.text, Area())] * 2):
        torch.testing.assert_close(pictures(model, sampling), by_itself, atol=1e-4, rtol=0)
    with area_conditioned(model, [("a photo of a dog", Area())]):
        assert (pictures(model, sampling) - by_itself).abs().max() > 0.05
    assert torch.equal(pictures(model, sampling), by_itself)


def seen_calls(model):
    """The network's inputs in a call of one step, and its prediction."""
    seen = []

    def answer(call, forward):
        seen.append((call, forward(**call.inputs)[0]))
        return (seen[-1][1],)

    with answered(model, answer):
        plain(model, PROMPT, Sampling(steps=1), (0, 1))
    return seen


def test_predictions_of_areas_are_averaged_with_the_whole_prompts():
    model, dog = pipeline(SHIPPED["miniature"], "cpu"), "a photo of a dog"
    ((call, whole),) = seen_calls(model)
    assert call.prompted == (False, True)
    context = call.inputs["encoder_hidden_states"].clone()
    context[2:] = model.encode_prompt(dog, "cpu", 1, False)[0]
    latent = call.inputs["sample"]
    with torch.no_grad():
        cut = model.unet(**{**call.inputs, "sample": latent[..., :8, :], "encoder_hidden_states": context})[0]
    expected = whole.clone()
    expected[..., :7, :] = (whole[..., :7, :] + cut[..., :7, :]) / 2
    expected[..., 7, :] = (whole[..., 7, :] + 0.5 * cut[..., 7, :]) / 1.5

    composed = []

    def told(original, *args, **kwargs):
        composed.append(original(*args, **kwargs))
        return composed[-1]

    with area_conditioned(model, [(dog, Area(height=0.5))]):
        model.unet.forward = partial(told, model.unet.forward)
        plain(model, PROMPT, Sampling(steps=1), (0, 1))
    torch.testing.assert_close(composed[0][0], expected, atol=1e-5, rtol=1e-4)


def test_divergence_is_0_of_equal_maps_and_1_of_maps_that_share_no_cell():
    first, second = torch.eye(16)[:2].view(2, 4, 4)
    maps = torch.stack([torch.stack([first, first]), torch.stack([first, second])])
    torch.testing.assert_close(divergence(maps), torch.tensor([0.0, 1.0]))


def test_the_gradient_of_the_separation_loss_separates_two_maps():
    torch.manual_seed(0)
    latent = torch.randn(1, 2, 8, 8)
    loss = SeparationLoss(("up.0",))
    steering = Steering(pair_scene(Relation.LEFT_OF), loss, SteeringSchedule(refinements=20, end=1.0))
    moved = steering.descend(latent, toy_probe, noise_level=1.0, step=SamplingStep(0, 1, 0.0))

    def shared(latent):
        return overlaps(toy_probe(latent).mean_map())[0, 0, 1]

    assert shared(moved) < 0.5 * shared(latent)
    assert steering.trace[-1].loss[0, 0] < steering.trace[0].loss[0, 0]


def rendered(*placements):
    pixels = render(Layout(tuple(placements), Background((235, 235, 225), (225, 235, 235), 0.0)))
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255


def test_the_best_picture_is_the_one_that_shows_the_relation():
    upper, lower = (
        partial(Placement, x=64, y=32, width=44, height=44),
        partial(Placement, x=64, y=96, width=44, height=44),
    )
    wrong = rendered(upper("car"), lower("dog"))
    missing = rendered(upper("dog"))
    right = rendered(upper("dog"), lower("car"))
    scene = ground_prompt(pipeline(SHIPPED["miniature"], "cpu"), PROMPT.text)
    for candidates in ([wrong, missing, right], [right, wrong, missing], [missing, right, wrong]):
        assert torch.equal(best_picture(scene, torch.stack(candidates)), right)


def test_the_best_of_one_is_the_seeds_own_picture_and_more_are_drawn_for_each():
    model = pipeline(SHIPPED["miniature"], "cpu")
    own = pictures(model, FEW)
    assert torch.equal(best_of(1, model, PROMPT, FEW, (0, 1)).pictures, own)
    others = pictures(model, FEW, (1000, 1001))
    scene = ground_prompt(model, PROMPT.text)
    expected = [best_picture(scene, torch.stack(pair)) for pair in zip(own, others)]
    assert torch.equal(best_of(2, model, PROMPT, FEW, (0, 1)).pictures, torch.stack(expected))


def test_attend_and_excite_refines_up_to_its_thresholds_and_moves_once_in_all_other_steps():
    """Of two words each has at least half of every cell, so that the first two thresholds are met at once."""
    steering = exciting(pair_scene(Relation.LEFT_OF))
    steering = replace(steering, schedule=replace(steering.schedule, step_size=1e-6))
    steering = steering.for_network([AttentionLayer("up", 0, 0, 1)])
    latent = torch.zeros(1, 4, 4, 4)

    def probe(latent):
        maps = latent.flatten(2).softmax(dim=-1).view(1, 4, 1, 4, 4)
        return TokenMaps({"up.0": maps})

    latent[0, :, 1, 1] = torch.tensor([1.0, 0.5, 1.0, 0.5])
    for number in range(12):
        steering.descend(latent, probe, noise_level=1.0, step=SamplingStep(number, 25, 0.0))
    moves = [sum(entry.step == number for entry in steering.trace) for number in range(12)]
    assert moves == [2, 1, 1, 1, 1, 2, 1, 1, 1, 1, 21, 1]


def test_the_ways_have_the_settings_that_they_are_named_for(model):
    ways = ways_of(model)
    scene = ground_prompt(model, PROMPT.text)

    def steering(name):
        (make_steering,) = ways[name].draw.args
        return make_steering(scene)

    default = steering(DEFAULT)
    assert (default.schedule, default.loss) == (SteeringSchedule(), CentroidLoss("gelu"))
    infsplign = steering("infsplign")
    assert infsplign.loss == CentroidLoss("gelu", orthogonal="l2", standardised=False)
    assert (infsplign.schedule.update, infsplign.schedule.end, infsplign.schedule.normalize) == (GUIDANCE, 0.25, False)
    learned = steering("learn to steer").schedule
    assert (learned.step_size, learned.refinements, learned.end, learned.normalize) == (5.0, 15, 0.5, False)
    excite = steering("attend and excite").schedule
    assert (excite.step_size, excite.end, excite.normalize) == (20.0, 0.5, False)
    assert len(steering("separation").loss.layers) == 7
    assert [type(loss) for loss, _ in steering("gelu and separation").loss.terms] == [CentroidLoss, SeparationLoss]
    bound = steering("bound regions").schedule
    assert (bound.strength, bound.bound) == (0.0, BOUND)
    name, share = ("not bound", 0.0) if isinstance(model, FluxPipeline) else ("bound and moved", BOUND)
    assert steering(name).schedule == SteeringSchedule(bound=share)
    published = ("infsplign", "learn to steer", "attend and excite", "separation")
    assert [steering(name).schedule.bound for name in published] == [0.0] * 4
    assert ways["best of 4"].draw.args == (4,)


@pytest.mark.parametrize("model", ["miniature", pytest.param("flux_miniature", marks=pytest.mark.slow)], indirect=True)
def test_all_ways_draw_and_none_as_another(model):
    """Detection chooses the same pictures for the best of 2 and of 4 where none is right."""
    name = "flux_miniature" if isinstance(model, FluxPipeline) else "miniature"
    # In so few steps a UNet moves four times in the first by itself, and a transformer once in each of four.
    sampling = Sampling(SHIPPED[name], steps=8 if name == "flux_miniature" else 4)
    drawn = {name: way.draw(model, PROMPT, sampling, (0,)).pictures for name, way in ways_of(model).items()}
    assert all(pictures.shape == (1, 3, 128, 128) and pictures.isfinite().all() for pictures in drawn.values())
    same = {UNSTEERED, "best of 2", "best of 4"}
    others = [name for name in drawn if name not in same]
    assert all(not torch.equal(drawn[name], drawn[UNSTEERED]) for name in others)
    assert not torch.equal(drawn[DEFAULT], drawn["two moves a step"])


def test_a_way_is_known_by_what_it_depends_on():
    ways = ways_of(pipeline(SHIPPED["miniature"], "cpu"))
    descriptions = {json.dumps(way.arm(FEW).description) for way in ways.values()}
    assert len(descriptions) == len(ways)
    others, sampling = ways_of(pipeline(SHIPPED["flux_miniature"], "cpu")), Sampling(SHIPPED["flux_miniature"])
    assert ways["learn to steer"].arm(FEW).description != others["learn to steer"].arm(sampling).description


def test_the_time_of_a_choice_counts_and_that_of_the_verdict_does_not(monkeypatch, tmp_path):
    clock, model = [0.0], pipeline(SHIPPED["miniature"], "cpu")
    monkeypatch.setattr("benchmarks.compared.clock_of", lambda device: lambda: clock[0])

    def detect(self, pictures):
        clock[0] += len(pictures)
        return [[] for _ in pictures]

    monkeypatch.setattr(GlyphDetector, "detect", detect)
    ways = [ways_of(model)[name] for name in (UNSTEERED, "best of 2", "best of 4")]
    measurement = Measurement.of(tmp_path, pairs_suite(seeds=(0, 1)), range(1), ways, FEW)
    with ThreadPoolExecutor(1) as pool:
        measuring.draw_all([measurement], pool)
    assert [measurement.folder.cost(way.name, [0]).seconds for way in ways] == [0, 2, 4]


POINTS = [
    Point("cheap", 1.0, 0.4, (0.3, 0.5)),
    Point("ours", 1.1, 0.8, (0.7, 0.9), is_marked=True),
    Point("beaten", 1.2, 0.7, (0.6, 0.8)),
    Point("as good", 1.1, 0.75, (0.6, 0.8)),
    Point("dear", 4.0, 0.9, (0.8, 1.0)),
]


def test_on_the_front_is_what_none_beats_in_both():
    assert [point.name for point in front(POINTS)] == ["cheap", "ours", "dear"]


def test_the_front_is_drawn():
    one, two = (front_chart(dict.fromkeys(titles, POINTS), "time", "accuracy") for titles in ("a", "ab"))
    assert two.size[0] == 2 * one.size[0]


def run(monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["accuracy_vs_cost", *options])
    accuracy_vs_cost.main()


def test_rows_tell_of_both_miniatures(monkeypatch, capsys, tmp_path):
    """Nothing is drawn."""
    seconds = {UNSTEERED: 1.0, DEFAULT: 1.25}
    monkeypatch.setattr(command, "drawing_processes", ThreadPoolExecutor)
    asked = as_if_drawn(
        monkeypatch,
        right=lambda arm, at: arm == DEFAULT and at == 0,
        cost=lambda arm: Cost(seconds.get(arm, 3.0), 0.0, 0.0),
    )
    options = ["--prompts", "3", "--steps", "10", "--seeds", "4", "5", "--ways", "areas"]
    plot = tmp_path / "front.png"
    run(monkeypatch, "--json", "--plot", str(plot), *options)
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["model"], row["way"]) for row in rows] == [
        (name, way) for name in SHIPPED for way in (UNSTEERED, DEFAULT, "areas")
    ]
    assert [row["default"] for row in rows] == 2 * [False, True, False]
    assert [row["front"] for row in rows] == 2 * [True, True, False]
    assert [row["guidance_scale"] for row in rows] == 3 * [5.0] + 3 * [3.5]
    first, ours = rows[:2]
    assert (first["images"], first["steps"], first["time_ratio"], first["oa"]) == (6, 10, 1.0, 1.0)
    assert (ours["time_ratio"], ours["visor_cond"], ours["visor_uncond"]) == (1.25, 0.5, 0.5)
    assert len(asked) == 2 * 3 * 3 and {folder.suite.seeds for folder, _, _ in asked} == {(4, 5)}
    assert Image.open(plot).size[0] > 1000

    run(monkeypatch, "--model", "flux_miniature", "--guidance", "1", *options)
    told = capsys.readouterr().out
    assert "flux_miniature, 10 steps, guidance scale 1\n" in told
    assert "| **default** | ours: gelu by latent descent | 6 |" in told and "| 1.25 × | yes |" in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--ways", "arreas"], "'areas'"),
        (["--model", "no/such/folder"], "'no/such/folder' is neither a folder nor"),
        (["--plot", "no/such/folder/front.png"], "no/such/folder"),
        (["--prompts", "0"], "--prompts"),
        (["--prompts", "385"], "384"),
    ],
)
def test_what_cannot_be_compared_is_told_before_it_begins(monkeypatch, capsys, options, told):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, *options)
    assert ended.value.code == 2 and told in capsys.readouterr().err.splitlines()[-1]


def test_what_was_drawn_is_not_drawn_again(monkeypatch, capsys, tmp_path):
    """Times would tell, and so would files."""
    monkeypatch.setattr(command, "drawing_processes", ThreadPoolExecutor)
    options = ["--quick", "--json", "--model", "flux_miniature", "--steps", "2", "--ways", "bound regions", "areas"]
    told = []
    for prompts in ("1", "2", "1"):
        run(monkeypatch, *options, "--prompts", prompts, "--jobs", "1", "--keep", str(tmp_path / "kept"))
        told.append(json.loads(capsys.readouterr().out)["rows"])
    assert told[0] == told[2] and [row["images"] for row in told[1]] == 4 * [8]
    assert [row["way"] for row in told[0]] == [UNSTEERED, DEFAULT, "areas", "bound regions"]
    assert len(list((tmp_path / "kept").rglob("*.png"))) == 2 * 4 * 4
