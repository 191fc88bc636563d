"""Benchmarks of lepton_celery and of its peers: `python -m benchmarks`."""
