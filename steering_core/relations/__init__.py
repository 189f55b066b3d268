"""The vocabulary of what a prompt says of places, and its geometry.

Directions follow the image: x grows to the right and y grows downward, both in [0, 1].
"""
