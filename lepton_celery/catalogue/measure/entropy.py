"""`skimage.measure.shannon_entropy`."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_celery.catalogue.arrays import Arguments, Lazy, Partial
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, ValueFunction


@declare(ValueFunction("lepton.entropy", values=("counts",)))
def entropy(counts: Partial, base: float) -> Any:
    """`skimage.measure.shannon_entropy`, from the count of each value."""
    from scipy.stats import entropy as entropy_of

    return entropy_of(counts["counts"], base=base)


@declare(Composite("measure.shannon_entropy", least={"base": np.finfo(float).tiny}, gives=""))
def _expand(arguments: Arguments, build: Build) -> Lazy:
    return build(
        "lepton.entropy", counts=build("lepton.value_counts", image=arguments["image"]), base=arguments["base"]
    )
