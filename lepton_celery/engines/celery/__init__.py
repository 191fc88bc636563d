"""Jobs on Celery workers: `app` prepares an application, `sending` publishes messages, `worker` does the
work they ask for.

Tasks are named and never imported by `sending`, so a program that submits loads none of the workers' code.
"""
