"""What the front end of the pack asks its server."""

from __future__ import annotations

import asyncio

from aiohttp import web
from server import PromptServer

from ..steering_core.editing import described, vocabulary

#: Answers {"objects", "relations", "vocabulary"} for {"prompt": TEXT}.
DESCRIBE = "/spatial_steering/describe"


def add_routes() -> None:
    """Called once, when ComfyUI has loaded the pack."""
    PromptServer.instance.routes.post(DESCRIBE)(_describe)


async def _describe(request: web.Request) -> web.Response:
    """The objects of a prompt and its relations, before anything is sampled."""
    try:
        prompt = (await request.json())["prompt"]
        answer = await asyncio.to_thread(described, prompt)
    except (ValueError, KeyError, TypeError) as error:
        return web.json_response({"error": f'{{"prompt": TEXT}} was expected: {error!r}'}, status=400)
    return web.json_response({**answer, "vocabulary": vocabulary()})
