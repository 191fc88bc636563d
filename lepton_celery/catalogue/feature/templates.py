"""`skimage.feature.match_template`, which needs the whole image and the whole template."""

from __future__ import annotations

from lepton_celery.catalogue.arrays import Arguments, Shape, Shapes
from lepton_celery.catalogue.declare import whole
from lepton_celery.catalogue.geometry import Whole
from lepton_celery.errors import InputError


class WholeTemplate(Whole):
    """Reads both images as a whole. Without `pad_input`, the result has one pixel per position of the template."""

    def result_shape(self, images: Shapes, arguments: Arguments) -> Shape:
        image, template = images
        if len(image) != len(template) or any(n < k for n, k in zip(image, template, strict=True)):
            raise InputError(
                f"a template of shape {template} does not lie inside an image of shape {image}; give a smaller template"
            )
        return image if arguments["pad_input"] else tuple(n - k + 1 for n, k in zip(image, template, strict=True))


ENTRIES = (whole("feature.match_template", WholeTemplate(), images=("image", "template"), ndims=(2, 3), cost_ns=170.0),)
