"""Flower for jobs: what its pages show, and who may see them."""
