"""Two ways to run a plan: `inline` in this process, `celery` on workers.

Jobs and tools import this folder, and the two engines never each other; it imports execution and what lies below.
"""
