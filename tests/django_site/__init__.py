"""A Django project for the tests, with the app in INSTALLED_APPS and nothing else that a project needs not have."""

from tests.django_site.celery import app as celery_app

__all__ = ["celery_app"]
