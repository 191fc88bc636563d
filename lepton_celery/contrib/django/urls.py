"""The addresses of the views: `path("lepton/", include("lepton_celery.contrib.django.urls"))`."""

from __future__ import annotations

from django.urls import path

from lepton_celery.contrib.django import views

app_name = "lepton"
urlpatterns = [
    path("scripts/<path:path>", views.script, name="script"),
    path("links/<str:token>/<str:name>", views.link, name="link"),
    path("submit", views.submit, name="submit"),
    path("<path:path>", views.api, name="api"),
]
