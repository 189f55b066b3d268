from __future__ import annotations

import torch

from steering_core.pictures import from_image, to_image


def test_pictures_keep_their_colours():
    picture = torch.tensor([1.0, 0.5, 0.0])[:, None, None].expand(3, 2, 2)
    assert to_image(picture).getpixel((1, 1)) == (255, 128, 0)
    assert to_image(picture * 3).getpixel((0, 0)) == (255, 255, 0)
    assert torch.equal(from_image(to_image(picture))[:, 0, 0] * 255, torch.tensor([255.0, 128.0, 0.0]))
