"""Proves that blocks give what the whole image gives, or shows where they do not.

A function is run on whole images and in blocks, over dtypes, dimensions, sizes and the kinds of image on which splitting
goes wrong (`samples`). For a function with a halo the smallest exact one is found by bisection.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from random import Random
from typing import Any

import numpy as np

from lepton_celery import graph
from lepton_celery.catalogue import catalogue, get_entry
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.entries import Entry, Local, Refused, resolve
from lepton_celery.catalogue.geometry import Stencil
from lepton_celery.catalogue.promise import IDENTICAL, Exactness, Promise
from lepton_celery.config import load_settings
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid
from lepton_celery.jobs import compute as computing
from lepton_celery.planning.regions import grid_shape
from lepton_celery.proving import samples

FEW = 7
"""Trials for each dtype and number of axes where not all are wanted."""
MOST_PX = 512
"""Longest side of an image on which the smallest halo is looked for."""


class NotProvable(InputError):
    """A function of which blocks cannot be compared with the whole."""


@dataclass(frozen=True)
class Trial:
    """One image in one cut."""

    kind: str
    dtype: str
    shape: tuple[int, ...]
    block_shape: tuple[int, ...]
    seed: int

    def __str__(self) -> str:
        return f"{self.dtype} image {self.shape} ({self.kind}, seed {self.seed}) in blocks of {self.block_shape}"


@dataclass(frozen=True)
class Difference:
    """Where blocks first gave something else than the whole image."""

    trial: Trial
    what: str
    """The pixel with both values, or what is wrong with the shape or dtype."""

    def __str__(self) -> str:
        return f"{self.trial}: {self.what}"


@dataclass
class Proof:
    """What came of it; prints as a few lines."""

    name: str
    promise: Promise
    trials: int = 0
    skipped: int = 0
    """Trials in which the function refuses the whole image."""
    dtypes: set[str] = field(default_factory=set)
    ndims: set[int] = field(default_factory=set)
    differences: list[Difference] = field(default_factory=list)
    declared_halo: tuple[int, ...] | None = None
    """Per axis, on the image on which the smallest was looked for; None: the function has no halo."""
    smallest_halo: tuple[int, ...] | None = None
    """The least that gave no difference, each axis by itself; None: not looked for, or none is enough."""

    @property
    def holds(self) -> bool:
        """Whether every trial kept the promise, and there was one."""
        return not self.differences and self.trials > 0

    def __str__(self) -> str:
        lines = [f"{self.name}: {self._verdict()}"]
        axes = " and ".join(f"{ndim}-D" for ndim in sorted(self.ndims))
        skipped = f"; {self.skipped} more where the function refuses the image" if self.skipped else ""
        lines.append(f"  {self.trials} trials, {len(self.dtypes)} dtypes, {axes or 'no image'}{skipped}")
        lines += [f"  first difference: {difference}" for difference in self.differences[:1]]
        if self.declared_halo is not None:
            found = "none is enough" if self.smallest_halo is None else _per_axis(self.smallest_halo)
            lines.append(f"  halo: declared {_per_axis(self.declared_halo)}, smallest exact {found}")
        return "\n".join(lines)

    def _verdict(self) -> str:
        if self.differences:
            return f"NOT {self.promise} in {len(self.differences)} of {self.trials} trials"
        return f"{self.promise}" if self.trials else "not tried: it refused every image"


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
    """Compare a function on whole images with the same in blocks.

    Args:
        function: a name of the catalogue, a function of scikit-image that is in it, or one of your own that takes an image
            first and returns one of the same shape.
        halo: for a function of your own, the pixels it reaches, one number or one per axis; None: looked for.
        dtypes: of the images; None: all that the catalogue declares, or uint8, uint16, float32 and float64.
        ndims: axes of the images.
        seed: of the random images.
        thorough: every kind of image in every shape and cut; otherwise `FEW` for each dtype and number of axes.
        parameters: of the function.

    Raises:
        InputError: there is no such function, it is refused in the catalogue, or it changes the image's shape.
    """
    entry = None if callable(function) and _entry_of(function) is None else get_entry(_name_of(function))
    if isinstance(entry, Refused):
        entry.validate({})
    subject: _Subject = _Own(function, halo, parameters) if entry is None else _Catalogued(entry, parameters)
    proof = Proof(subject.name, subject.promise)
    for trial in _trials(subject, dtypes, ndims, seed, thorough):
        _try(subject, trial, proof)
    _look_for_halo(subject, proof, dtypes, ndims, seed)
    return proof


def _entry_of(function: Callable[..., Any]) -> Entry | None:
    """The entry whose source a function is."""
    name = getattr(function, "__name__", "")
    for full, entry in catalogue().items():
        if full.rpartition(".")[2] == name and not full.startswith("lepton.") and resolve(entry.source) is function:
            return entry
    return None


def _name_of(function: str | Callable[..., Any]) -> str:
    if isinstance(function, str):
        return function
    found = _entry_of(function)
    assert found is not None
    return found.name


# ------------------------------------------------------------------------------------------------ what is proved


def sample_images(entry: Entry, parameters: Mapping[str, Any], trial: Trial) -> dict[str, Any]:
    """The image parameters that have no default or want a sample, filled."""
    found: dict[str, Any] = {}
    for at, name in enumerate([*entry.images, *entry.sequences]):
        parameter = entry.signature.parameters[name]
        optional = parameter.default is not inspect.Parameter.empty and name not in entry.samples
        if name in parameters or (optional and at > 0):
            continue
        dtype = np.dtype(trial.dtype)
        if name in entry.sequences:
            members = len(trial.shape) * (len(trial.shape) + 1) // 2
            found[name] = [
                samples.sample(trial.kind, trial.shape, dtype, trial.seed + member) for member in range(members)
            ]
        else:
            wanted = entry.samples.get(name, "image")
            found[name] = samples.sample_for(wanted, trial.kind, trial.shape, dtype, trial.seed + at)
    return found


class _Catalogued:
    """A function of the catalogue."""

    def __init__(self, entry: Entry, parameters: Mapping[str, Any]) -> None:
        self.entry = entry
        self.name = entry.name
        self.parameters = parameters
        self._example: dict[str, Any] = {}
        self.dtypes = entry.declared_dtypes()
        self.finite = entry.needs_finite
        self.promise = IDENTICAL if callable(entry.promise) else entry.promise

    def takes(self, ndim: int) -> bool:
        return not self.entry.ndims or ndim in self.entry.ndims

    def images(self, trial: Trial) -> dict[str, Any]:
        self._example = {**self.entry.example_for(len(trial.shape)), **self.parameters}
        return sample_images(self.entry, self._example, trial)

    def whole(self, images: Mapping[str, Any]) -> Any:
        source: Any = resolve(self.entry.source)
        if isinstance(source, np.ufunc):
            return source(*images.values())
        call = self._call(images)
        parameters = inspect.signature(source).parameters.values()
        first = [call.pop(p.name) for p in parameters if p.kind is p.POSITIONAL_ONLY and p.name in call]
        result = source(*first, **call)
        return tuple(result) if inspect.isgenerator(result) else result

    def _call(self, images: Mapping[str, Any]) -> dict[str, Any]:
        return {**images, **self._example}

    def split(self, images: Mapping[str, Any], trial: Trial) -> tuple[Callable[[], Any], Promise]:
        """What computes the result in blocks; refuses here what it cannot do."""
        lazy = graph.apply(self.name, **self._call(images))
        nodes = lazy if isinstance(lazy, tuple) else (lazy,)
        block_shape = _block_shape(nodes[0], trial)
        kernels = load_settings().kernels

        def compute() -> Any:
            found = computing.compute(*nodes, block_shape=block_shape, threads=1, kernels=kernels)
            return (found,) if isinstance(lazy, tuple) and len(nodes) == 1 else found

        return compute, self.entry.promised(nodes[0].arguments)

    def halo(self, images: Mapping[str, Any]) -> tuple[int, ...] | None:
        if not isinstance(self.entry, Local) or self.entry.wants_where:
            return None
        geometry = self.entry.geometry
        if not isinstance(geometry, Stencil) or len(images) != 1 or self._example.get("mode") == "wrap":
            return None
        (image,) = images.values()
        reach = geometry.halo_px(image.ndim, self.entry.complete(self._call(images)))
        halo: tuple[int, ...] = tuple(int(h) for h in reach)
        return halo if any(halo) else None

    def on_block(self, images: Mapping[str, Any]) -> Array:
        assert isinstance(self.entry, Local)
        arguments = self._call(images)
        return self.entry.evaluate({**arguments, "part": 0} if self.entry.returns else arguments)


class _Own:
    """A function of the user's."""

    dtypes = ("uint8", "uint16", "float32", "float64")
    promise = IDENTICAL
    finite = False

    def __init__(self, function: Any, halo: int | Sequence[int] | None, parameters: Mapping[str, Any]) -> None:
        self.function, self.declared, self.parameters = function, halo, parameters
        self.name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', function)}".lstrip(".")

    def takes(self, ndim: int) -> bool:
        return self.declared is None or isinstance(self.declared, int) or len(tuple(self.declared)) == ndim

    def images(self, trial: Trial) -> dict[str, Any]:
        return {"image": samples.sample(trial.kind, trial.shape, np.dtype(trial.dtype), trial.seed)}

    def whole(self, images: Mapping[str, Any]) -> Any:
        result = np.asarray(self.function(images["image"], **self.parameters))
        if result.shape != images["image"].shape:
            raise NotProvable(
                f"{self.name} gives shape {result.shape} for an image of shape {images['image'].shape}; "
                "only functions that keep the shape can be proved"
            )
        return result

    def halo(self, images: Mapping[str, Any]) -> tuple[int, ...] | None:
        ndim, declared = images["image"].ndim, self.declared
        if declared is None:
            return (0,) * int(ndim)
        return (declared,) * int(ndim) if isinstance(declared, int) else tuple(declared)

    def on_block(self, images: Mapping[str, Any]) -> Array:
        return np.asarray(self.function(images["image"], **self.parameters))

    def split(self, images: Mapping[str, Any], trial: Trial) -> tuple[Callable[[], Any], Promise]:
        halo = self.halo(images)
        assert halo is not None
        return lambda: split_with(self.on_block, images, halo, trial.block_shape), IDENTICAL


_Subject = _Catalogued | _Own


def _block_shape(node: graph.Node, trial: Trial) -> tuple[int, ...] | None:
    """The trial's blocks, where the result's grid has as many axes; otherwise some of that many."""
    ndim = len(grid_shape(node.shape)) if node.gives == "image" else len(trial.shape)
    if ndim == len(trial.block_shape):
        return trial.block_shape
    return samples.BLOCKS[ndim][0] if ndim in samples.BLOCKS else None


# ------------------------------------------------------------------------------------------------ trials


def _trials(
    subject: _Subject, dtypes: Sequence[str] | None, ndims: Sequence[int], seed: int, thorough: bool
) -> Iterator[Trial]:
    deal = Random(seed)
    for dtype, ndim in product(dtypes or subject.dtypes, ndims):
        if not subject.takes(ndim):
            continue
        shapes = {2: samples.FLAT_SHAPES, 3: samples.SOLID_SHAPES}.get(ndim, (tuple(range(9, 9 - ndim, -1)),))
        kinds = [kind for kind in samples.kinds_for(np.dtype(dtype)) if kind != "nan" or not subject.finite]
        every = list(product(kinds, shapes, samples.BLOCKS[ndim]))
        for kind, shape, block_shape in every if thorough else deal.sample(every, min(FEW, len(every))):
            yield Trial(kind, dtype, shape, block_shape, seed)


def _try(subject: _Subject, trial: Trial, proof: Proof) -> None:
    images = subject.images(trial)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            split, promise = subject.split(images, trial)
            whole = subject.whole(images)
        except NotProvable:
            raise
        except Exception:  # refused here, or by the function itself on the whole image
            proof.skipped += 1
            return
        try:
            found = split()
        except InputError:
            proof.skipped += 1  # refused rather than wrong
            return
        except Exception as error:  # a function may raise anything on a block
            proof.trials += 1
            proof.differences.append(Difference(trial, f"blocks raise {type(error).__name__}: {error}"))
            return
    proof.promise = promise if promise.exactness is not Exactness.IDENTICAL else proof.promise
    proof.trials += 1
    proof.dtypes.add(trial.dtype)
    proof.ndims.add(len(trial.shape))
    what = difference(found, whole, promise)
    if what:
        proof.differences.append(Difference(trial, what))


def difference(found: Any, whole: Any, promise: Promise = IDENTICAL) -> str:
    """What is different, in words; empty when `found` is as near to `whole` as promised.

    Equal means dtype, shape and bits; any NaN equals any NaN.
    """
    if isinstance(whole, Mapping):
        if list(found) != list(whole):
            return f"columns are {list(found)} instead of {list(whole)}"
        return next((f"column {n}: {what}" for n in whole if (what := difference(found[n], whole[n], promise))), "")
    if isinstance(whole, tuple | list):
        if len(found) != len(whole):
            return f"there are {len(found)} results instead of {len(whole)}"
        pairs = enumerate(zip(found, whole, strict=True))
        return next((f"result {at}: {what}" for at, (a, b) in pairs if (what := difference(a, b, promise))), "")
    got, want = np.asarray(found), np.asarray(whole)
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"the result is {got.dtype} {got.shape} instead of {want.dtype} {want.shape}"
    wrong = _wrong(got, want, promise)
    if not wrong.any():
        return ""
    at = tuple(int(axis[0]) for axis in np.nonzero(np.atleast_1d(wrong)))
    here = f" at {at}" if want.ndim else ""
    values = f"{np.atleast_1d(got)[at]!r} instead of {np.atleast_1d(want)[at]!r}"
    return f"{int(wrong.sum())} of {want.size} values differ, the first{here}: {values}"


def _wrong(got: Array, want: Array, promise: Promise) -> Array:
    both_nan: Array = np.isnan(got) & np.isnan(want) if want.dtype.kind == "f" else np.zeros(want.shape, bool)
    if promise.exactness is Exactness.APPROXIMATE:
        return np.zeros(want.shape, bool)
    if promise.exactness is Exactness.ULP:
        scale = np.spacing(np.nanmax(np.abs(want), initial=0).astype(want.dtype))
        near: Array = np.abs(got - want) <= promise.ulp * scale
        far: Array = ~(near | both_nan | (got == want))
        return far
    unsigned = f"u{want.dtype.itemsize}"
    different: Array = np.ascontiguousarray(got).view(unsigned) != np.ascontiguousarray(want).view(unsigned)
    result: Array = different.reshape(want.shape) & ~both_nan
    return result


# ------------------------------------------------------------------------------------------------ halo


def split_with(
    function: Callable[[Mapping[str, Any]], Array],
    images: Mapping[str, Any],
    halo: Sequence[int],
    block_shape: Sequence[int],
) -> Array:
    """A function of one image done in blocks with this halo, clipped at the image's edge."""
    ((name, image),) = images.items()
    result: Array | None = None
    for block in BlockGrid(image.shape, tuple(min(b, n) for b, n in zip(block_shape, image.shape, strict=True))):
        read = block.expand(halo, image.shape)
        done = function({name: np.ascontiguousarray(image[read.slices])})
        if result is None:
            result = np.empty(image.shape, done.dtype)
        result[block.slices] = done[block.within(read)]
    assert result is not None
    return result


def _look_for_halo(
    subject: _Subject, proof: Proof, dtypes: Sequence[str] | None, ndims: Sequence[int], seed: int
) -> None:
    """The smallest exact halo of each axis, the others read whole."""
    ndim = next((ndim for ndim in ndims if subject.takes(ndim)), None)
    wanted = [name for name in ("float64", "uint8") if name in (dtypes or subject.dtypes)]
    if ndim is None or not wanted:
        return
    first = subject.images(Trial("noise", wanted[0], (9,) * ndim, (5,) * ndim, seed))
    declared = subject.halo(first)
    if declared is None:
        return
    proof.declared_halo = None if isinstance(subject, _Own) and subject.declared is None else declared
    side = min(MOST_PX if ndim == 2 else 64, max(48, 4 * max(declared) + 8))
    trials = [
        Trial(kind, dtype, (side,) * ndim, (side // 2 + 1,) * ndim, seed)
        for dtype in wanted[:1]
        for kind in ("noise", "ties", "spots")
    ]
    found: list[int] = []
    for axis in range(ndim):
        smallest = _smallest(subject, trials, axis, side)
        if smallest is None:
            return
        found.append(smallest)
    proof.smallest_halo = tuple(found)


def _smallest(subject: _Subject, trials: Sequence[Trial], axis: int, side: int) -> int | None:
    """By bisection: blocks cut along one axis only, so that the others do not matter."""

    def enough(halo: int) -> bool:
        for trial in trials:
            images = subject.images(trial)
            reach = [side] * len(trial.shape)
            reach[axis] = halo
            cut = list(trial.shape)
            cut[axis] = trial.block_shape[axis]
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                try:
                    whole = subject.whole(images)
                    whole = whole[0] if isinstance(whole, tuple | list) else whole
                    found = split_with(subject.on_block, images, reach, cut)
                except Exception:  # a function may raise anything on a thin block
                    return False
            if difference(found, whole):
                return False
        return True

    if not enough(side):
        return None
    low, high = -1, side
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
