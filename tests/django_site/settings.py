"""Django's settings. The environment names the folder and the database of a test session."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

BASE_DIR = Path(os.environ.get("TEST_SITE", "/tmp/lepton-test-site"))
SECRET_KEY = "only for tests"
DEBUG = os.environ.get("TEST_DEBUG", "1") == "1"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = [
    *("django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"),
    *("django.contrib.messages", "django.contrib.staticfiles"),
    "lepton_celery.contrib.django",
    *filter(None, os.environ.get("TEST_APPS", "tests.django_site.shop").split(",")),
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
ROOT_URLCONF = "tests.django_site.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
if os.environ.get("TEST_POSTGRES"):
    DATABASES: dict[str, Any] = {
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ.get("TEST_DATABASE", "postgres"),
            "USER": "lepton",
            "HOST": os.environ["TEST_POSTGRES"],
        }
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": BASE_DIR / "site.sqlite3",
            "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL"},
            "TEST": {"NAME": BASE_DIR / "site.sqlite3"},
        }
    }
USE_TZ = True
STATIC_URL = "static/"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CELERY_RESULT_BACKEND = os.environ.get("TEST_RESULTS")  # such as django-db
CELERY_BROKER_URL = os.environ.get("LEPTON_BROKER_URL", "redis://127.0.0.1:1/0")

if seconds := os.environ.get("TEST_SYNC_S"):  # for celery beat
    CELERY_BEAT_SCHEDULE = {
        "rows": {"task": "lepton_celery.contrib.django.sync", "schedule": float(seconds)},
    }

LEPTON: dict[str, Any] = {
    "FOLDER": BASE_DIR / "files",
    "PIPELINES": {
        "cells": {
            "title": "Count cells",
            "steps": ["smooth=gaussian:sigma=2", "mask=threshold:otsu", "labels=label", "cells=regionprops_table"],
            "outputs": {"labels.tif": "labels", "cells.csv": "cells"},
        },
        "bright": ["threshold:100"],
    },
    "PIXELS": 1 << 22,
    "MAX_OPEN_JOBS_OF_OWNER": 50,
    "STAFF_SEES_ALL": True,
}
if CELERY_RESULT_BACKEND:
    LEPTON["LEDGER_URL"] = CELERY_BROKER_URL  # jobs are recorded on Redis, wherever results of tasks are
