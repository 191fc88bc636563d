"""Values of settings, one module for each environment; `LEPTON_SETTINGS` names the module.

Each setting is documented in `lepton_celery/config.py`. The environment wins: `LEPTON_LEASE_S=60` overrides `lease_s`.
"""
