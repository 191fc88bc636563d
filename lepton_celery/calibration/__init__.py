"""Measures the cost model's figures on this machine: `measure` runs small jobs here, `calibrate` stores what was found.

`calibrate` is `lepton.calibrate`. May import: jobs and below.
"""
