"""A broker, workers and Flower on one machine.

`stack.LocalStack` starts and stops all processes: `server` is the broker, `process` one child, `guard` ends the children of
an owner that died, `running` keeps a second stack out of a folder. May import: jobs and below. Only the command line
imports this.
"""
