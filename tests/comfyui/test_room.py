"""Room for probes: estimated from the shapes, and asked of ComfyUI before it loads a model."""

from __future__ import annotations

import pytest

#: The last one has refiners before its blocks. They and the maps weigh more in a small network.
FAMILIES = ("UNet", "SDXL", "Z-Image", "Krea 2", "Qwen-Image", "FLUX.1", "FLUX.2 dev", "Chroma", "Anima", "Wan")
REFINED = "Lumina 2"


@pytest.fixture(scope="module")
def results(comfyui):
    return comfyui.run("room.py", *FAMILIES, REFINED)


@pytest.mark.parametrize("family", [*FAMILIES, REFINED])
def test_a_probe_keeps_no_more_than_is_estimated_and_not_far_less(results, family):
    told = results[family]
    assert 0.3 < told["kept"] < (1.2 if family == REFINED else 1)
    assert told["frugal"] < 1


@pytest.mark.parametrize("family", ["UNet", "FLUX.1"])
def test_comfyui_is_asked_for_room_and_a_run_without_it_spares_memory(results, family):
    plain, much, little = (results[family][name] for name in ("plain", "much", "little"))
    for there, alone in zip(much["asked"], plain["asked"]):
        assert there > alone
    more = [there - alone for there, alone in zip(much["asked"], plain["asked"])]
    assert more[1] == pytest.approx(more[0] * results[family]["frugal"])
    assert (much["frugal"], little["frugal"]) == (False, True)
    for told in (much, little):
        assert told["as it was"] and told["unsteered"] == 0


@pytest.mark.parametrize("family", ["UNet", "FLUX.1"])
def test_where_the_room_cannot_be_told_none_is_asked_for_and_the_run_is_steered(results, family):
    plain, unknown = results[family]["plain"], results[family]["unknown"]
    assert unknown["asked"] == plain["asked"] and unknown["as it was"] and unknown["unsteered"] == 0
