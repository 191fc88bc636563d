"""The worker's side: the tasks, the work of one message, what becomes of failures, and the parts that watch over leases.

May import `sending`; nothing imports this but `app`, which adds its parts to Celery's worker.
"""
