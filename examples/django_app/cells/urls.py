from __future__ import annotations

from django.urls import path

from cells import views

urlpatterns = [
    path("", views.index, name="index"),
    path("jobs/<str:job_id>/", views.job, name="job"),
    path("register/", views.register, name="register"),
]
