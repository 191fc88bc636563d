"""The sender's side: canvas, messages, queues, and a publisher that waits for no result.

Programs that submit jobs import this folder, and so do workers, which open the next stage. It never imports `worker`.
"""
