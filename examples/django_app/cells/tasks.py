"""The project's own Celery tasks. They run in the same application, on a queue of their own."""

from __future__ import annotations

from celery import Task, shared_task

from cells import jobs


@shared_task(bind=True, name="cells.notify", max_retries=None)
def notify(self: Task[..., str], job_id: str) -> str:
    """Write how a job ended to a file, where others would send a mail; remove the upload and a failed job's files."""
    job, directory = jobs.find(job_id)
    info = job.info()
    if info.state == "running":
        raise self.retry(countdown=0.5)
    for upload in directory.glob("input.*"):
        upload.unlink()
    if info.state == "failed":  # nobody can resume it here
        job.discard()
    notice = f"{jobs.count(directory)} objects found" if info.state == "done" else f"the job was {info.state}"
    (directory / "notice.txt").write_text(notice)
    return notice
