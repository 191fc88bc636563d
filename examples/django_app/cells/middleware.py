"""Refuses requests that are too long, before their bodies are read."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase, JsonResponse

_FORM_BYTES = 1 << 16
"""Largest size of a form without the image."""

Answer = Callable[[HttpRequest], HttpResponseBase]


def limit_upload(get_response: Answer) -> Answer:
    def middleware(request: HttpRequest) -> HttpResponseBase:
        limit = settings.CELLS_MAX_UPLOAD_BYTES
        if int(request.META.get("CONTENT_LENGTH") or 0) > limit + _FORM_BYTES:
            return JsonResponse({"error": f"the upload is over {limit >> 20} MB; send a smaller image"}, status=413)
        return get_response(request)

    return middleware
