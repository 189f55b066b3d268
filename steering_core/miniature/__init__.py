"""The small text-to-image model that ships with the project, its world and its measurement."""
