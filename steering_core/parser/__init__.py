"""Reads the spatial relations that a text-to-image prompt states in English."""

from .reader import objects, parse

__all__ = ["objects", "parse"]
