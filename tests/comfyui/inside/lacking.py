"""Recording and training without the packages that ComfyUI does not bring: FOLDER."""

import sys
from pathlib import Path

import torch
from setting import Scene, arguments, folder_paths, report
from spatial_steering.nodes.training import RecordRelationMaps, TrainRelationClassifier

sys.modules.update(dict.fromkeys(("accelerate", "matplotlib")))  # as if they were not installed
folder_paths.set_output_directory(arguments[0])
with torch.inference_mode():
    scene = Scene()
    source = {"source": "miniature_scenes", "count": 4, "seed": 0}
    recording = (scene.model, scene.clip, scene.vae, "data", source, 64, 2, "noise", 1)
    data, told = RecordRelationMaps.execute(*recording).result
    result = {"recorded": sorted(file.name for file in Path(data).iterdir())}
    try:
        TrainRelationClassifier.execute(data, data, "mine", 1, 1e-3, 16, 0)
    except RuntimeError as error:
        result["trained"] = str(error)
report(result)
