"""Scripts for those who work on the pack; nothing of it runs in ComfyUI."""
