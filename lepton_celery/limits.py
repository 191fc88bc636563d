"""The limits of what comes from outside a process: manifests, plans, graphs, messages and entries of the ledger.

`msgspec` checks the types with a range wherever a document is read (`stores.documents`).
"""

from __future__ import annotations

import re
from typing import Annotated

from msgspec import Meta

MAX_DOCUMENT_BYTES = 64 << 20
"""Largest manifest, result, graph or pipeline, in bytes of JSON. A plan takes some kilobytes, with its arrays of numbers."""
MAX_ID_CHARS = 100
"""Longest id of a job, in characters."""
JOB_ID = re.compile(rf"[A-Za-z0-9_-][A-Za-z0-9._-]{{0,{MAX_ID_CHARS - 1}}}")
"""The form of a job's id, which becomes part of file names: no separators, no leading dot."""
MAX_TENANT_CHARS = 64
"""Longest name of a tenant, in characters."""
MAX_OWNER_CHARS = 128
"""Longest name of an owner, in characters."""
MAX_PLACES_CHARS = 1000
"""Longest text of the places of a batch in a message, in characters; those of this package have about 60."""
MAX_PLACES = 1 << 16
"""Largest number of places in a message; the batches of a plan have some thousand blocks at most."""
MAX_MESSAGE_BYTES = 1 << 16
"""Largest message, in bytes; one of a chord has about 1,500."""
MAX_TEXT = 10_000
"""Longest title, reason or path, in characters."""
MAX_AXES = 16
"""Largest number of axes of an image."""
MAX_PIXELS = 1 << 50
"""Largest number of pixels of an image; a thousand times what 2**32 blocks of a megapixel have."""
MAX_NODES = 100_000
"""Largest number of nodes of a graph or a plan."""
MAX_STAGES = 100_000
"""Largest number of stages of a plan."""
MAX_BLOCKS = 1 << 32
"""Largest number of blocks of a stage: the bits of a Redis bitmap, which holds up to 512 MiB."""

Count = Annotated[int, Meta(ge=0, le=1 << 53)]
"""A number of things, which may be 0."""
Positive = Annotated[int, Meta(ge=1, le=1 << 53)]
"""A number of things, of which there is at least one."""
BlockCount = Annotated[int, Meta(ge=0, le=MAX_BLOCKS)]
"""A number of blocks of a stage."""
MAX_MOMENT = 1e11
Moment = Annotated[float, Meta(ge=0, le=MAX_MOMENT)]
"""A time that a calendar has, in seconds since the epoch."""
Shape = Annotated[tuple[Positive, ...], Meta(max_length=MAX_AXES)]
"""Lengths of the axes, in pixels or blocks."""
Owner = Annotated[str, Meta(max_length=MAX_OWNER_CHARS)]
"""The name of the user who asked for a job; empty if nobody said so."""
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
"""A text that people read, or a path."""
