"""Nodes that look at finished pictures say what an input lacks."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def result(comfyui):
    return comfyui.run("finished.py")


@pytest.mark.parametrize(("given", "places"), {"all": [5, 6, 7], "one": [5, 5, 5], "none": [0, 1, 2]}.items())
def test_kept_latents_have_a_place_in_the_batch_each(result, given, places):
    kept, best = result["places"][given]
    assert kept == [places[at] for at in best] and sorted(best) == [0, 1, 2]


def test_without_an_autoencoder_the_preview_says_what_to_connect(result):
    assert "vae: none was given" in result["no vae"] and "Load VAE" in result["no vae"]


def test_a_box_that_is_none_is_refused_and_costs_the_report_its_look_alone(result):
    assert result["no box, scored"].startswith("boxes: each with x, y, width, height and a label was expected")
    assert result["no box, reported"].startswith(f"not judged: {result['no box, scored']}")
