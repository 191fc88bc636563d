"""Signals of the ends of jobs.

Receivers are called in a worker, once for each end of a job, with `job`, the row of the model, which has the end already.
They run in the transaction that writes it: if one raises an error, the row stays as it was, and the task is tried again. So
what a receiver writes to the database is written once, whatever dies; send what leaves the database with
`transaction.on_commit`.
"""

from __future__ import annotations

from django.dispatch import Signal

job_finished = Signal()
"""A job is done."""
job_failed = Signal()
"""A job has failed, or could not be sent."""
