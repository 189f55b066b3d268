"""Steering of diffusion models by spatial relations, on torch alone; backends add the rest."""
