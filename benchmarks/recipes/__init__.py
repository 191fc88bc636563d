"""The recipes of `examples/recipes/`, beside scikit-image on the whole image: `python -m benchmarks.recipes`."""
