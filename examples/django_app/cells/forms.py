"""The form of a job: a sample or a file, and a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import skimage
from django import forms

from lepton_celery.contrib.django.forms import SubmitForm

SAMPLES = {"coins": "coins.png", "camera": "camera.png", "hubble": "hubble_deep_field.jpg"}
"""Images that scikit-image ships."""


class JobForm(SubmitForm):
    """A job on a file of the user or on a sample."""

    sample = forms.ChoiceField(
        choices=[(name, name) for name in SAMPLES],
        required=False,
        error_messages={"invalid_choice": f"There is no sample %(value)s; choose one of {', '.join(SAMPLES)}."},
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["image"].required = False

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or self.cleaned_data
        if not given.get("image") and "image" not in self.errors:
            if not given.get("sample"):
                self.add_error("image", "Choose a sample, or a file of yours.")
            else:
                given["image"] = Path(skimage.__file__).parent / "data" / SAMPLES[given["sample"]]
        return given
