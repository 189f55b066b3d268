"""What a sampler node shows of steering while it runs."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
import pytest
from graphs import graph, sampler_node
from PIL import Image

_PREVIEW = 4
_CLIENT = "live"
#: The colours of the first two objects.
_COLOURS = np.array([(86, 180, 233), (230, 159, 0)])


def _watch(server, graph: dict, preview_method: str = "none") -> tuple[list[str], list[np.ndarray]]:
    """The texts and the previews that a client is sent while a steered graph runs."""
    websocket = pytest.importorskip("websocket", reason="no websocket-client: it comes with comfy-cli")
    socket = websocket.create_connection(f"ws://127.0.0.1:{server.port}/ws?clientId={_CLIENT}", timeout=120)
    texts, pictures = [], []
    try:
        # As the front end says first; without it no node can show a preview of its own.
        socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
        server.queue(
            graph,
            client_id=_CLIENT,
            extra_data={"preview_method": preview_method},
        )
        while True:
            message = socket.recv()
            if isinstance(message, str):
                told = json.loads(message)
                if told["type"] == "spatial_steering.said":
                    assert told["data"]["node"] == "sampler"
                    texts.append(told["data"]["text"])
                if told["type"] in ("execution_success", "execution_error"):
                    assert told["type"] == "execution_success", told
                    return texts, pictures
                continue
            kind, length = struct.unpack(">II", message[:8])
            head, body = message[8 : 8 + length], message[8 + length :]
            if kind == _PREVIEW:
                assert json.loads(head)["node_id"] == "sampler"
                pictures.append(np.asarray(Image.open(io.BytesIO(body)).convert("RGB"), dtype=int))
    finally:
        socket.close()


def _has(picture: np.ndarray, colour: np.ndarray) -> bool:
    return bool((np.abs(picture - colour).sum(axis=-1) < 60).any())


def test_the_status_line_says_what_will_be_steered_then_step_relation_and_how_far_it_has_come(server):
    texts, pictures = _watch(server, graph(sampler=sampler_node(["steer", 0], seed=31)))
    assert len(texts) == 5
    assert texts[0] == "steering giraffe above airplane · steps 1 to 3 of 12"
    for step, text in enumerate(texts[1:4], 1):
        begin, how_far = text.rsplit(": ", 1)
        assert begin == f"step {step} of 12 · giraffe above airplane"
        assert how_far in ("not there yet", "nearly there", "there")
    assert how_far != "not there yet"
    assert texts[4] == f"giraffe above airplane: {how_far}", "of a run that has ended no step is said"
    assert pictures == []


@pytest.mark.parametrize("has_client", [True, False], ids=["of a client", "of a script without a client"])
def test_another_client_of_the_server_is_told_nothing_of_it(server, has_client):
    websocket = pytest.importorskip("websocket", reason="no websocket-client: it comes with comfy-cli")
    other = websocket.create_connection(f"ws://127.0.0.1:{server.port}/ws?clientId=other", timeout=120)
    try:
        if has_client:
            texts, _ = _watch(server, graph(sampler=sampler_node(["steer", 0], seed=34)), "latent2rgb")
            assert len(texts) == 5
        else:
            entry = server.run(graph(sampler=sampler_node(["steer", 0], seed=35)))
            assert entry["status"]["status_str"] == "success"
        other.settimeout(2)
        seen = []
        with pytest.raises(websocket.WebSocketTimeoutException):
            while True:
                seen.append(other.recv())
    finally:
        other.close()
    assert not [message for message in seen if isinstance(message, bytes) or "spatial_steering" in message]


def test_the_status_line_says_that_there_is_nothing_to_steer(server):
    (text,), _ = _watch(server, graph("a photo of a giraffe", sampler=sampler_node(["steer", 0], seed=33)))
    assert text.startswith("nothing to steer: no spatial relation was found in")


def test_previews_show_the_centroids_where_steering_acts(server):
    _, pictures = _watch(server, graph(sampler=sampler_node(["steer", 0], seed=32)), "latent2rgb")
    marked = [picture for picture in pictures if all(_has(picture, colour) for colour in _COLOURS)]
    assert len(marked) == 3
