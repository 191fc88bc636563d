"""Chaos: jobs run while processes, messages, connections, disks and clocks fail at random; the outputs must be right.

python -m tests.chaos --seconds 300 --seed 1
"""
