"""The two ways to run a plan: `inline` on threads of this process, `celery` on workers.

Jobs and tools import this folder, and the two engines never each other; it imports execution and what lies below.
"""
