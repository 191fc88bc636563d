"""The functions that proofs run: those of the catalogue, and the user's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_celery import graph
from lepton_celery.catalogue import catalogue, get_entry
from lepton_celery.catalogue.arrays import Array
from lepton_celery.catalogue.entries import Entry, Sample, resolve
from lepton_celery.catalogue.promise import IDENTICAL, Promise
from lepton_celery.config import configured
from lepton_celery.errors import InputError
from lepton_celery.grid import BlockGrid
from lepton_celery.jobs.compute import compute
from lepton_celery.planning.regions import grid_shape
from lepton_celery.proving import samples


class NotProvable(InputError):
    """The function's results in blocks cannot be compared with those on the whole image."""


@dataclass(frozen=True)
class Trial:
    """An image, and the blocks into which it is cut."""

    kind: str
    """One of `samples.KINDS`, or `samples.TYPICAL`."""
    dtype: str
    shape: tuple[int, ...]
    block_shape: tuple[int, ...]
    seed: int

    def __str__(self) -> str:
        return f"{self.dtype} image {self.shape} ({self.kind}, seed {self.seed}) in blocks of {self.block_shape}"


class CatalogueFunction:
    """A function of the catalogue."""

    def __init__(self, entry: Entry, parameters: Mapping[str, Any]) -> None:
        self.entry = entry
        self.name = entry.name
        self.parameters = parameters
        self.dtypes = entry.declared_dtypes()
        self.needs_finite = entry.needs_finite
        self.promise = IDENTICAL if callable(entry.promise) else entry.promise
        self._example: dict[str, Any] = {}

    def takes(self, ndim: int) -> bool:
        """Whether images may have this number of axes."""
        return not self.entry.ndims or ndim in self.entry.ndims

    def images(self, trial: Trial) -> dict[str, Any]:
        """The trial's images by parameter."""
        self._example = {**self.entry.example_for(len(trial.shape)), **self.parameters}
        return sample_images(self.entry, self._example, trial)

    def whole(self, images: Mapping[str, Any]) -> Any:
        """The source's result for whole images."""
        source: Any = resolve(self.entry.source)
        if isinstance(source, np.ufunc):
            return source(*images.values())
        arguments = {**images, **self._example}
        parameters = inspect.signature(source).parameters.values()
        positional = [arguments.pop(p.name) for p in parameters if p.kind is p.POSITIONAL_ONLY and p.name in arguments]
        result = source(*positional, **arguments)
        return tuple(result) if inspect.isgenerator(result) else result

    def split(self, images: Mapping[str, Any], trial: Trial) -> tuple[Callable[[], Any], Promise]:
        """A function that computes the result in blocks, and the promise for these arguments."""
        lazy = graph.apply(self.name, **images, **self._example)
        nodes = lazy if isinstance(lazy, tuple) else (lazy,)
        block_shape = _block_shape(nodes[0], trial)
        kernels = configured().kernels

        def compute_blocks() -> Any:
            result = compute(*nodes, block_shape=block_shape, threads=1, kernels=kernels)
            return (result,) if isinstance(lazy, tuple) and len(nodes) == 1 else result

        return compute_blocks, self.entry.promised(nodes[0].arguments)

    def halo(self, images: Mapping[str, Any]) -> tuple[int, ...] | None:
        """The declared halo; None if the smallest halo is not to be searched."""
        entry = self.entry
        if not entry.is_positional or entry.wants_where or len(images) != 1 or self._example.get("mode") == "wrap":
            return None
        (image,) = images.values()
        halo = tuple(map(int, entry.halo_px(image.ndim, entry.complete({**images, **self._example}))))
        return halo if any(halo) else None

    def on_block(self, images: Mapping[str, Any]) -> Array:
        """The result for one block with its halo."""
        first = {"result_index": 0} if self.entry.returns else {}
        return np.asarray(self.entry.find_value({**images, **self._example, **first}))


class OwnFunction:
    """A function of the user's that takes an image and returns one of the same shape."""

    dtypes = ("uint8", "uint16", "float32", "float64")
    needs_finite = False
    promise = IDENTICAL

    def __init__(self, function: Any, halo: int | Sequence[int] | None, parameters: Mapping[str, Any]) -> None:
        self.function, self.declared, self.parameters = function, halo, parameters
        self.name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', function)}".lstrip(".")

    def takes(self, ndim: int) -> bool:
        """Whether the given halo fits this number of axes."""
        return self.declared is None or isinstance(self.declared, int) or len(tuple(self.declared)) == ndim

    def images(self, trial: Trial) -> dict[str, Any]:
        """The trial's image."""
        return {"image": samples.sample(trial.kind, trial.shape, np.dtype(trial.dtype), trial.seed)}

    def whole(self, images: Mapping[str, Any]) -> Any:
        """The result for the whole image."""
        result = self.on_block(images)
        if result.shape != images["image"].shape:
            raise NotProvable(
                f"{self.name} gives shape {result.shape} for an image of shape {images['image'].shape}; "
                "only functions that keep the shape can be proved"
            )
        return result

    def split(self, images: Mapping[str, Any], trial: Trial) -> tuple[Callable[[], Any], Promise]:
        """A function that computes the result in blocks, and the promise."""
        return lambda: in_blocks(self.on_block, images, self.halo(images), trial.block_shape), IDENTICAL

    def halo(self, images: Mapping[str, Any]) -> tuple[int, ...]:
        """The given halo, or 0 on each axis."""
        ndim: int = images["image"].ndim
        declared = self.declared or 0
        return (declared,) * ndim if isinstance(declared, int) else tuple(declared)

    def on_block(self, images: Mapping[str, Any]) -> Array:
        """The result for one block with its halo."""
        return np.asarray(self.function(images["image"], **self.parameters))


Subject = CatalogueFunction | OwnFunction


def find_subject(
    function: str | Callable[..., Any], halo: int | Sequence[int] | None, parameters: Mapping[str, Any]
) -> Subject:
    """The function of the catalogue with this name or source, else the user's own.

    Raises:
        InputError: there is no function of that name, or the catalogue refuses it.
    """
    entry = get_entry(function) if isinstance(function, str) else _entry_of(function)
    if entry is None:
        return OwnFunction(function, halo, parameters)
    entry.refuse_if_listed()
    return CatalogueFunction(entry, parameters)


def _entry_of(function: Callable[..., Any]) -> Entry | None:
    """The public entry whose source is this function."""
    name = getattr(function, "__name__", "")
    for full, entry in catalogue().items():
        if full.rpartition(".")[2] == name and not full.startswith("lepton.") and resolve(entry.source) is function:
            return entry
    return None


def sample_images(entry: Entry, parameters: Mapping[str, Any], trial: Trial) -> dict[str, Any]:
    """Images for the image parameters without a default, and for those to which the entry assigns a sample."""
    images: dict[str, Any] = {}
    dtype = np.dtype(trial.dtype)
    for number, name in enumerate([*entry.images, *entry.sequences]):
        parameter = entry.signature.parameters[name]
        is_optional = parameter.default is not inspect.Parameter.empty and name not in entry.samples
        if name in parameters or (is_optional and number > 0):
            continue
        if name in entry.sequences:
            members = range(len(trial.shape) * (len(trial.shape) + 1) // 2)
            images[name] = [samples.sample(trial.kind, trial.shape, dtype, trial.seed + member) for member in members]
        else:
            usual: Sample = "counts" if trial.dtype in entry.narrow_dtypes else "image"
            wanted = entry.samples.get(name, usual)
            images[name] = samples.sample_for(wanted, trial.kind, trial.shape, dtype, trial.seed + number)
    return images


def _block_shape(node: graph.Node, trial: Trial) -> tuple[int, ...] | None:
    """The trial's block shape, with as many axes as the result's grid."""
    ndim = len(grid_shape(node.shape)) if node.gives == "image" else len(trial.shape)
    repeated = trial.block_shape * max(1, ndim)
    return repeated[:ndim] or None


def in_blocks(
    function: Callable[[Mapping[str, Any]], Array],
    images: Mapping[str, Any],
    halo: Sequence[int],
    block_shape: Sequence[int],
) -> Array:
    """The result of a function of one image, computed in blocks with this halo, clipped at the image's edge."""
    ((name, image),) = images.items()
    result: Array | None = None
    for block in BlockGrid(image.shape, tuple(min(b, n) for b, n in zip(block_shape, image.shape, strict=True))):
        read = block.expand(halo, image.shape)
        pixels = function({name: np.ascontiguousarray(image[read.slices])})
        if result is None:
            result = np.empty(image.shape, pixels.dtype)
        result[block.slices] = pixels[block.within(read)]
    assert result is not None
    return result
