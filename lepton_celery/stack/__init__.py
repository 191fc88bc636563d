"""A whole deployment on one machine: a Redis-compatible server, worker processes and Flower, as one thing."""
