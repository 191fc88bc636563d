"""Simulates fleets of workers, as discrete events: `lepton autoscale simulate`, and the benchmarks' curves.

`measured` has the times that everything rests on, and `trace` the jobs and their arrivals. `lanes`, `server`, `cluster`
and `workers` are the model; `rules` are the ways to size a fleet, `optimum` is the best that was possible, `run` puts a
trace through one of them, and `comparison` through all. Needs the extra `simulation`.
"""
