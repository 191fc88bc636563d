"""Fields of forms and of models for pipelines: the name of one that the site offers, or a document of the user's own."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from lepton_celery.contrib.django.connecting import site
from lepton_celery.errors import LeptonError
from lepton_celery.web.pipelines import check_steps, pipeline_from_text

OWN = ""
"""The choice for a pipeline of the user's own."""


def validate_pipeline(value: Any) -> None:
    """Refuse what is neither the name of an offered pipeline nor a document whose steps are understood.

    Raises:
        ValidationError: the message says what would be right.
    """
    offered = site().options.pipelines
    if isinstance(value, str):
        if value not in offered:
            raise ValidationError(
                _("There is no pipeline %(name)s; choose one of %(names)s."),
                code="unknown",
                params={"name": value[:80], "names": ", ".join(offered) or "-"},
            )
        return
    if not isinstance(value, dict):
        raise ValidationError(_("A pipeline is the name of an offered one, or an object with steps and outputs."))
    if not site().options.may_compose:
        raise ValidationError(_("Choose one of the pipelines that are offered."), code="closed")
    try:
        check_steps(value)
    except LeptonError as error:
        raise ValidationError(str(error), code="invalid") from error


class PipelineWidget(forms.MultiWidget):
    """A list of the offered pipelines, and room for steps of one's own."""

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        steps = forms.Textarea(
            {"rows": 4, "spellcheck": "false", "placeholder": "gaussian:sigma=2\nthreshold:otsu\nlabel"}
        )
        super().__init__({"choice": forms.Select(), "own": steps}, attrs)

    def decompress(self, value: Any) -> list[Any]:
        """The choice and the text of a pipeline."""
        if isinstance(value, dict):
            return [OWN, json.dumps(value, indent=1)]
        return [value, ""]


class PipelineFormField(forms.MultiValueField):
    """Gives the name of an offered pipeline, or the document of a user's own, from steps in lines or from JSON."""

    widget = PipelineWidget

    def __init__(self, **options: Any) -> None:
        # which choices there are is for `validate_pipeline` to say, which names them
        parts = (forms.CharField(required=False), forms.CharField(required=False))
        for name in ("encoder", "decoder", "max_length"):  # of the model's field
            options.pop(name, None)
        super().__init__(parts, require_all_fields=False, **{"label": _("Pipeline"), **options})
        select: Any = self.widget.widgets[0]
        select.choices = self._choices

    @staticmethod
    def _choices() -> list[tuple[str, str]]:
        options = site().options
        offered = [(name, pipeline.title) for name, pipeline in options.pipelines.items()]
        return [*offered, (OWN, str(_("my own steps")))] if options.may_compose else offered

    def compress(self, data_list: list[Any]) -> Any:
        """The name, or the document."""
        choice, text = (*data_list, "", "")[:2]
        if choice:
            return choice
        if not text:
            return None
        try:
            return pipeline_from_text(text)
        except LeptonError as error:
            raise ValidationError(str(error), code="invalid") from error

    def clean(self, value: Any) -> Any:
        """The pipeline, which is known to be understood."""
        found = super().clean(value)
        if found is None:
            if self.required:
                raise ValidationError(_("Choose a pipeline, or write the steps of one."), code="required")
            return None
        validate_pipeline(found)
        return found


class PipelineField(models.JSONField):
    """Stores the name of an offered pipeline, or the document of one; validated by `full_clean` and in forms."""

    default_validators = [validate_pipeline]  # noqa: RUF012 - as Django has it

    def formfield(self, **options: Any) -> Any:
        """The field of a form."""
        return models.Field.formfield(self, **{"form_class": PipelineFormField, **options})
