from __future__ import annotations

import pytest
import torch
from PIL import Image
from toys import pair_scene, toy_probe

from steering_core.detection.look import PlacedRelation
from steering_core.losses import CentroidLoss
from steering_core.relations.relation import Relation
from steering_core.relations.scene import Scene
from steering_core.report.curves import run_curves
from steering_core.report.run import SteeringRun
from steering_core.report.viz import (
    RIGHT,
    WRONG,
    SheetRow,
    contact_sheet,
    map_sheet,
    mark_path,
    mark_relations,
    object_colour,
)
from steering_core.schedule import SamplingStep
from steering_core.steering import Steering
from steering_core.tokens import ground


def test_pictures_are_framed_in_their_colours_under_their_label():
    pictures = torch.zeros(2, 3, 20, 30)
    sheet = contact_sheet([SheetRow("a", pictures, [RIGHT, WRONG]), SheetRow("b", pictures, [WRONG, WRONG])], "legend")
    colours = dict((colour, count) for count, colour in sheet.getcolors(1 << 20))
    frame = 26 * 36 - 20 * 30
    assert colours[RIGHT] == frame
    assert colours[WRONG] == 3 * frame
    assert colours[(0, 0, 0)] == 4 * 20 * 30


def _run(batch: int = 1, *relations: Relation) -> Steering:
    steering = Steering(pair_scene(*(relations or (Relation.LEFT_OF,))), CentroidLoss())
    latent = torch.randn(batch, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for step in range(3):
        latent = steering.descend(latent, toy_probe, 1.0, SamplingStep(step, 12, step / 12))
    return steering


def _colours(picture) -> set:
    return {colour for _, colour in picture.getcolors(1 << 20)}


def test_map_sheet_shows_each_object_on_each_picture():
    steering = _run()
    final = torch.ones(3, 16, 32)
    sheet = map_sheet(steering.scene, steering.trace, [final * 0.5] * 3, final)
    assert sheet.width > 4 * 160 and 2 * 80 < sheet.height < 3 * 80 + 60
    assert {object_colour(0), object_colour(1), (255, 255, 255)} <= _colours(sheet)
    assert max(max(colour) for colour in _colours(map_sheet(steering.scene, steering.trace, (), final * 0))) < 255


def test_path_runs_through_the_centroids():
    picture = Image.new("RGB", (100, 50))
    mark_path(picture, torch.tensor([[0.1, 0.5], [0.9, 0.5]]), RIGHT)
    assert picture.getpixel((50, 25)) == RIGHT and picture.getpixel((90, 25)) == RIGHT
    assert picture.getpixel((50, 10)) == (0, 0, 0)


def test_an_empty_trace_is_refused():
    with pytest.raises(ValueError, match="trace is empty"):
        map_sheet(pair_scene(), [], (), torch.zeros(3, 8, 8))


def test_curves_have_a_colour_for_each_relation():
    steering = _run(2, Relation.LEFT_OF, Relation.ABOVE)
    run = SteeringRun(steering.scene, 12, steering.trace, {}, torch.zeros(2, 4, 8, 8))
    assert {object_colour(0), object_colour(1)} <= _colours(run_curves(run))
    nothing = run_curves(SteeringRun(steering.scene, 12, [], {}, torch.zeros(2, 4, 8, 8)))
    assert object_colour(0) not in _colours(nothing) and nothing.height < run_curves(run).height


def test_long_summaries_are_wrapped():
    prompt = "a very long prompt " * 12
    heights = [
        run_curves(SteeringRun(ground(Scene(text, ()), []), 12, [], {}, torch.zeros(1))).height
        for text in (prompt, "short")
    ]
    assert heights[0] > heights[1]


def test_relations_are_drawn_between_their_objects_by_whether_they_are_seen():
    picture = Image.new("RGB", (128, 128))
    seen = PlacedRelation("above", ((0.2, 0.1), (0.2, 0.9)), True)
    mark_relations(picture, [seen, PlacedRelation("on the left", ((0.8, 0.5),), False)])
    assert picture.getpixel((25, 30)) == picture.getpixel((25, 100)) == RIGHT
    assert {RIGHT, WRONG} <= _colours(picture)
    assert WRONG not in _colours(picture.crop((0, 0, 64, 128)))
