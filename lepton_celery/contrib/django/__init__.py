"""An app for Django's INSTALLED_APPS: users send images, submit jobs, watch them and fetch results; see docs/django.md."""
