"""Steering in graphs of a running ComfyUI: every sampler node, reports, and what must not leak between runs."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

ABOVE, BELOW = (f"a photo of a giraffe {relation} an airplane" for relation in ("above", "below"))
_PACK = "SpatialSteering"
_STEPS = 12


def _node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


def _ours(kind: str, **inputs) -> dict:
    return _node(_PACK + kind, **inputs)


def _schedule(update: str = "latent_descent", **settings) -> dict:
    of_update = (
        {"step_size": 0.2, "refinements": 1, "target": 0.0}
        if update == "latent_descent"
        else {"step_size": 0.5, "target": 0.0}
    )
    rest = {"start_percent": 0.0, "end_percent": 0.25, "decay": 0.0, **settings}
    named = {f"preset.update.{name}": value for name, value in of_update.items()}
    named |= {f"preset.{name}": value for name, value in rest.items()}
    return _ours("SteeringSchedule", preset="balanced", order="together", **{"preset.update": update}, **named)


def _sampling(model: list, seed: int = 1, **settings) -> dict:
    inputs = {
        "model": model,
        "seed": seed,
        "steps": _STEPS,
        "cfg": 5.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "positive": ["parser", 0],
        "negative": ["negative", 0],
        "latent_image": ["empty", 0],
        "denoise": 1.0,
    }
    return _node("KSampler", **{**inputs, **settings})


def _graph(text: str = ABOVE, batch: int = 1, **more) -> dict:
    """A steered KSampler and what it needs, with other nodes, or others in the place of these."""
    return {
        "miniature": _ours("LoadMiniatureModel"),
        "parser": _ours("RelationParser", clip=["miniature", 1], text=text),
        "negative": _node("CLIPTextEncode", clip=["miniature", 1], text=""),
        "empty": _node("EmptyLatentImage", width=128, height=128, batch_size=batch),
        "centroid": _ours(
            "CentroidLoss",
            function="gelu",
            **{"function.alpha": 2.0, "function.margin": 0.25},
            orthogonal="none",
            presence_weight=0.0,
            balance_weight=0.0,
        ),
        "schedule": _schedule(),
        "steer": _ours(
            "ApplySpatialSteering",
            model=["miniature", 0],
            relations=["parser", 1],
            steering_loss=["centroid", 0],
            steering_schedule=["schedule", 0],
        ),
        "sampler": _sampling(["steer", 0]),
        "pictures": _node("VAEDecode", samples=["sampler", 0], vae=["miniature", 2]),
        "shown": _node("PreviewImage", images=["pictures", 0]),
        **more,
    }


def _reported(**more) -> dict:
    """A report of the sampler, as text."""
    return {
        "report": _ours("SteeringReport", latent=["sampler", 0], steering_trace=["steer", 1]),
        "trace": _node("PreviewAny", source=["report", 2]),
        "verdict": _node("PreviewAny", source=["report", 1]),
        **more,
    }


def _text(entry: dict, node: str) -> str:
    assert entry["status"]["status_str"] == "success", entry["status"]
    return entry["outputs"][node]["text"][0]


def _events(entry: dict, name: str) -> list[dict]:
    return [told for kind, told in entry["status"]["messages"] if kind == name]


def _plain(server, **more) -> np.ndarray:
    return server.pictures(server.run(_graph(sampler=_sampling(["miniature", 0]), **more)), "shown")


@pytest.fixture(scope="module")
def steered(server):
    """Pictures of the graph, steered."""
    return server.pictures(server.run(_graph()), "shown")


@pytest.fixture(scope="module")
def plain(server):
    """The same, unsteered."""
    return _plain(server)


def test_steering_changes_the_picture(steered, plain):
    assert not np.array_equal(steered, plain)


def test_steered_ksampler_is_apply_and_ksampler(server, steered):
    inputs = _sampling(["miniature", 0])["inputs"]
    sampler = _ours(
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
    assert np.array_equal(server.pictures(server.run(_graph(sampler=sampler)), "shown"), steered)


def _custom(guider: dict, **more) -> dict:
    return {
        "noise": _node("RandomNoise", noise_seed=1),
        "sampling": _node("KSamplerSelect", sampler_name="euler"),
        "sigmas": _node("BasicScheduler", model=["steer", 0], scheduler="normal", steps=_STEPS, denoise=1.0),
        "guider": guider,
        "sampler": _node(
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
        "sampler": _node(
            "KSamplerAdvanced",
            model=["steer", 0],
            add_noise="enable",
            noise_seed=1,
            steps=_STEPS,
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
        "sampling": _node("KSamplerSelect", sampler_name="euler"),
        "sigmas": _node("BasicScheduler", model=["steer", 0], scheduler="normal", steps=_STEPS, denoise=1.0),
        "sampler": _node(
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
    "CFGGuider": _custom(_node("CFGGuider", model=["steer", 0], cfg=5.0, **_CONDITIONED)),
    "BasicGuider": _custom(_node("BasicGuider", model=["steer", 0], conditioning=["parser", 0])),
    "DualCFGGuider": _custom(
        _node(
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
        _node(
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
    entry = server.run(_graph(**SAMPLER_NODES[name], schedule=_schedule(update), **_reported()))

    losses = [part["loss"][0][0] for part in json.loads(_text(entry, "trace"))["trace"]]
    assert len(losses) == 3
    assert losses[-1] < losses[0]
    if name in _SAME_PICTURES and update == "latent_descent":
        assert np.array_equal(server.pictures(entry, "shown"), steered)


def test_the_second_of_two_samplers_has_a_report_of_its_own(server):
    entry = server.run(
        _graph(
            **_reported(
                second=_sampling(["steer", 0], seed=2),
                report2=_ours("SteeringReport", latent=["second", 0], steering_trace=["steer", 1]),
                trace2=_node("PreviewAny", source=["report2", 2]),
            )
        )
    )
    first, second = (json.loads(_text(entry, node))["trace"] for node in ("trace", "trace2"))
    assert len(first) == len(second) == 3 and first != second


def test_a_report_of_another_latent_is_refused(server):
    entry = server.run(
        _graph(**_reported(report=_ours("SteeringReport", latent=["empty", 0], steering_trace=["steer", 1])))
    )
    (error,) = _events(entry, "execution_error")
    assert "output of a sampler was expected" in error["exception_message"]


def test_maps_lie_on_a_sheet_for_each_picture(server):
    preview = _ours("TokenMapPreview", latent=["sampler", 0], steering_trace=["steer", 1], vae=["miniature", 2])
    sheets = server.pictures(server.run(_graph(batch=2, preview=preview)), "preview")
    assert len(sheets) == 2 and not np.array_equal(*sheets)
    assert sheets.shape[2] > 4 * 160 and sheets.shape[1] > 2 * 160


def test_without_relations_the_report_says_so_and_the_picture_is_the_plain_one(server):
    entry = server.run(_graph("a photo of a giraffe", **_reported()))
    assert "No spatial relation" in _text(entry, "verdict")
    assert np.array_equal(
        server.pictures(entry, "shown"), _plain(server, parser=_graph("a photo of a giraffe")["parser"])
    )


def test_relations_by_hand_steer_like_those_of_the_prompt(server, steered):
    text = "a photo of a giraffe and an airplane"
    by_hand = _ours("SpatialRelation", relations=["parser", 1], subject="giraffe", relation="above", object="airplane")
    steer = _graph()["steer"]
    steer["inputs"]["relations"] = ["hand", 0]
    entry = server.run(_graph(text, hand=by_hand, steer=steer, **_reported()))
    assert "giraffe above airplane" in _text(entry, "verdict")
    assert not np.array_equal(server.pictures(entry, "shown"), _plain(server, parser=_graph(text)["parser"]))


def test_edited_and_laid_out_relations_reach_the_sampler(server):
    edits = {
        "relations": [{"subject": "giraffe", "relation": "above", "object": "airplane", "wanted": "below", "on": True}]
    }
    layout = {
        "objects": [{"name": name, "occurrence": 0, "x": 0.5, "y": 0.5} for name in ("giraffe", "airplane")],
        "relations": [[1, "left_of", 0]],
    }
    steer = _graph()["steer"]
    for node, words in (
        (_ours("EditRelations", relations=["parser", 1], edits=edits), "giraffe below airplane"),
        (_ours("SceneLayout", relations=["parser", 1], layout=layout), "airplane to the left of giraffe"),
    ):
        steer["inputs"]["relations"] = ["changed", 0]
        verdict = _text(server.run(_graph(changed=node, steer=steer, **_reported())), "verdict")
        assert words in verdict and verdict.count("\n") == 0


@pytest.mark.parametrize(
    ("node", "complaint"),
    [
        (
            _ours("SpatialRelation", relations=["parser", 1], subject=" ", relation="above", object="b"),
            "subject: words",
        ),
        (_ours("EditRelations", relations=["parser", 1], edits={"relations": [3]}), "edits: relations were expected"),
        (_ours("SceneLayout", relations=["parser", 1], layout={"objects": [1]}), "layout: objects"),
        (_schedule(start_percent=0.5), "start < end"),
        (_schedule(decay=2.0), "decay must be from 0 to 1"),
        (_ours("SteeringSchedule", preset="wild", order="together"), "preset must be one of"),
    ],
)
def test_values_that_make_no_sense_are_refused_before_anything_runs(server, node, complaint):
    answer = server.queue({**_graph(), "node": node, "out": _node("PreviewAny", source=["node", 0])})
    assert complaint in json.dumps(answer)


def test_a_phrase_that_is_not_in_the_prompt_stops_before_sampling_and_spoils_nothing(server, steered):
    by_hand = _ours("SpatialRelation", relations=["parser", 1], subject="zebra", relation="above", object="airplane")
    steer = _graph()["steer"]
    steer["inputs"]["relations"] = ["hand", 0]
    entry = server.run(_graph(hand=by_hand, steer=steer))
    (error,) = _events(entry, "execution_error")
    assert error["node_type"] == "SpatialSteeringSpatialRelation" and '"zebra"' in error["exception_message"]
    assert np.array_equal(server.pictures(server.run(_graph()), "shown"), steered)


def test_one_branch_steered_and_one_not(server, steered, plain):
    both = _graph(
        other=_sampling(["miniature", 0]),
        pictures2=_node("VAEDecode", samples=["other", 0], vae=["miniature", 2]),
        shown2=_node("PreviewImage", images=["pictures2", 0]),
    )
    entry = server.run(both)
    assert np.array_equal(server.pictures(entry, "shown"), steered)
    assert np.array_equal(server.pictures(entry, "shown2"), plain)


def test_prompts_in_the_queue_do_not_touch_each_other(server, steered, plain):
    below = server.pictures(server.run(_graph(BELOW)), "shown")
    graphs = [_graph(BELOW), _graph(), _graph(sampler=_sampling(["miniature", 0])), _graph(BELOW), _graph()]
    queued = [server.queue(graph) for graph in graphs]
    found = [server.pictures(server.finish(one), "shown") for one in queued]
    for picture, expected in zip(found, [below, steered, plain, below, steered]):
        assert np.array_equal(picture, expected)


@pytest.mark.parametrize("seconds", [0.0, 0.4, 0.8, 1.6])
def test_a_cancelled_run_leaves_nothing_behind(server, steered, seconds):
    queued = server.queue(_graph(batch=4, sampler=_sampling(["steer", 0], seed=int(1000 * seconds), steps=60)))
    while not server.get("/queue")["queue_running"]:
        time.sleep(0.02)
    time.sleep(seconds)
    server.interrupt()
    assert _events(server.finish(queued), "execution_interrupted")
    assert np.array_equal(server.pictures(server.run(_graph()), "shown"), steered)


def test_another_seed_runs_only_what_depends_on_it(server):
    graph = _graph(**_reported(sampler=_sampling(["steer", 0], seed=77)))
    server.run(graph)
    graph["sampler"] = _sampling(["steer", 0], seed=78)
    (cached,) = _events(server.run(graph), "execution_cached")
    assert set(graph) - set(cached["nodes"]) == {"sampler", "pictures", "shown", "report", "trace", "verdict"}
