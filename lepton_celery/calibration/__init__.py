"""Measures the cost model's figures on a machine. May import: jobs and below.

calibrate      `lepton.calibrate`: measures with and without workers, and saves the model
measure        functions, stores and blocks in this process
workloads      the functions and images that are measured
observations   the runs, and the figures that are fitted to them
"""
