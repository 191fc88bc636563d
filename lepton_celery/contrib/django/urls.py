"""The addresses of the views: `path("lepton/", include("lepton_celery.contrib.django.urls"))`."""

from __future__ import annotations

from django.urls import path, register_converter
from django.urls.converters import PathConverter

from lepton_celery.contrib.django import views


class AnyPath(PathConverter):
    """A path of any characters, also ends of lines, so that none is answered by a page of the site."""

    regex = "(?s:.+)"


register_converter(AnyPath, "lepton_path")

app_name = "lepton"
urlpatterns = [
    path("scripts/<path:path>", views.script, name="script"),
    path("links/<str:token>/<str:name>", views.link, name="link"),
    path("submit", views.submit, name="submit"),
    path("<lepton_path:path>", views.api, name="api"),
]
