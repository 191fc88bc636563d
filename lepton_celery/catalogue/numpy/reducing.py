"""How a reduction of NumPy is split: over all pixels, along some axes, or of a whole-image value."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from lepton_celery.catalogue.arrays import Arguments, Lazy
from lepton_celery.catalogue.declare import declare
from lepton_celery.catalogue.entries import Build, Composite, ValueFunction
from lepton_celery.catalogue.numpy.along_axes import Options, along_axes
from lepton_celery.catalogue.numpy.defaults import check_defaults, given_options, is_given
from lepton_celery.catalogue.numpy.masked import reduce_where
from lepton_celery.catalogue.results import UNKNOWN, ValueType, sample_of, type_from
from lepton_celery.errors import DtypeNotSupported, InputError

Expand = Callable[[Arguments, Build], Lazy]


def _no_way(arguments: Arguments, build: Build) -> Lazy:
    raise AssertionError("`Reducing.check` refuses it")


@dataclass(frozen=True)
class Reducing:
    """`numpy.{name}`, whose first parameter is `a`."""

    name: str
    of_all: Expand = _no_way
    """Builds the value of all pixels."""
    along: tuple[str, ...] = ()
    """Parameters that may be given along axes, besides `axis` and `keepdims`."""
    over_all: tuple[str, ...] = ()
    """Parameters that may be given over all pixels, besides `axis` and `keepdims`."""
    masked_kinds: str = ""
    """NumPy dtype kinds whose blocks are reduced one by one with `where` over all pixels; others in one process."""
    kinds_over_all: str = "biuf"
    """NumPy dtype kinds of which the value of all pixels is exact; empty if it is refused for all."""
    instead: str = "give axis"
    """What to do where the value of all pixels is refused."""
    more_checks: Callable[[Arguments], None] = lambda arguments: None

    def entry(self, **options: Any) -> Composite:
        """The entry of the catalogue."""
        return Composite(
            f"numpy.{self.name}",
            images=("a", "where") if self._takes_where else ("a",),
            values=("a",),
            check=self._check,
            expand=self._expand,
            gives="",
            **options,
        )

    @property
    def _takes_where(self) -> bool:
        return "where" in inspect.signature(getattr(np, self.name)).parameters

    def _check(self, arguments: Arguments) -> None:
        a = arguments["a"]
        if not hasattr(a, "gives"):
            raise InputError(f"numpy.{self.name} of {a!r}; give an image or a lazy value, or call NumPy's own function")
        self.more_checks(arguments)
        if a.gives == "value":
            return
        whole = len(_axes(arguments)) == a.ndim
        self._check_where(arguments)
        together = whole and not self._in_one_process(arguments)
        check_defaults(self.name, "axis", "keepdims", "where", *(self.over_all if together else self.along))(arguments)
        if together and a.dtype.kind not in self.kinds_over_all:
            raise DtypeNotSupported(
                f"numpy.{self.name} of all pixels of a {a.dtype} image depends on the order of its pixels; {self.instead}"
            )

    def _check_where(self, arguments: Arguments) -> None:
        a, mask = arguments["a"], mask_of(arguments)
        if mask is None:
            if is_given(self.name, "where", arguments) and arguments["where"] is not True:
                raise InputError(f"numpy.{self.name} with where={arguments['where']!r}; give a mask of bool")
            return
        if mask.shape != a.shape or mask.dtype != bool:
            raise InputError(
                f"where of shape {mask.shape} and dtype {mask.dtype} for an image of shape {a.shape}; give a mask of bool "
                "of the image's shape"
            )

    def _in_one_process(self, arguments: Arguments) -> bool:
        """Whether the pixels of a mask are reduced in an order that only one process can follow."""
        return mask_of(arguments) is not None and arguments["a"].dtype.kind not in self.masked_kinds

    def _expand(self, arguments: Arguments, build: Build) -> Lazy:
        a, axes = arguments["a"], _axes(arguments)
        keepdims = arguments["keepdims"] in (True,)
        options = given_options(self.name, arguments)
        if a.gives == "value":
            axis = None if arguments["axis"] is None else axes
            return build("lepton.reduced", a=a, reduction=self.name, axis=axis, keepdims=keepdims, options=options)
        if len(axes) < a.ndim:
            return along_axes(self.name, a, axes, keepdims, options, build, mask_of(arguments))
        if self._in_one_process(arguments):
            value = reduce_where(a, mask_of(arguments), self.name, options, build)
        else:
            value = self.of_all(arguments, build)
        return build("lepton.with_axes", value=value, ndim=a.ndim) if keepdims else value


def mask_of(arguments: Arguments) -> Any:
    """The mask that is given as `where`, if any."""
    where = arguments.get("where")
    return where if getattr(where, "gives", "") == "image" else None


def _axes(arguments: Arguments) -> tuple[int, ...]:
    """The reduced axes, as numbers of at least 0."""
    axis, ndim = arguments["axis"], arguments["a"].ndim
    return tuple(range(ndim)) if axis is None else tuple(sorted(normalize_axis_tuple(axis, ndim, "axis")))


# ------------------------------------------------------------------------------------------------ values


def _with_axes_type(arguments: Arguments) -> ValueType:
    return (*arguments["value"].shape, *(1,) * arguments["ndim"]), arguments["value"].dtype


@declare(ValueFunction("lepton.with_axes", values=("value",), result=_with_axes_type))
def with_axes(value: Any, ndim: int) -> Any:
    """The result of a reduction with `keepdims`, from the one without."""
    return np.reshape(value, (*np.shape(value), *(1,) * ndim))


def _reduced_type(arguments: Arguments) -> ValueType:
    a = arguments["a"]
    samples = [sample_of(a.shape, a.dtype, unknown) for unknown in UNKNOWN]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return type_from([np.asarray(reduced(**{**arguments, "a": sample})) for sample in samples])


@declare(ValueFunction("lepton.reduced", values=("a",), result=_reduced_type))
def reduced(a: Any, reduction: str, axis: int | tuple[int, ...] | None, keepdims: bool, options: Options) -> Any:
    """`numpy.{reduction}` of a whole-image value."""
    axis = axis[0] if isinstance(axis, tuple) and len(axis) == 1 else axis
    return getattr(np, reduction)(a, axis=axis, keepdims=keepdims, **dict(options))
