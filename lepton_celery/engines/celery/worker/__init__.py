"""The worker's side: the tasks, the work of a message, the handling of failures, and the parts that watch over leases.

It imports `sending`. Only `app`, which adds parts of this folder to Celery's worker, and `lepton doctor` import it.
"""
