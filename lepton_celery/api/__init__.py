"""The HTTP API of jobs and of the fleet, for any web framework: a request in, an answer out."""
