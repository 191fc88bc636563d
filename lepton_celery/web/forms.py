"""Files that come by a plain form of a page, which may submit a job at the same time."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, BinaryIO

from lepton_celery.api.answers import Answer, Request, answer
from lepton_celery.errors import InputError
from lepton_celery.text import quoted, shown
from lepton_celery.views.listing import row_of
from lepton_celery.web.pipelines import read_pipeline
from lepton_celery.web.site import Site
from lepton_celery.web.tus import owner_of
from lepton_celery.web.uploads import Upload

MORE_BYTES = 1 << 18
"""What a form may have beside its file, in bytes."""
_FIELDS = frozenset({"pipeline", "title", "csrf_token", "csrfmiddlewaretoken"})


def form_answer(site: Site, request: Request, fields: Mapping[str, Any], file: tuple[str, BinaryIO] | None) -> Answer:
    """The answer to a form with a file: what was stored, or the job if it has a field `pipeline`.

    Args:
        site: stores the file.
        request: says who asks.
        fields: `pipeline`, the name of a pipeline or the document of one, and `title`.
        file: its name and what it has; None if the form has no file.

    Raises:
        InputError, QuotaExceeded, StoreError, QueueFull: it is refused, and nothing is kept.
    """
    owner = owner_of(request)
    if unknown := sorted(set(fields) - _FIELDS):
        raise InputError(
            f"the form has a field {quoted(shown(unknown[0], 80))}; it may have a file, pipeline and title"
        )
    if file is None or not file[0]:
        raise InputError('the form has no file; send one in a field of type "file" as multipart/form-data')
    upload = store_file(site, owner, *file)
    pipeline = fields.get("pipeline", "")
    if not pipeline:
        created = answer(upload, 201)
        return Answer(201, created.body, {"Location": f"{request.base}/uploads/{upload.id}"})
    try:
        wanted = read_pipeline(pipeline) if pipeline.lstrip().startswith("{") else pipeline
        job = site.submit(owner, upload, wanted, title=fields.get("title", ""))
    except BaseException:
        site.uploads.remove(owner, upload.id)
        raise
    created = answer(row_of(job.info()), 202)
    return Answer(202, created.body, {"Location": f"{request.base}/jobs/{job.id}"})


def store_file(site: Site, owner: str, name: str, source: BinaryIO) -> Upload:
    """Store a file of a form, which the framework has received in a temporary file.

    Raises:
        InputError, QuotaExceeded, StoreError: it is refused, and nothing is kept.
    """
    length = source.seek(0, os.SEEK_END)
    source.seek(0)
    return site.uploads.add(owner, name, length, source)
