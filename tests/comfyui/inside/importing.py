"""What importing the pack brings into a ComfyUI that is already there: libraries, and what it prints."""

import asyncio
import contextlib
import importlib.util
import io
import json
import sys
from pathlib import Path

comfyui, pack = sys.argv[1:]
sys.path.insert(0, comfyui)
sys.argv = [sys.argv[0], "--cpu"]

import comfy.options

comfy.options.enable_args_parsing()

import execution  # noqa: F401, as main.py does
import server

import nodes  # noqa: F401

server.PromptServer(asyncio.new_event_loop())
printed = io.StringIO()
loaded = set(sys.modules)
with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
    spec = importlib.util.spec_from_file_location(
        "spatial_steering", Path(pack, "__init__.py"), submodule_search_locations=[pack]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["spatial_steering"] = module
    spec.loader.exec_module(module)

    async def load():
        extension = await module.comfy_entrypoint()
        await extension.on_load()
        return await extension.get_node_list()

    found = asyncio.run(load())
brought = {name.partition(".")[0] for name in set(sys.modules) - loaded} - sys.stdlib_module_names
print()
print(
    json.dumps(
        {"libraries": sorted(brought - {"spatial_steering"}), "printed": printed.getvalue(), "nodes": len(found)}
    )
)
