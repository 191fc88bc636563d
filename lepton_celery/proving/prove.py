"""Proves that blocks give the whole image's result, or shows where they do not.

A function is run on whole images and in blocks, over dtypes, dimensions, sizes and kinds of image that are difficult to
split (`samples`). A trial counts as refused only if the source refuses the whole image too, or if the catalogue refuses it
on purpose; any other exception of this package is a failure. The smallest exact halo of a function is found by bisection.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from random import Random
from typing import Any

import numpy as np

from lepton_celery.catalogue.promise import Exactness, Promise
from lepton_celery.errors import InputError, LeptonError
from lepton_celery.proving import samples
from lepton_celery.proving.compare import difference
from lepton_celery.proving.subjects import NotProvable, OwnFunction, Subject, Trial, find_subject, in_blocks

QUICK_TRIALS = 7
"""Number of comparisons for each dtype and number of axes, unless the proof is thorough."""
QUICK_TRIES = 12
"""Largest number of trials per comparison of a quick proof, for functions that refuse most images."""
LONGEST_SIDE = 512
"""Longest side of a 2-D image on which the smallest halo is searched, in pixels."""


@dataclass(frozen=True)
class Failure:
    """A trial in which the promise was not kept."""

    trial: Trial
    what: str
    """The number of differing pixels and the first of them, the wrong shape or dtype, or the exception."""

    def __str__(self) -> str:
        return f"{self.trial}: {self.what}"


@dataclass
class Proof:
    """The result of a proof; `str` gives a summary of a few lines."""

    name: str
    promise: Promise
    trials: int = 0
    """Number of trials in which blocks were compared with the whole image, or failed."""
    refused_by_source: int = 0
    """Number of trials in which the source refused the whole image."""
    refused_by_entry: int = 0
    """Number of trials that the catalogue refused on purpose, although the source took the whole image."""
    dtypes_tried: set[str] = field(default_factory=set)
    """Dtypes in which blocks were compared with the whole image."""
    ndims: set[int] = field(default_factory=set)
    """Numbers of axes in which blocks were compared with the whole image."""
    differences: list[Failure] = field(default_factory=list)
    """Trials in which the result in blocks broke the promise."""
    our_failures: list[Failure] = field(default_factory=list)
    """Trials in which this package raised an exception other than a refusal."""
    declared_halo: tuple[int, ...] | None = None
    """The declared halo of each axis; None if the function has none."""
    smallest_halo: tuple[int, ...] | None = None
    """The smallest exact halo of each axis; None if it was not searched, or no halo is enough."""

    @property
    def holds(self) -> bool:
        """Whether there was a trial, and every trial kept the promise."""
        return self.trials > 0 and not self.differences and not self.our_failures

    def __str__(self) -> str:
        axes = " and ".join(f"{ndim}-D" for ndim in sorted(self.ndims)) or "no image"
        lines = [f"{self.name}: {self._verdict()}", f"  {self.trials} trials, {len(self.dtypes_tried)} dtypes, {axes}"]
        if self.refused_by_source:
            lines[1] += f"; {self.refused_by_source} more where the function refuses the image"
        if self.refused_by_entry:
            lines[1] += f"; {self.refused_by_entry} more that are refused here only, as the catalogue says"
        lines += [f"  first difference: {failure}" for failure in self.differences[:1]]
        lines += [f"  first exception of lepton_celery: {failure}" for failure in self.our_failures[:1]]
        if self.declared_halo is not None or self.smallest_halo is not None:
            declared = "none declared" if self.declared_halo is None else f"declared {_per_axis(self.declared_halo)}"
            smallest = "none is enough" if self.smallest_halo is None else _per_axis(self.smallest_halo)
            lines.append(f"  halo: {declared}, smallest exact {smallest}")
        return "\n".join(lines)

    def _verdict(self) -> str:
        failures = []
        if self.differences:
            failures.append(f"NOT {self.promise} in {len(self.differences)} of {self.trials} trials")
        if self.our_failures:
            failures.append(f"NOT DONE in {len(self.our_failures)} of {self.trials} trials")
        return ", ".join(failures) or (str(self.promise) if self.trials else "not tried: it refused every image")


def _per_axis(halo: Sequence[int]) -> str:
    return str(halo[0]) if len(set(halo)) == 1 else str(tuple(halo))


def prove(
    function: str | Callable[..., Any],
    *,
    halo: int | Sequence[int] | None = None,
    dtypes: Sequence[str] | None = None,
    ndims: Sequence[int] = (2, 3),
    seed: int = 0,
    thorough: bool = True,
    **parameters: Any,
) -> Proof:
    """Compare the results of a function on whole images with its results in blocks.

    Args:
        function: a name of the catalogue, a function of scikit-image that is in it, or one of your own that takes an image
            first and returns one of the same shape.
        halo: for a function of your own, its halo in pixels, one number or one per axis; None for 0. The smallest exact halo
            is found in either case.
        dtypes: dtypes of the images; None for all that the catalogue declares, or uint8, uint16, float32 and float64.
        ndims: numbers of axes of the images.
        seed: seed of the random images.
        thorough: whether to try all kinds of images in all shapes and block shapes, or a random choice of them.
        parameters: parameters of the function.

    Raises:
        InputError: there is no such function, the catalogue refuses it, or it changes the image's shape.
    """
    subject = find_subject(function, halo, parameters)
    proof = Proof(subject.name, subject.promise)
    dealer = Random(seed)
    for dtype, ndim in product(dtypes or subject.dtypes, filter(subject.takes, ndims)):
        trials = list(_trials(subject, dtype, ndim, seed))
        if not thorough:  # a random choice, which always has noise in the largest image
            trials = trials[:1] + dealer.sample(trials[1:], min(len(trials), QUICK_TRIALS * QUICK_TRIES) - 1)
        enough = proof.trials + (len(trials) if thorough else QUICK_TRIALS)
        for trial in trials:
            if proof.trials < enough:
                _try(subject, trial, proof)
    _look_for_halo(subject, proof, dtypes or subject.dtypes, ndims, seed)
    return proof


def _trials(subject: Subject, dtype: str, ndim: int, seed: int) -> Iterator[Trial]:
    shapes = {2: samples.FLAT_SHAPES, 3: samples.SOLID_SHAPES}.get(ndim, (tuple(range(9, 9 - ndim, -1)),))
    kinds = [kind for kind in samples.kinds_for(np.dtype(dtype)) if kind != "nan" or not subject.needs_finite]
    for kind, shape, block_shape in product(kinds, shapes, samples.BLOCKS[ndim]):
        yield Trial(kind, dtype, shape, block_shape, seed)


@contextmanager
def _silence() -> Iterator[None]:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _try(subject: Subject, trial: Trial, proof: Proof) -> None:
    images = subject.images(trial)
    with _silence():
        try:
            whole = subject.whole(images)
        except NotProvable:
            raise
        except Exception as error:  # the source may refuse an image with any exception
            whole = error
        try:
            compute, promise = subject.split(images, trial)
            result = None if isinstance(whole, Exception) else compute()
        except Exception as error:  # a fault of the entry, which the proof reports
            if isinstance(whole, Exception) and isinstance(error, LeptonError):
                proof.refused_by_source += 1
            elif _is_refusal(error):
                proof.refused_by_entry += 1
            else:
                proof.trials += 1
                proof.our_failures.append(Failure(trial, f"{type(error).__name__}: {error}"))
            return
    if isinstance(whole, Exception):
        proof.refused_by_source += 1
        return
    if promise.exactness is not Exactness.IDENTICAL:
        proof.promise = promise
    proof.trials += 1
    proof.dtypes_tried.add(trial.dtype)
    proof.ndims.add(len(trial.shape))
    if what := difference(result, whole, promise):
        proof.differences.append(Failure(trial, what))


def _is_refusal(error: Exception) -> bool:
    """Whether an exception is a refusal of the arguments by the catalogue, and not a bug."""
    return isinstance(error, InputError) and (error.__cause__ is None or isinstance(error.__cause__, LeptonError))


def _look_for_halo(subject: Subject, proof: Proof, dtypes: Sequence[str], ndims: Sequence[int], seed: int) -> None:
    """Find the smallest exact halo of each axis, while the other axes are read whole."""
    ndim = next(filter(subject.takes, ndims), None)
    dtype = next((name for name in ("float64", "uint8") if name in dtypes), None)
    if ndim is None or dtype is None:
        return
    declared = subject.halo(subject.images(Trial("noise", dtype, (9,) * ndim, (5,) * ndim, seed)))
    if declared is None:
        return
    if not isinstance(subject, OwnFunction) or subject.declared is not None:
        proof.declared_halo = declared
    side = min(LONGEST_SIDE if ndim == 2 else 64, max(48, 4 * max(declared) + 8))
    kinds = ("noise", "ties", "spots")
    trials = [Trial(kind, dtype, (side,) * ndim, (side // 2 + 1,) * ndim, seed) for kind in kinds]
    if all(_is_enough(subject, trials, axis, side) for axis in range(ndim)):
        searches = [partial(_is_enough, subject, trials, axis) for axis in range(ndim)]
        proof.smallest_halo = tuple(bisect_left(range(side), True, key=is_enough) for is_enough in searches)


def _is_enough(subject: Subject, trials: Sequence[Trial], axis: int, halo: int) -> bool:
    """Whether a halo of one axis is exact; blocks are cut along this axis only."""
    for trial in trials:
        images = subject.images(trial)
        halos, block_shape = list(trial.shape), list(trial.shape)
        halos[axis], block_shape[axis] = halo, trial.block_shape[axis]
        with _silence():
            try:
                whole = subject.whole(images)
                result = in_blocks(subject.on_block, images, halos, block_shape)
            except Exception:  # a function may raise anything on a thin block
                return False
        if difference(result, whole[0] if isinstance(whole, tuple | list) else whole):
            return False
    return True
