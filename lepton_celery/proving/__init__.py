"""Proofs that blocks give what the whole image gives.

`prove` is `lepton.prove`. The command line, calibration and tests import this folder; it imports jobs and what lies below.
"""
