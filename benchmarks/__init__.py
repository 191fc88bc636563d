"""What lepton_celery costs and gains beside its peers, measured: `python -m benchmarks`."""
