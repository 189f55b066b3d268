"""Recording and training through the pack's own nodes: FOLDER."""

from pathlib import Path

import torch
from setting import PROMPT, Scene, arguments, backend, folder_paths, report
from spatial_steering.nodes.training import RecordRelationMaps, TrainRelationClassifier
from spatial_steering.steering_core.backends.comfyui.recording import RecordableComfyModel
from spatial_steering.steering_core.losses import LearnedLoss
from spatial_steering.steering_core.steering import Steering
from spatial_steering.steering_core.training.inversion import invert, psnr, reconstruct
from spatial_steering.steering_core.training.sources import MiniatureScenes

folder = Path(arguments[0])
folder_paths.set_output_directory(str(folder / "output"))
folder_paths.folder_names_and_paths["relation_classifiers"][0].insert(0, str(folder / "classifiers"))

with torch.inference_mode():
    scene, result = Scene(), {}
    plain = scene.sample(scene.model)
    model = RecordableComfyModel(scene.model, scene.clip, scene.vae, (128, 128))
    levels = model.noise_levels(20)
    by_sigma = {level.sigma: level for level in levels}
    sigmas = [level.sigma for level in levels]

    def there_and_back(clean, prompted):
        def derivative(latent, sigma):
            return prompted.derivative(latent, by_sigma[sigma])

        *_, noisy = invert(derivative, clean, sigmas, refinements=2)
        return clean, noisy / sigmas[-1], reconstruct(derivative, noisy, sigmas)

    clean, noise, back = model.prompted([MiniatureScenes(1, 0)[0].picture], [PROMPT], there_and_back)
    result["psnr"] = psnr(model.decode(back), model.prepared([MiniatureScenes(1, 0)[0].picture])).item()
    result["reconstruction"] = ((back - clean).norm() / clean.norm()).item()
    result["noise"] = noise.std().item()
    result["parts"] = [int(level.progress * 20) for level in levels]

    drawn, draw = [], MiniatureScenes.__getitem__
    MiniatureScenes.__getitem__ = lambda scenes, index: drawn.append(index) or draw(scenes, index)
    made = {}
    for name, count, seed in (("training", 8, 0), ("validation", 4, 1)):
        source = {"source": "miniature_scenes", "count": count, "seed": seed}
        arguments = (scene.model, scene.clip, scene.vae, name, source, 128, 4, "noise", 1)
        made[name], told = RecordRelationMaps.execute(*arguments).result
    result["drawn"] = drawn
    result["files"] = sorted(file.name for file in made["training"].iterdir())
    classifier, curves, confusion, told = TrainRelationClassifier.execute(
        made["training"], made["validation"], "mine", 2, 1e-3, 16, 0
    ).result
    result["report"] = told
    result["plots"] = [list(curves.shape), list(confusion.shape)]
    saved = folder / "classifiers" / "mine.safetensors"
    result["saved"] = saved.exists()
    *_, wider = TrainRelationClassifier.execute(made["training"], made["validation"], "mine", 1, 1e-3, 32, 0).result
    result["wider"] = wider
    metrics = sorted(made["training"].glob("training_mine_*/metrics.csv"), key=lambda file: file.stat().st_mtime)
    result["epochs"] = [len(file.read_text().splitlines()) - 1 for file in metrics]

    def fingerprints() -> list[int]:
        source = {"source": "miniature_scenes"}
        recorded = [RecordRelationMaps.fingerprint_inputs(name=name, source=source) for name in (*made, None, "other")]
        return [*recorded, TrainRelationClassifier.fingerprint_inputs(name="mine", epochs=2)]

    result["fingerprints"] = [fingerprints(), fingerprints()]
    saved.unlink()
    (made["validation"] / "manifest.json").unlink()
    result["fingerprints"] += [fingerprints(), fingerprints()]
    steering = Steering(scene.grounded, LearnedLoss(classifier))
    steered = backend.steer_model(scene.model, steering)
    try:
        RecordableComfyModel(steered, scene.clip, scene.vae, (128, 128))
    except ValueError as error:
        result["steered"] = str(error)
    moved = scene.sample(steered)
    result["steers"] = bool(moved.isfinite().all()) and not torch.equal(moved, plain)
    result["untouched"] = torch.equal(scene.sample(scene.model), plain)
report(result)
