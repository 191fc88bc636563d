"""What functions and stores cost, measured on this machine.

`calibrate` is `lepton.calibrate`; `measure` runs the functions and images of `workloads` in this process, and `observations`
fits figures to the runs. The command line imports this folder; it imports jobs, proving and what lies below.
"""
