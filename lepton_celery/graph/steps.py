"""Builds a lazy graph of steps: `gaussian:sigma=2 threshold:otsu label`.

The command line and stored pipelines share this module; `step_syntax` parses the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from lepton_celery.catalogue import get_entry
from lepton_celery.errors import InputError
from lepton_celery.graph.nodes import Image, Node, apply
from lepton_celery.graph.step_syntax import Reference, Step, parse_step
from lepton_celery.text import quoted

FIRST_INPUT = "image"
"""Name of the input that the first step works on."""

DROPPED = "_"
"""The name of a result that is not needed."""


class Results:
    """The results of steps: the last one, and those that have names."""

    def __init__(self, inputs: Mapping[str, Callable[[], Image]]) -> None:
        """Begin with the inputs by name, each with a function that opens it; an input that no step uses is not opened."""
        self._inputs = inputs
        self._named: dict[str, Node] = {}
        self._last: Any = None
        self._last_text = ""

    def run(self, step: Step) -> None:
        """Apply a step to the result of the step before.

        Raises:
            InputError: the step cannot be applied.
        """
        if step.target is not None:
            self._last, self._last_text = self.named(step.target.name, step.text), step.text
            return
        positional = [self._filled(value, step.text) for value in step.positional]
        keyword = {name: self._filled(value, step.text) for name, value in step.keyword.items()}
        self._last = self._applied(step, self._current(step), positional, keyword)
        self._last_text = step.text
        if step.names:
            self._name(step)

    def named(self, name: str, where: str) -> Node:
        """The result or the input of that name; `where` is the text that names it."""
        if name not in self._named:
            if name not in self._inputs:
                known = list(dict.fromkeys([*self._inputs, *self._named]))  # an input that was opened has a name, too
                close = get_close_matches(name, known, n=1, cutoff=0.7)
                hint = f"did you mean {close[0]}" if close else f"there are {', '.join(known) or 'none'}"
                raise InputError(
                    f"{quoted(where)}: no result and no input has the name {quoted(name)}; {hint} (a step names its result: "
                    f"{name}=gaussian:sigma=2)"
                )
            self._named[name] = self._inputs[name]()
        return self._named[name]

    def last(self) -> Node:
        """The result of the last step; of no steps, the first input.

        Raises:
            InputError: the last step gives several results, none of which has a name.
        """
        if self._last is None:
            return self.named(FIRST_INPUT, f"@{FIRST_INPUT}")
        if isinstance(self._last, tuple):
            raise _several(self._last, self._last_text)
        last: Node = self._last
        return last

    def _current(self, step: Step) -> Image:
        """The image that a step works on."""
        current = self.last()
        if not isinstance(current, Image):
            raise InputError(
                f"step {quoted(step.text)} comes after one that gives a {current.gives}; put it before, or go on from an "
                f"image with a step such as @{FIRST_INPUT}"
            )
        return current

    def _filled(self, value: Any, where: str) -> Any:
        """A value in which results replace their names."""
        if isinstance(value, Reference):
            return self.named(value.name, where)
        if isinstance(value, tuple | list):
            return type(value)(self._filled(item, where) for item in value)
        return value

    def _applied(self, step: Step, current: Image, positional: list[Any], keyword: dict[str, Any]) -> Any:
        name = step.operation
        if name.startswith("lepton."):
            raise InputError(
                f"step {quoted(step.text)}: {name} is internal; `lepton operations` lists the public names"
            )
        if name == "threshold":
            return _threshold(current, step.text, positional, keyword)
        if name.rpartition(".")[2] == "regionprops_table" and "intensity_image" not in keyword:
            keyword["intensity_image"] = self._intensity(current, positional, keyword)
        entry = get_entry(name)
        if entry.sequences and next(iter(entry.signature.parameters)) in entry.sequences:
            others = [value for value in positional if isinstance(value, Node)]  # hstack:@right joins two images
            return apply(name, (current, *others), *positional[len(others) :], **keyword)
        return apply(name, current, *positional, **keyword)

    def _intensity(self, labels: Node, positional: list[Any], keyword: dict[str, Any]) -> Image | None:
        """The first input, if a property needs intensities and the input has the labels' shape."""
        wanted = keyword.get("properties", positional[1] if len(positional) > 1 else ())
        names = [wanted] if isinstance(wanted, str) else wanted if isinstance(wanted, tuple | list) else []
        if not any("intensity" in str(name) or "weighted" in str(name) for name in names):
            return None
        image = self.named(FIRST_INPUT, f"@{FIRST_INPUT}")
        return image if isinstance(image, Image) and image.shape == labels.shape else None

    def _name(self, step: Step) -> None:
        """Give the names of a step to its results; the next step works on the first."""
        results = self._last if isinstance(self._last, tuple) else (self._last,)
        if len(step.names) != len(results):
            if len(results) > 1:
                raise _several(results, step.text)
            raise InputError(f"step {quoted(step.text)} names {len(step.names)} results and has one; give it one name")
        for name, result in zip(step.names, results, strict=True):
            if name in self._named or name in self._inputs:
                raise InputError(
                    f"step {quoted(step.text)}: the name {quoted(name)} is taken; give the result another name"
                )
            if name != DROPPED:
                self._named[name] = result
        self._last = next(
            (result for name, result in zip(step.names, results, strict=True) if name != DROPPED), results[0]
        )


def build_steps(inputs: Mapping[str, Callable[[], Image]], steps: Sequence[str]) -> Results:
    """The results of steps that are applied one after the other, beginning with the input `image`.

    Raises:
        InputError: a step is not understood, or cannot be applied.
    """
    results = Results(inputs)
    for text in steps:
        if not isinstance(text, str):
            raise InputError(f"step {quoted(text)} is {type(text).__name__}; give text, such as 'gaussian:sigma=2'")
        results.run(parse_step(text))
    return results


def _several(results: Sequence[Node], text: str) -> InputError:
    gives = ", ".join(f"{'an' if result.gives == 'image' else 'a'} {result.gives}" for result in results)
    head, colon, arguments = text.partition(":")
    names = ",".join("abcdefgh"[: len(results)])
    return InputError(
        f"step {quoted(text)} gives {len(results)} results ({gives}); name each of them: "
        f"{names}={head.rpartition('=')[2]}{colon}{arguments} (_ drops one; the next step works on the first with a name)"
    )


def _threshold(image: Image, text: str, positional: list[Any], keyword: dict[str, Any]) -> Any:
    """The pixels above a threshold: `threshold:otsu`, `threshold:0.5`, `threshold:@level`."""
    level = positional[0] if len(positional) == 1 else None
    if isinstance(level, str):
        level = apply(get_entry(f"threshold_{level}").name, image, **keyword)
    elif not isinstance(level, int | float | Node) or keyword:
        raise InputError(f"step {quoted(text)}: give one threshold, threshold:otsu or a number such as threshold:0.5")
    return image > level
