"""The checks of `lepton doctor`.

`server`, `timeouts`, `workers` and `folders` make the findings, `about` describes one process. May import: the ledger and
below. The command line and the workers that answer it import this.
"""
