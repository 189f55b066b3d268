"""No report says more than is known, and none costs a graph its pictures."""

from __future__ import annotations

import json

import pytest
from graphs import core_node, graph, pack_node, sampler_node, schedule_node

from steering_core.detection.bounding_boxes import read_boxes
from steering_core.detection.boxes import Box, Found
from steering_core.detection.look import Look, label_of, seen_relations
from steering_core.relations.relation import Relation
from steering_core.relations.scene import Scene
from steering_core.relations.statement import Span, SpatialRelation
from steering_core.tokens import GroundedScene, Token, ground

TICK, CROSS = "\N{CHECK MARK}", "\N{BALLOT X}"


def scene_of(*triplets: tuple[str, Relation, str]) -> GroundedScene:
    """Relations whose objects are the triplets' words; the same words are the same object."""
    words = list(dict.fromkeys(word for subject, _, object in triplets for word in (subject, object)))
    prompt = " ".join(words)
    spans = {word: Span(word, prompt.index(word), prompt.index(word) + len(word)) for word in words}
    relations = tuple(SpatialRelation(spans[a], relation, spans[b]) for a, relation, b in triplets)
    tokens = [Token(at, span.text, (span.start, span.end)) for at, span in enumerate(spans.values())]
    return ground(Scene(prompt, relations), tokens)


def at(label: str, centre: tuple[float, float]) -> Found:
    return Found(label, Box(*centre, 0.0, 0.0))


def looked(*pictures: dict[str, tuple[float, float]], known: frozenset[str] | None = None) -> Look:
    return Look("the detector", [[at(*found) for found in picture.items()] for picture in pictures], known)


ABOVE = scene_of(("giraffe", Relation.ABOVE, "airplane"))
UP, DOWN = (0.5, 0.2), (0.5, 0.8)


def told(scene: GroundedScene, look: Look) -> list[str]:
    return [str(seen) for seen in seen_relations(scene, look)]


def test_a_missing_object_is_named_and_nothing_is_ticked():
    look = looked({"giraffe": UP, "airplane": DOWN}, {"giraffe": UP}, {}, {"giraffe": DOWN, "airplane": UP})
    (line,) = told(ABOVE, look)
    assert line == (
        f"{CROSS} seen in 1 of 4 pictures only: giraffe above airplane; picture 2: no airplane; "
        "picture 3: no giraffe and no airplane; picture 4: not above"
    )
    assert told(ABOVE, looked({"giraffe": UP, "airplane": DOWN})) == [f"{TICK} seen: giraffe above airplane"]
    assert told(ABOVE, looked({"giraffe": UP})) == [f"{CROSS} not seen: giraffe above airplane: no airplane"]


def test_of_many_failures_the_first_few_are_told():
    (line,) = told(ABOVE, looked(*[{}] * 30))
    assert line.endswith("and 26 more") and len(line) < 300


def test_a_detector_that_does_not_know_an_object_judges_nothing_about_it():
    look = looked({"giraffe": UP}, known=frozenset({"giraffe", "car"}))
    scene = scene_of(("giraffe", Relation.ABOVE, "wizard"), ("red car", Relation.NEAR, "blue car"))
    first, second = seen_relations(scene, look)
    assert str(first) == "not judged: giraffe above wizard: the detector does not know 'wizard'"
    assert str(second) == (
        "not judged: red car next to blue car: to the detector, 'red car' and 'blue car' are the same: car"
    )
    assert first.as_json() == {"relation": first.relation, "seen": None, "why_not": first.unjudged}


def test_an_object_that_is_there_twice_counts_where_it_does_not_matter_which_is_meant():
    def twice(second: tuple[float, float]) -> Look:
        return Look("it", [[at("giraffe", UP), at("giraffe", second), at("airplane", (0.5, 0.5))]])

    assert told(ABOVE, twice((0.1, 0.3)))[0].startswith(TICK)
    assert told(ABOVE, twice(DOWN)) == [
        f"{CROSS} not seen: giraffe above airplane: unclear, 2 × giraffe and 1 × airplane"
    ]


def test_a_phrase_is_known_by_its_last_words():
    labels = {"bear", "teddy bear", "car", "hot dog"}
    assert label_of("big Teddy Bear", labels) == "teddy bear"
    assert label_of("red car", labels) == "car"
    assert label_of("carpet", labels) is None and label_of("dog", labels) is None


def test_a_longer_name_is_no_shorter_one_and_a_synonym_is_known():
    assert label_of("teddy bear", {"bear", "cat"}) is None and label_of("hot dog", {"dog"}) is None
    assert label_of("a red sofa", {"couch", "tv"}) == "couch" and label_of("television", {"TV"}) == "TV"
    frame = [box("bear", 45, 0), box("cat", 45, 90)]
    scene = scene_of(("teddy bear", Relation.ABOVE, "cat"))
    assert told(scene, read_boxes(frame, 1, 100, 200)) == [f"{CROSS} not seen: teddy bear above cat: no teddy bear"]


def test_boxes_beyond_the_picture_are_cut_off():
    ((found,),) = read_boxes([{"x": -10, "y": 90, "width": 30, "height": 30, "label": "dog"}], 1, 100, 100).found
    assert found.box.sides == pytest.approx((0.0, 0.9, 0.2, 0.1))


def box(label: str | None, x: float, y: float) -> dict:
    return {"x": x, "y": y, "width": 10, "height": 10, "score": 0.9, **({"label": label} if label else {})}


def test_boxes_of_one_picture_or_a_list_for_each_are_read():
    frame = [box("giraffe", 45, 0), box("airplane", 45, 90)]
    for boxes, pictures in ((frame, 1), ([frame], 1), ([frame, frame], 2)):
        look = read_boxes(boxes, pictures, 100, 200)
        first = look.found[0][0]
        assert (first.label, first.score) == ("giraffe", 0.9)
        assert first.box.sides == pytest.approx((0.45, 0.0, 0.1, 0.05))
        assert told(ABOVE, look)[0].startswith(TICK)
    assert read_boxes([[], []], 2, 100, 100).found == [[], []]
    assert told(ABOVE, read_boxes([], 1, 100, 100)) == [
        f"{CROSS} not seen: giraffe above airplane: no giraffe and no airplane"
    ]


@pytest.mark.parametrize(
    "boxes",
    [
        "giraffe",
        [[box("giraffe", 0, 0)]] * 3,
        [box("giraffe", 0, 0)],
        [["giraffe"], []],
        [[box(None, 0, 0)], []],
        [[{**box("giraffe", 0, 0), "x": "left"}], []],
        [[{**box("giraffe", 0, 0), "label": ["giraffe"]}], []],
        {"x": 0, "y": 0, "width": 512, "height": 512},
        [None, None],
    ],
)
def test_boxes_that_tell_nothing_are_refused_in_a_line(boxes):
    with pytest.raises(ValueError, match=r"^boxes: .*expected") as refused:
        read_boxes(boxes, 2, 100, 100)
    assert "\n" not in str(refused.value)


def test_boxes_of_fewer_pictures_are_refused_with_what_to_connect():
    with pytest.raises(ValueError, match=r"those of 3 pictures were expected, not of 2\. Connect the very pictures"):
        read_boxes([[], []], 3, 100, 100)


def reported(latent: str = "sampler", **inputs) -> dict:
    """A report, a preview of the maps, and their outputs as text and pictures."""
    of = {"latent": [latent, 0], "steering_trace": ["steer", 1]}
    return {
        "report": pack_node("SteeringReport", **of, **inputs),
        "maps": pack_node("TokenMapPreview", **of, vae=["miniature", 2]),
        "verdict": core_node("PreviewAny", source=["report", 1]),
        "trace": core_node("PreviewAny", source=["report", 2]),
    }


def outcome(server, nodes: dict) -> tuple[str, dict]:
    """The verdict and the JSON of a graph that must have run to its end."""
    entry = server.run(nodes)
    assert entry["status"]["status_str"] == "success", entry["status"]
    for node in ("report", "maps"):
        assert server.pictures(entry, node).std() > 1
    verdict, trace = (entry["outputs"][node]["text"][0] for node in ("verdict", "trace"))

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return verdict, json.loads(trace, parse_constant=refuse)


def test_without_a_look_there_is_no_tick(server):
    verdict, trace = outcome(server, graph(batch=2, **reported()))
    assert verdict.startswith("attention: giraffe above airplane in ")
    assert TICK not in verdict and CROSS not in verdict and "holds" not in verdict
    assert trace["presence"]["weak"] in ([False, False], [True, False], [False, True], [True, True])
    assert "seen" not in trace


def test_the_miniatures_pictures_are_looked_at_by_its_own_detector(server):
    verdict, trace = outcome(server, graph(batch=2, **reported(picture=["pictures", 0])))
    assert verdict.startswith((f"{TICK} seen: giraffe above airplane", f"{CROSS} seen: giraffe above airplane"))
    assert trace["seen"]["by"] == "the miniature's detector"
    (relation,) = trace["seen"]["relations"]
    assert relation["seen"] == [why is None for why in relation["why_not"]] and len(relation["seen"]) == 2
    assert (TICK in verdict) == all(relation["seen"])


def test_a_picture_that_shows_nothing_of_it_is_not_ticked(server):
    """The attention stands as it should; the picture that is looked at is empty."""
    empty = core_node("EmptyImage", width=128, height=128, batch_size=1, color=0)
    verdict, _ = outcome(server, graph(nothing=empty, **reported(picture=["nothing", 0])))
    first, advice, second, *_ = verdict.splitlines()
    assert first == f"{CROSS} not seen: giraffe above airplane: no giraffe and no airplane"
    assert advice.startswith("to try next: another seed, ")
    assert second.startswith("attention: giraffe above airplane at the last look")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ({"width": 64, "height": 64, "batch_size": 1}, "128×128 pixels, were expected, not of 64×64"),
        ({"width": 128, "height": 128, "batch_size": 3}, "the 1 of this latent were expected, not 3"),
    ],
)
def test_pictures_that_cannot_be_judged_are_a_sentence(server, image, words):
    nothing = core_node("EmptyImage", color=0, **image)
    verdict, trace = outcome(server, graph(nothing=nothing, **reported(picture=["nothing", 0])))
    assert verdict.startswith("not judged: picture: ") and words in verdict.splitlines()[0]
    assert words in trace["note"] and "seen" not in trace and "attention: giraffe" in verdict


def test_boxes_without_labels_judge_nothing(server):
    by_hand = core_node("PrimitiveBoundingBox", x=0, y=0, width=64, height=64)
    verdict, _ = outcome(server, graph(by_hand=by_hand, **reported(picture=["pictures", 0], boxes=["by_hand", 0])))
    assert verdict.startswith("not judged: boxes: each with x, y, width, height and a label was expected")
    verdict, _ = outcome(server, graph(by_hand=by_hand, **reported(boxes=["by_hand", 0])))
    assert verdict.startswith("not judged: boxes: the pictures that they were found in were expected too")


def _with(node: str, **inputs) -> dict:
    found = graph()[node]
    return {node: {**found, "inputs": {**found["inputs"], **inputs}}}


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ({"sampler": sampler_node(["steer", 0], denoise=0.0)}, "Nothing is known of this latent"),
        ({"sampler": sampler_node(["miniature", 0])}, "Nothing is known of this latent"),
        (_with("parser", text="a giraffe"), "No spatial relation"),
    ],
    ids=["denoise 0", "a plain sampler", "no relation"],
)
def test_a_run_with_nothing_steered_is_a_sentence(server, nodes, words):
    verdict, trace = outcome(server, graph(**nodes, **reported()))
    assert words in verdict and TICK not in verdict
    assert trace.get("trace", []) == []


def test_a_window_between_two_steps_steers_the_one_in_which_it_begins(server):
    schedule = schedule_node(start_percent=0.01, end_percent=0.02)
    verdict, trace = outcome(server, graph(schedule=schedule, **reported()))
    assert [entry["step"] for entry in trace["trace"]] == [0]
    assert "at the last look, step 1 of 12" in verdict


def test_a_plain_second_stage_is_a_sentence(server):
    second = sampler_node(["miniature", 0], latent_image=["sampler", 0], denoise=0.3)
    verdict, _ = outcome(server, graph(second=second, **reported("second")))
    assert "Nothing is known of this latent" in verdict
