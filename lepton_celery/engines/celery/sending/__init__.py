"""The sender's side: canvas, messages, queues, and a publisher that waits for no result.

Used by programs that submit jobs and by workers that open the next stage. May not import `worker`.
"""
