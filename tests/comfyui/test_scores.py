"""Finished pictures judged in a running ComfyUI, and the best of them kept."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import core_node, graph, pack_node, sampler_node

BATCH = 4


def _scored(**more) -> dict:
    """The steered graph with a look at its pictures."""
    return graph(
        batch=BATCH,
        detect=pack_node("DetectMiniatureObjects", images=["pictures", 0]),
        score=pack_node(
            "SpatialScore", images=["pictures", 0], relations=["parser", 1], boxes=more.pop("boxes", ["detect", 0])
        ),
        keep=pack_node(
            "KeepBest", images=["pictures", 0], scores=["score", 1], count=2, latent=more.pop("latent", ["sampler", 0])
        ),
        kept=core_node("PreviewImage", images=["keep", 0]),
        which=core_node("PreviewAny", source=["keep", 2]),
        report=core_node("PreviewAny", source=["score", 3]),
        share=core_node("PreviewAny", source=["score", 2]),
        **more,
    )


@pytest.fixture(scope="module")
def scored(server):
    """What ComfyUI tells of a run in which a latent of the best is decoded too, and drawn from anew."""
    again = sampler_node(["steer", 0], latent_image=["emptied", 0])
    return server.run(
        _scored(
            decoded=core_node("VAEDecode", samples=["keep", 1], vae=["miniature", 2]),
            from_latent=core_node("PreviewImage", images=["decoded", 0]),
            emptied=core_node("LatentMultiply", samples=["keep", 1], multiplier=0.0),
            again=again,
            pictures_again=core_node("VAEDecode", samples=["again", 0], vae=["miniature", 2]),
            shown_again=core_node("PreviewImage", images=["pictures_again", 0]),
        )
    )


def _text(entry: dict, node: str) -> str:
    assert entry["status"]["status_str"] == "success", entry["status"]
    return entry["outputs"][node]["text"][0]


def test_report_tells_every_picture(scored):
    report = _text(scored, "report")
    assert "giraffe above airplane" in report.splitlines()[0]
    shares = [float(line.split(": ")[1].rstrip("%")) / 100 for line in report.splitlines()[1:]]
    assert len(shares) == BATCH
    assert float(_text(scored, "share")) == pytest.approx(sum(shares) / BATCH)


def test_the_best_pictures_and_their_latents_are_kept(server, scored):
    drawn, kept = (server.pictures(scored, node) for node in ("shown", "kept"))
    numbers = [int(number) - 1 for number in _text(scored, "which").split(", ")]
    assert len(kept) == len(numbers) == 2
    assert np.array_equal(kept, drawn[numbers])
    assert np.abs(server.pictures(scored, "from_latent").astype(int) - kept).max() <= 1


def test_the_boxes_are_marked(server, scored):
    marked, drawn = server.pictures(scored, "score"), server.pictures(scored, "shown")
    assert marked.shape == drawn.shape
    assert [not np.array_equal(*pair) for pair in zip(marked, drawn)] == [True] * BATCH


def test_a_mask_of_one_picture_is_kept_for_every_one(server):
    """ComfyUI repeats it over the batch; the kept latents have it for each of theirs."""
    masked = core_node("SetLatentNoiseMask", samples=["sampler", 0], mask=["mask", 0])
    entry = server.run(
        _scored(
            latent=["masked", 0],
            masked=masked,
            mask=core_node("SolidMask", value=0.5, width=128, height=128),
            told=core_node("PreviewAny", source=["keep", 1]),
        )
    )
    assert "noise_mask" in _text(entry, "told")


def test_a_sampler_gives_kept_latents_the_noise_that_they_had(server, scored):
    """Emptied and drawn again with the same seed, they become the same pictures."""
    again, kept = (server.pictures(scored, node).astype(int) for node in ("shown_again", "kept"))
    assert np.abs(again - kept).max() <= 2


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"latent": ["empty_one", 0], "empty_one": core_node("EmptyLatentImage", width=128, height=128, batch_size=1)},
         "latent: the 4 that were scored were expected, not 1"),
        ({"boxes": ["one_box", 0],
          "one_box": core_node("PrimitiveBoundingBox", x=0, y=0, width=9, height=9)}, "boxes"),
    ],
)  # fmt: skip
def test_what_does_not_belong_together_is_told(server, changed, told):
    entry = server.run(_scored(**changed))
    (error,) = [what for kind, what in entry["status"]["messages"] if kind == "execution_error"]
    assert told in error["exception_message"]
