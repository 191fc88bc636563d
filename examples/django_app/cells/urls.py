from __future__ import annotations

from django.urls import path

from cells import views

urlpatterns = [
    path("", views.index, name="index"),
    path("jobs/", views.create, name="jobs"),
    path("jobs/<str:job_id>/", views.status, name="job"),
    path("jobs/<str:job_id>/cancel/", views.cancel, name="cancel"),
    path("jobs/<str:job_id>/<str:name>", views.file, name="file"),
]
