"""The table of jobs."""

from __future__ import annotations

from typing import ClassVar

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

from lepton_celery.contrib.django.fields import PipelineField


class Migration(migrations.Migration):
    """Makes the table."""

    initial = True
    dependencies: ClassVar = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]
    operations: ClassVar = [
        migrations.CreateModel(
            name="Job",
            fields=[
                ("id", models.CharField("id", editable=False, max_length=128, primary_key=True, serialize=False)),
                ("title", models.CharField("title", max_length=300)),
                ("pipeline", PipelineField("pipeline", editable=False)),
                ("state", models.CharField("state", default="running", editable=False, max_length=20)),
                ("progress", models.FloatField("progress", default=0.0, editable=False)),
                ("outputs", models.JSONField("outputs", default=list, editable=False)),
                ("error", models.TextField("error", blank=True, editable=False)),
                ("created_at", models.DateTimeField("created", default=django.utils.timezone.now, editable=False)),
                ("finished_at", models.DateTimeField("finished", blank=True, editable=False, null=True)),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="lepton_jobs",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="owner",
                    ),
                ),
            ],
            options={
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
                "ordering": ("-created_at",),
                "indexes": [
                    models.Index(fields=["owner", "-created_at"], name="lepton_job_owner"),
                    models.Index(fields=["state", "-created_at"], name="lepton_job_state"),
                ],
            },
        )
    ]
