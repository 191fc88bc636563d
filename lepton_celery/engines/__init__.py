"""The two ways to run a plan: `inline` on threads of this process, `celery` on workers.

May import: execution and below.
"""
