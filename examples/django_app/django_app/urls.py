from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("", include("cells.urls")),
    path("accounts/", include("django.contrib.auth.urls")),
    path("lepton/", include("lepton_celery.contrib.django.urls")),
    path("admin/", admin.site.urls),
]
