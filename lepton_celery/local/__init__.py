"""A broker, workers and Flower on one machine: what `lepton up` and `lepton demo` start.

`local.LocalStack` owns the processes. May import: jobs and below.
"""
