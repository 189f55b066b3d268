"""What the front end of the pack asks its server."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from server import PromptServer

from ..steering_core.backends.comfyui.reading import read_prompt
from ..steering_core.front_end import prompt_as_json, vocabulary

#: Answers what ``prompt_as_json`` tells, and the vocabulary, for {"prompt": TEXT}, or {"error": TEXT}.
DESCRIBE = "/spatial_steering/describe"
#: Most letters of a prompt that is described; the widgets show a line or a chip for each object in it.
MOST_LETTERS = 50_000


def add_routes() -> None:
    """Called once, when ComfyUI has loaded the pack."""
    PromptServer.instance.routes.post(DESCRIBE)(_describe)


async def _describe(request: web.Request) -> web.Response:
    """The objects of a prompt and its relations, before anything is sampled, as the nodes read it."""
    # JSON writes one letter in twelve bytes at most.
    if (request.content_length or 0) > 12 * MOST_LETTERS:
        return _refusal(413, f"a prompt of at most {MOST_LETTERS} letters was expected.")
    try:
        prompt = (await request.json())["prompt"]
        if len(prompt) > MOST_LETTERS:
            return _refusal(413, f"a prompt of at most {MOST_LETTERS} letters was expected, and has {len(prompt)}.")
        answer = await asyncio.to_thread(_read, prompt)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        return _refusal(400, f'{{"prompt": TEXT}} was expected: {error!r}')
    return web.json_response({**answer, "vocabulary": vocabulary()})


def _read(prompt: str) -> dict[str, Any]:
    scene = read_prompt(prompt)
    return prompt_as_json(scene.prompt, scene)


def _refusal(status: int, error: str) -> web.Response:
    return web.json_response({"error": error}, status=status)
