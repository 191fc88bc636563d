"""The worker's side: the tasks, the work of one message, the handling of failures, and the parts that watch over leases.

May import `sending`. Only `app`, which adds parts of this to Celery's worker, and `lepton doctor` import it.
"""
