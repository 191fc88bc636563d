"""Django's settings: https://docs.djangoproject.com/en/5.2/ref/settings/"""

from __future__ import annotations

import os
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent
STATE = Path(os.environ.get("CELLS_STATE", BASE_DIR / ".lepton"))

DEBUG = os.environ.get("DJANGO_DEBUG") == "1"
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "for development only" if DEBUG else "")  # Django refuses an empty one
ALLOWED_HOSTS = os.environ.get("DJANGO_ALLOWED_HOSTS", "127.0.0.1,localhost").split(",")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "lepton_celery.contrib.django",
    "cells",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "cells.middleware.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "django_app.urls"
WSGI_APPLICATION = "django_app.wsgi.application"
_PROCESSORS = ("template.context_processors.request", "contrib.auth.context_processors.auth")
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                *(f"django.{name}" for name in _PROCESSORS),
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": STATE / "site.sqlite3",
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 30, "init_command": "PRAGMA journal_mode=WAL"},
    }
}
DEFAULT_EXCEPTION_REPORTER_FILTER = "lepton_celery.contrib.django.debug.WithoutPasswords"
AUTH_PASSWORD_VALIDATORS = [{"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator"}]
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = "/"
STATIC_URL = "static/"
USE_TZ = True

CELERY_BROKER_URL = os.environ.get("LEPTON_BROKER_URL", "redis://127.0.0.1:6379/0")

LEPTON = {
    "FOLDER": STATE / "files",
    "PIXELS": 100_000_000,
    "FILE_BYTES": 256 << 20,
    "OWNER_BYTES": 1 << 30,
    "MAX_OPEN_JOBS_OF_OWNER": 20,
    "PIPELINES": {
        "cells": {
            "title": "Count bright objects",
            "as_gray": True,
            "steps": [
                "smooth=gaussian:sigma=2",
                "mask=threshold:otsu",
                "labels=label",
                "table=regionprops_table:properties=label+area+centroid",
            ],
            "outputs": {"labels.tif": "labels", "cells.csv": "table"},
        },
        "edges": {"title": "Find edges", "as_gray": True, "steps": ["edges=sobel"], "outputs": {"edges.tif": "edges"}},
        "smooth": {
            "title": "Remove noise",
            "as_gray": True,
            "steps": ["smooth=median"],
            "outputs": {"smooth.tif": "smooth"},
        },
    },
}
