"""Two ways to run a plan: `inline` in this process, `celery` on workers.

The two engines never import each other.
"""
