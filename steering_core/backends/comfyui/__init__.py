"""Steering of ComfyUI's models.

conditioning, scene = text.encode_prompt(clip, prompt)
steered = sampling.steer_model(model, Steering(scene, CentroidLoss()))
samples = common_ksampler(steered, …)
"""
