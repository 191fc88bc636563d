"""The product's own proofs: functions in blocks against the whole image.

`prove` is `lepton.prove`. The command line, calibration and tests import this folder; it imports jobs and what lies below.
"""
