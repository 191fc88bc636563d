"""Values only, one module per place the project runs; `LEPTON_SETTINGS` names the module.

Each name is documented in `lepton_celery/config.py`. The environment wins: `LEPTON_LEASE_S=60` overrides `lease_s`.
"""
