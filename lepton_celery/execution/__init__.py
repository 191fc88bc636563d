"""The work itself, the same for every engine: read a block, compute it, write it, merge a stage, publish the outputs.

Plain functions over a `Context` that know nothing of Celery. May import: planning and below.
"""
