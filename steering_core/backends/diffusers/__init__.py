"""Steering of pipelines of the diffusers library.

scene = ground_prompt(pipeline, prompt)
steering = Steering(scene, CentroidLoss())
with steered(pipeline, steering):
    image = pipeline(prompt).images[0]
"""

from .generation import generate
from .loading import check_device, load_pipeline, pipeline_hash
from .sampling import check_steering, steered
from .text import ground_prompt

__all__ = ["check_device", "check_steering", "generate", "ground_prompt", "load_pipeline", "pipeline_hash", "steered"]
