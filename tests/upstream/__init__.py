"""scikit-image's own tests, with its functions computed in blocks: `python -m tests.upstream ARCHIVE`."""
