from __future__ import annotations

import pytest
import torch
from toys import pair_scene, toy_probe

from steering_core.losses import CentroidLoss
from steering_core.relations import Relation
from steering_core.schedule import SamplingStep
from steering_core.steering import Steering
from steering_core.viz import RIGHT, WRONG, SheetRow, contact_sheet, map_sheet, to_image


def test_pictures_are_framed_in_their_colours_under_their_label():
    pictures = torch.zeros(2, 3, 20, 30)
    sheet = contact_sheet([SheetRow("a", pictures, [RIGHT, WRONG]), SheetRow("b", pictures, [WRONG, WRONG])], "legend")
    colours = dict((colour, count) for count, colour in sheet.getcolors(1 << 20))
    frame = 26 * 36 - 20 * 30
    assert colours[RIGHT] == frame
    assert colours[WRONG] == 3 * frame
    assert colours[(0, 0, 0)] == 4 * 20 * 30


def test_pictures_keep_their_colours():
    picture = torch.tensor([1.0, 0.5, 0.0])[:, None, None].expand(3, 2, 2)
    assert to_image(picture).getpixel((1, 1)) == (255, 128, 0)
    assert to_image(picture * 3).getpixel((0, 0)) == (255, 255, 0)


def test_map_sheet_marks_the_centroids():
    steering = Steering(pair_scene(Relation.LEFT_OF), CentroidLoss(), record_maps=True)
    latent = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for step in range(3):
        latent = steering.descend(latent, toy_probe, 1.0, SamplingStep(step, 12, step / 12))
    sheet = map_sheet(steering.trace, steering.scene.names)
    assert sheet.width > 3 * 128 and sheet.height > 2 * 128
    assert WRONG in {colour for _, colour in sheet.getcolors(1 << 20)}


def test_a_trace_without_maps_is_refused():
    with pytest.raises(ValueError, match="no token maps"):
        map_sheet([], ["a", "b"])
