"""The parts of a pipeline's folder in one file, as checkpoints of Stable Diffusion have them: FOLDER FILE."""

from safetensors.torch import save_file
from setting import Scene, arguments, report

folder, file = arguments
scene = Scene(folder)
parts = {
    "model.diffusion_model.": scene.model.model.diffusion_model,
    "first_stage_model.": scene.vae.first_stage_model,
    "cond_stage_model.transformer.": scene.clip.cond_stage_model.clip_l.transformer,
}
weights = {f"{prefix}{key}": value for prefix, part in parts.items() for key, value in part.state_dict().items()}
save_file({key: value.clone().contiguous() for key, value in weights.items()}, file)
report({"weights": len(weights)})
