"""Steering of ComfyUI's models.

conditioning, scene = encode_prompt(clip, prompt)
steered = steer_model(model, Steering(scene, CentroidLoss()))
samples = common_ksampler(steered, …)
"""
