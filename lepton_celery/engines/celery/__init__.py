"""Jobs on Celery workers.

`app` prepares an application, `sending` publishes messages, and `worker` does the work that they ask for. Tasks are named by
`sending` and never imported, so a program that submits a job does not load the code of the tasks.
"""
