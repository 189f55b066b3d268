"""Graphs in API format: a steered KSampler on the miniature, and its parts."""

from __future__ import annotations

ABOVE, BELOW = (f"a photo of a giraffe {relation} an airplane" for relation in ("above", "below"))
STEPS = 12
#: For scripts of the front end: ``add(type, x, y)``, which puts a node into the graph.
ADD = """
    const add = (type, x, y) => {
        const node = LiteGraph.createNode(type)
        node.pos = [x, y]
        app.graph.add(node)
        return node
    }
"""
#: The same, and an empty graph.
EMPTY_GRAPH = f"{ADD}    app.graph.clear()\n"


def core_node(kind: str, **inputs) -> dict:
    """A node of ComfyUI's own."""
    return {"class_type": kind, "inputs": inputs}


def pack_node(kind: str, **inputs) -> dict:
    """A node of the pack."""
    return core_node(f"SpatialSteering{kind}", **inputs)


def schedule_node(update: str = "latent_descent", **settings) -> dict:
    """A Steering Schedule."""
    of_update = {
        "automatic": {"strength": 1.0, "refinements": 1, "target": 0.0},
        "latent_descent": {"step_size": 0.2, "refinements": 1, "target": 0.0},
        "noise_guidance": {"step_size": 0.5, "target": 0.0},
    }[update]
    rest = {"start_percent": 0.0, "end_percent": 0.25, "decay": 0.0, **settings}
    named = {f"preset.update.{name}": value for name, value in of_update.items()}
    named |= {f"preset.{name}": value for name, value in rest.items()}
    return pack_node("SteeringSchedule", preset="balanced", order="together", **{"preset.update": update}, **named)


def sampler_node(model: list, seed: int = 1, **settings) -> dict:
    """A KSampler."""
    inputs = {
        "model": model,
        "seed": seed,
        "steps": STEPS,
        "cfg": 5.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "positive": ["parser", 0],
        "negative": ["negative", 0],
        "latent_image": ["empty", 0],
        "denoise": 1.0,
    }
    return core_node("KSampler", **{**inputs, **settings})


def graph(text: str = ABOVE, batch: int = 1, **more) -> dict:
    """A steered KSampler and what it needs, with other nodes, or others in the place of these."""
    return {
        "miniature": pack_node("LoadMiniatureModel"),
        "parser": pack_node("RelationParser", clip=["miniature", 1], text=text),
        "negative": core_node("CLIPTextEncode", clip=["miniature", 1], text=""),
        "empty": core_node("EmptyLatentImage", width=128, height=128, batch_size=batch),
        "centroid": pack_node(
            "CentroidLoss",
            function="gelu",
            **{"function.alpha": 2.0, "function.margin": 0.25},
            orthogonal="none",
            presence_weight=0.0,
            balance_weight=0.0,
        ),
        "schedule": schedule_node(),
        "steer": pack_node(
            "ApplySpatialSteering",
            model=["miniature", 0],
            relations=["parser", 1],
            steering_loss=["centroid", 0],
            steering_schedule=["schedule", 0],
        ),
        "sampler": sampler_node(["steer", 0]),
        "pictures": core_node("VAEDecode", samples=["sampler", 0], vae=["miniature", 2]),
        "shown": core_node("PreviewImage", images=["pictures", 0]),
        **more,
    }
