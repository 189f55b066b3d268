"""Steering in graphs of a running ComfyUI: every sampler node, reports, and what must not leak between runs."""

from __future__ import annotations

import copy
import json
import time

import numpy as np
import pytest
from graphs import ABOVE, BELOW, STEPS, core_node, graph, pack_node, sampler_node, schedule_node


def _reported(**more) -> dict:
    """A report of the sampler, as text."""
    return {
        "report": pack_node("SteeringReport", latent=["sampler", 0], steering_trace=["steer", 1]),
        "trace": core_node("PreviewAny", source=["report", 2]),
        "verdict": core_node("PreviewAny", source=["report", 1]),
        **more,
    }


def _text(entry: dict, node: str) -> str:
    assert entry["status"]["status_str"] == "success", entry["status"]
    return entry["outputs"][node]["text"][0]


def _events(entry: dict, name: str) -> list[dict]:
    return [told for kind, told in entry["status"]["messages"] if kind == name]


def _plain(server, **more) -> np.ndarray:
    return server.pictures(server.run(graph(sampler=sampler_node(["miniature", 0]), **more)), "shown")


@pytest.fixture(scope="module")
def steered(server):
    """Pictures of the graph, steered."""
    return server.pictures(server.run(graph()), "shown")


@pytest.fixture(scope="module")
def plain(server):
    """The same, unsteered."""
    return _plain(server)


def test_steering_changes_the_picture(steered, plain):
    assert not np.array_equal(steered, plain)


def test_steered_ksampler_is_apply_and_ksampler(server, steered):
    inputs = sampler_node(["miniature", 0])["inputs"]
    sampler = pack_node(
        "SteeredKSampler",
        **inputs,
        relations=["parser", 1],
        steering_loss=["centroid", 0],
        update="latent_descent",
        **{"update.step_size": 0.2, "update.refinements": 1, "update.target": 0.0},
        start_percent=0.0,
        end_percent=0.25,
        order="together",
    )
    assert np.array_equal(server.pictures(server.run(graph(sampler=sampler)), "shown"), steered)


def test_the_positive_conditioning_brings_the_relations_along(server, steered):
    unwired = graph()
    del unwired["steer"]["inputs"]["relations"]
    assert np.array_equal(server.pictures(server.run(unwired), "shown"), steered)


def test_without_a_loss_the_centroid_loss_is_taken_at_its_defaults(server, steered):
    bare = graph()
    del bare["steer"]["inputs"]["steering_loss"], bare["steer"]["inputs"]["relations"], bare["centroid"]
    assert np.array_equal(server.pictures(server.run(bare), "shown"), steered)


def test_steered_ksampler_needs_no_more_than_the_parsers_conditioning(server, steered):
    sampler = pack_node(
        "SteeredKSampler",
        **sampler_node(["miniature", 0])["inputs"],
        update="latent_descent",
        **{"update.step_size": 0.2, "update.refinements": 1, "update.target": 0.0},
        start_percent=0.0,
        end_percent=0.25,
        order="together",
    )
    bare = graph(sampler=sampler)
    del bare["steer"], bare["schedule"], bare["centroid"]
    assert np.array_equal(server.pictures(server.run(bare), "shown"), steered)


def _spatial_prompt(**inputs) -> dict:
    """A KSampler on Spatial Prompt; without inputs it steers as an automatic schedule does."""
    given = {"strength": 1.0, "how_long": 0.25, "spacing": 0.25, "update": "automatic", **inputs}
    prompt = pack_node("SpatialPrompt", model=["miniature", 0], clip=["miniature", 1], **{"text": ABOVE, **given})
    whole = graph(
        prompt=prompt,
        sampler=sampler_node(["prompt", 0], positive=["prompt", 1]),
        report=pack_node("SteeringReport", latent=["sampler", 0], steering_trace=["prompt", 4]),
        verdict=core_node("PreviewAny", source=["report", 1]),
        summary=core_node("PreviewAny", source=["prompt", 2]),
    )
    for name in ("parser", "steer", "schedule", "centroid"):
        del whole[name]
    return whole


def test_spatial_prompt_is_parser_and_apply_in_one(server):
    entry = server.run(_spatial_prompt())
    steered = server.pictures(server.run(graph(schedule=schedule_node("automatic"))), "shown")
    assert np.array_equal(server.pictures(entry, "shown"), steered)
    assert _text(entry, "summary") == "giraffe above airplane"


@pytest.mark.parametrize(
    "inputs", [{"strength": 2.0}, {"how_long": 0.5}, {"spacing": 0.6}, {"update": "automatic_guidance"}]
)
def test_each_input_of_spatial_prompt_acts(server, inputs):
    other, usual = (server.pictures(server.run(_spatial_prompt(**given)), "shown") for given in (inputs, {}))
    assert not np.array_equal(other, usual)


def test_spatial_prompt_of_strength_zero_or_without_relations_draws_the_plain_picture(server, plain):
    assert np.array_equal(server.pictures(server.run(_spatial_prompt(strength=0.0)), "shown"), plain)
    calm = graph("a photo of a giraffe")["parser"]
    entry = server.run(_spatial_prompt(text="a photo of a giraffe"))
    assert np.array_equal(server.pictures(entry, "shown"), _plain(server, parser=calm))
    assert "No spatial relation was found" in _text(entry, "summary")


def test_a_layout_takes_the_place_of_the_prompts_words(server):
    layout = {
        "objects": [{"name": name, "occurrence": 0, "x": 0.5, "y": 0.5} for name in ("giraffe", "airplane")],
        "relations": [[0, "below", 1]],
    }
    entry = server.run(_spatial_prompt(layout=layout))
    assert _text(entry, "summary") == "giraffe below airplane"
    assert "giraffe below airplane" in _text(entry, "verdict")


def test_neither_relations_nor_a_conditioning_with_them_is_said_before_sampling(server):
    bare = graph(parser=core_node("CLIPTextEncode", clip=["miniature", 1], text=ABOVE))
    del bare["steer"]["inputs"]["relations"]
    entry = server.run(bare)
    (error,) = _events(entry, "execution_error")
    assert "it carries no relations" in error["exception_message"]
    assert error["node_type"] == "KSampler" and "sampler" not in entry["outputs"]


def test_positive_and_negative_swapped_are_an_error_before_sampling(server):
    swapped = graph(sampler=sampler_node(["steer", 0], positive=["negative", 0], negative=["parser", 0]))
    carried = copy.deepcopy(swapped)
    del carried["steer"]["inputs"]["relations"]
    for each in (swapped, carried):
        (error,) = _events(server.run(each), "execution_error")
        assert "Swap the two" in error["exception_message"]


def _custom(guider: dict, **more) -> dict:
    return {
        "noise": core_node("RandomNoise", noise_seed=1),
        "sampling": core_node("KSamplerSelect", sampler_name="euler"),
        "sigmas": core_node("BasicScheduler", model=["steer", 0], scheduler="normal", steps=STEPS, denoise=1.0),
        "guider": guider,
        "sampler": core_node(
            "SamplerCustomAdvanced",
            noise=["noise", 0],
            guider=["guider", 0],
            sampler=["sampling", 0],
            sigmas=["sigmas", 0],
            latent_image=["empty", 0],
        ),
        **more,
    }


_CONDITIONED = {"positive": ["parser", 0], "negative": ["negative", 0]}
SAMPLER_NODES = {
    "KSampler Advanced": {
        "sampler": core_node(
            "KSamplerAdvanced",
            model=["steer", 0],
            add_noise="enable",
            noise_seed=1,
            steps=STEPS,
            cfg=5.0,
            sampler_name="euler",
            scheduler="normal",
            **_CONDITIONED,
            latent_image=["empty", 0],
            start_at_step=0,
            end_at_step=10000,
            return_with_leftover_noise="disable",
        )
    },
    "SamplerCustom": {
        "sampling": core_node("KSamplerSelect", sampler_name="euler"),
        "sigmas": core_node("BasicScheduler", model=["steer", 0], scheduler="normal", steps=STEPS, denoise=1.0),
        "sampler": core_node(
            "SamplerCustom",
            model=["steer", 0],
            add_noise=True,
            noise_seed=1,
            cfg=5.0,
            **_CONDITIONED,
            sampler=["sampling", 0],
            sigmas=["sigmas", 0],
            latent_image=["empty", 0],
        ),
    },
    "CFGGuider": _custom(core_node("CFGGuider", model=["steer", 0], cfg=5.0, **_CONDITIONED)),
    "BasicGuider": _custom(core_node("BasicGuider", model=["steer", 0], conditioning=["parser", 0])),
    "DualCFGGuider": _custom(
        core_node(
            "DualCFGGuider",
            model=["steer", 0],
            cond1=["parser", 0],
            cond2=["parser", 0],
            negative=["negative", 0],
            cfg_conds=5.0,
            cfg_cond2_negative=5.0,
            style="regular",
        )
    ),
    "PerpNegGuider": _custom(
        core_node(
            "PerpNegGuider",
            model=["steer", 0],
            **_CONDITIONED,
            empty_conditioning=["negative", 0],
            cfg=5.0,
            neg_scale=1.0,
        )
    ),
}
#: These ask the model the same things as KSampler does.
_SAME_PICTURES = {"KSampler Advanced", "SamplerCustom", "CFGGuider"}


@pytest.mark.parametrize("update", ["latent_descent", "noise_guidance"])
@pytest.mark.parametrize("name", SAMPLER_NODES)
def test_every_sampler_node_is_steered(server, steered, name, update):
    entry = server.run(graph(**SAMPLER_NODES[name], schedule=schedule_node(update), **_reported()))

    losses = [part["loss"][0][0] for part in json.loads(_text(entry, "trace"))["trace"]]
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    if name in _SAME_PICTURES and update == "latent_descent":
        assert np.array_equal(server.pictures(entry, "shown"), steered)


@pytest.mark.parametrize("update", ["latent_descent", "noise_guidance"])
def test_a_part_of_a_schedule_without_steps_gives_the_latent_that_it_was_given(server, update):
    guider = core_node("CFGGuider", model=["steer", 0], cfg=5.0, **_CONDITIONED)
    custom = _custom(
        guider,
        sigmas=core_node("SplitSigmas", sigmas=["whole", 0], step=0),
        whole=core_node("BasicScheduler", model=["steer", 0], scheduler="normal", steps=STEPS, denoise=1.0),
    )
    entry = server.run(graph(**custom, schedule=schedule_node(update, **{"bound_percent": 0.5}), **_reported()))
    assert _text(entry, "verdict") == "The run had no steps: nothing was sampled, and nothing steered."


def test_a_schedule_that_stands_still_where_predictions_would_be_bent_is_told(server):
    guider = core_node("CFGGuider", model=["steer", 0], cfg=5.0, **_CONDITIONED)
    still = _custom(guider, sigmas=core_node("ManualSigmas", sigmas="14.6, 14.6, 14.6, 14.6, 5.0, 0.0"))
    entry = server.run(graph(**still, schedule=schedule_node("noise_guidance"), **_reported()))
    assert _text(entry, "verdict").endswith(
        "step 1: not steered, no noise is taken away in the steered steps, so that no bend would move anything: steer "
        "by latent descent"
    )


def _bound(share: float) -> dict:
    """A schedule that moves nothing and binds objects in this share of the steps: its kind and its inputs."""
    schedule = schedule_node("automatic", **{"update.strength": 0.0})
    return {"kind": schedule["class_type"], **schedule["inputs"], "bound_percent": share}


def test_below_0_it_is_left_to_the_network_how_long_objects_are_bound(server, plain):
    entry = server.run(graph(schedule=core_node(**_bound(-0.95))))
    assert np.array_equal(server.pictures(entry, "shown"), plain)


def test_objects_are_bound_where_nothing_is_moved(server, plain):
    entry = server.run(graph(schedule=core_node(**_bound(0.5)), **_reported()))
    assert (
        _text(entry, "verdict") == "bound in the first 6 steps: giraffe in the upper half, airplane in the lower half"
    )
    assert json.loads(_text(entry, "trace"))["bound"]["steps"] == list(range(6))
    assert not np.array_equal(server.pictures(entry, "shown"), plain)
    unbound = server.run(graph(schedule=core_node(**_bound(0.0)), **_reported()))
    assert np.array_equal(server.pictures(unbound, "shown"), plain)


def test_the_second_of_two_samplers_has_a_report_of_its_own(server):
    entry = server.run(
        graph(
            **_reported(
                second=sampler_node(["steer", 0], seed=2),
                report2=pack_node("SteeringReport", latent=["second", 0], steering_trace=["steer", 1]),
                trace2=core_node("PreviewAny", source=["report2", 2]),
            )
        )
    )
    first, second = (json.loads(_text(entry, node))["trace"] for node in ("trace", "trace2"))
    assert len(first) == len(second) == 3 and first != second


def test_a_report_of_another_latent_is_a_sentence(server):
    entry = server.run(
        graph(**_reported(report=pack_node("SteeringReport", latent=["empty", 0], steering_trace=["steer", 1])))
    )
    assert "Nothing is known of this latent" in _text(entry, "verdict")


def test_maps_lie_on_a_sheet_for_each_picture(server):
    preview = pack_node("TokenMapPreview", latent=["sampler", 0], steering_trace=["steer", 1], vae=["miniature", 2])
    sheets = server.pictures(server.run(graph(batch=2, preview=preview)), "preview")
    assert len(sheets) == 2 and not np.array_equal(*sheets)
    assert sheets.shape[2] > 4 * 160 and sheets.shape[1] > 2 * 160


def test_without_relations_the_report_says_so_and_the_picture_is_the_plain_one(server):
    entry = server.run(graph("a photo of a giraffe", **_reported()))
    assert "No spatial relation" in _text(entry, "verdict")
    assert np.array_equal(
        server.pictures(entry, "shown"), _plain(server, parser=graph("a photo of a giraffe")["parser"])
    )


def _relation(subject: str, relation: str = "above", object: str = "airplane") -> dict:
    return pack_node("SpatialRelation", relations=["parser", 1], subject=subject, relation=relation, object=object)


def test_relations_by_hand_steer_like_those_of_the_prompt(server, steered):
    text = "a photo of a giraffe and an airplane"
    by_hand = _relation("giraffe")
    steer = graph()["steer"]
    steer["inputs"]["relations"] = ["hand", 0]
    entry = server.run(graph(text, hand=by_hand, steer=steer, **_reported()))
    assert "giraffe above airplane" in _text(entry, "verdict")
    assert not np.array_equal(server.pictures(entry, "shown"), _plain(server, parser=graph(text)["parser"]))


def test_a_place_by_the_parser_and_by_hand_steers_alike(server):
    plain = "a photo of a giraffe and an airplane"
    by_hand = graph()["steer"]
    by_hand["inputs"]["relations"] = ["hand", 0]
    hand = _relation("airplane", "at_top_left", "")
    entry = server.run(graph(plain, hand=hand, steer=by_hand, **_reported()))
    assert "attention: airplane in the upper left corner" in _text(entry, "verdict")
    assert not np.array_equal(server.pictures(entry, "shown"), _plain(server, parser=graph(plain)["parser"]))

    both = "a photo of a giraffe on the right and an airplane in the upper left corner, a cat behind the giraffe"
    entry = server.run(graph(both, **_reported()))
    verdict, trace = _text(entry, "verdict"), json.loads(_text(entry, "trace"))
    assert trace["relations"] == ["giraffe on the right", "airplane in the upper left corner"]
    assert verdict.splitlines()[-1] == "read, but not steered: cat behind giraffe"
    first, last = (np.mean(trace["trace"][at]["centroids"], axis=0) for at in (0, -1))
    assert last[0][0] > first[0][0], "the giraffe's attention did not move to the right"
    assert (last[1] < first[1]).all(), "the airplane's attention did not move up and to the left"


def test_edited_and_laid_out_relations_reach_the_sampler(server):
    edits = {
        "relations": [{"subject": "giraffe", "relation": "above", "object": "airplane", "wanted": "below", "on": True}]
    }
    layout = {
        "objects": [{"name": name, "occurrence": 0, "x": 0.5, "y": 0.5} for name in ("giraffe", "airplane")],
        "relations": [[1, "left_of", 0]],
    }
    steer = graph()["steer"]
    for node, words in (
        (pack_node("EditRelations", relations=["parser", 1], edits=edits), "giraffe below airplane"),
        (pack_node("SceneLayout", relations=["parser", 1], layout=layout), "airplane to the left of giraffe"),
    ):
        steer["inputs"]["relations"] = ["changed", 0]
        verdict = _text(server.run(graph(changed=node, steer=steer, **_reported())), "verdict")
        first, *others = verdict.splitlines()
        assert words in first and not any(" attention: " in line for line in others)


def test_a_layout_of_another_prompt_costs_no_picture_and_is_told(server):
    layout = {
        "objects": [{"name": name, "occurrence": 0, "x": 0.9, "y": 0.5} for name in ("zebra", "airplane")],
        "relations": [[1, "left_of", 0], [1, "at_right", None]],
    }
    changed = pack_node("SceneLayout", relations=["parser", 1], layout=layout)
    entry = server.run(graph(changed=changed, summary=core_node("PreviewAny", source=["changed", 1])))
    assert sorted(_text(entry, "summary").splitlines()) == [
        "airplane on the right",
        "giraffe above airplane",
        "placed, but not in the prompt: zebra",
    ]


def _restarting(update: str = "latent_descent", restarts: int = 2) -> dict:
    """A schedule by which every picture begins again."""
    node = schedule_node(update)
    node["inputs"] |= {"restarts": restarts, "restart_overlap": 0.0}
    return node


def test_pictures_begin_again_by_the_schedule_and_the_report_says_so(server, steered):
    again = graph(**_reported(schedule=_restarting()))
    entry = server.run(again)
    (restarts,) = json.loads(_text(entry, "trace"))["restarts"]
    assert len(restarts["restarted"][0]["overlaps"]) == 3
    assert "restarts: 1 of 1 pictures began again" in _text(entry, "verdict")
    pictures = server.pictures(entry, "shown")
    assert np.array_equal(pictures, steered) == (restarts["restarted"][0]["kept"] == 0)


@pytest.mark.parametrize(
    ("node", "complaint"),
    [
        (_relation(" "), "subject: words"),
        (_relation("Airplane"), "two objects were expected"),
        (_relation("giraffe", "over"), "relation: one of left_of, right_of"),
        (_relation("giraffe", "at_left"), "object: none was expected with at_left"),
        (_relation("giraffe", "above", " "), "object: words of the prompt"),
        (
            pack_node("EditRelations", relations=["parser", 1], edits={"relations": [3]}),
            "edits.relations[0]: an object was expected",
        ),
        (
            pack_node("SceneLayout", relations=["parser", 1], layout={"objects": [1]}),
            "layout.objects[0]: an object was expected",
        ),
        (_spatial_prompt(layout={"objects": [1]})["prompt"], "layout.objects[0]: an object was expected"),
        (_spatial_prompt(layout='{"objects": [1]}')["prompt"], "layout.objects[0]: an object was expected"),
        (_spatial_prompt(layout="a cat")["prompt"], "layout is no JSON that can be read"),
        (
            pack_node("EditRelations", relations=["parser", 1], edits="{"),
            "edits is no JSON that can be read",
        ),
        (_spatial_prompt(strength=-1.0)["prompt"], "smaller than min"),
        (schedule_node(start_percent=0.5), "end_percent must be greater than start_percent, 0.5, not 0.25"),
        (schedule_node(decay=2.0), "decay must be from 0.0 to 1.0"),
        (schedule_node(decay="slow"), "decay must be from 0.0 to 1.0, not slow"),
        (schedule_node(**{"update.refinements": 1000}), "refinements must be from 0 to 50"),
        (schedule_node(**{"update.step_size": 1e9}), "step_size must be from 0.0 to 10.0"),
        (pack_node("SteeringSchedule", preset="wild", order="together"), "preset must be one of"),
        (core_node(**_bound(2.0)), "bound_percent must be from -1.0 to 1.0"),
        (_restarting(restarts=21), "restarts must be from 0 to 20"),
        (_restarting("noise_guidance"), "pictures begin again by descent only"),
    ],
)
def test_values_that_make_no_sense_are_refused_before_anything_runs(server, node, complaint):
    answer = server.queue({**graph(), "node": node, "out": core_node("PreviewAny", source=["node", 0])})
    assert complaint in json.dumps(answer)


def test_a_phrase_that_is_not_in_the_prompt_stops_before_sampling_and_spoils_nothing(server, steered):
    by_hand = _relation("zebra")
    steer = graph()["steer"]
    steer["inputs"]["relations"] = ["hand", 0]
    entry = server.run(graph(hand=by_hand, steer=steer))
    (error,) = _events(entry, "execution_error")
    assert error["node_type"] == "SpatialSteeringSpatialRelation" and '"zebra"' in error["exception_message"]
    assert np.array_equal(server.pictures(server.run(graph()), "shown"), steered)


def test_one_branch_steered_and_one_not(server, steered, plain):
    both = graph(
        other=sampler_node(["miniature", 0]),
        pictures2=core_node("VAEDecode", samples=["other", 0], vae=["miniature", 2]),
        shown2=core_node("PreviewImage", images=["pictures2", 0]),
    )
    entry = server.run(both)
    assert np.array_equal(server.pictures(entry, "shown"), steered)
    assert np.array_equal(server.pictures(entry, "shown2"), plain)


def test_prompts_in_the_queue_do_not_touch_each_other(server, steered, plain):
    below = server.pictures(server.run(graph(BELOW)), "shown")
    graphs = [graph(BELOW), graph(), graph(sampler=sampler_node(["miniature", 0])), graph(BELOW), graph()]
    queued = [server.queue(graph) for graph in graphs]
    found = [server.pictures(server.finish(one), "shown") for one in queued]
    for picture, expected in zip(found, [below, steered, plain, below, steered]):
        assert np.array_equal(picture, expected)


@pytest.mark.parametrize("seconds", [0.0, 0.4, 0.8, 1.6])
def test_a_cancelled_run_leaves_nothing_behind(server, steered, seconds):
    queued = server.queue(graph(batch=4, sampler=sampler_node(["steer", 0], seed=int(1000 * seconds), steps=600)))
    deadline = time.monotonic() + 60
    while not server.get("/queue")["queue_running"]:
        assert time.monotonic() < deadline, "The prompt did not begin."
        time.sleep(0.02)
    time.sleep(seconds)
    server.interrupt()
    assert _events(server.finish(queued), "execution_interrupted")
    assert np.array_equal(server.pictures(server.run(graph()), "shown"), steered)


def test_another_seed_runs_only_what_depends_on_it(server):
    steered_graph = graph(**_reported(sampler=sampler_node(["steer", 0], seed=77)))
    server.run(steered_graph)
    steered_graph["sampler"] = sampler_node(["steer", 0], seed=78)
    (cached,) = _events(server.run(steered_graph), "execution_cached")
    assert set(steered_graph) - set(cached["nodes"]) == {"sampler", "pictures", "shown", "report", "trace", "verdict"}


def test_with_the_pack_removed_the_rest_goes_on_and_its_nodes_are_named(start_server, tmp_path):
    picture = core_node("EmptyImage", width=8, height=8, batch_size=1, color=0)
    others = {"picture": picture, "shown": core_node("PreviewImage", images=["picture", 0])}
    (tmp_path / "custom_nodes").mkdir()
    with start_server(tmp_path) as server:
        assert "SpatialSteering" in json.dumps(server.queue(graph())["error"])
        assert server.run(others)["status"]["status_str"] == "success"
