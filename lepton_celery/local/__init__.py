"""A broker, workers and Flower on one machine: what `lepton up` and the examples start. May import: jobs and below.

stack       `LocalStack`, which starts and stops all processes
server      a Redis-compatible server of our own
process     one child process, and how it ends for certain
guard       the small process that ends the children of an owner that died
running     which stack runs on a state folder
"""
