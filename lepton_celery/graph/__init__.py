"""The lazy graph that a user builds: nodes, their indexing, their JSON form, and functions of one's own.

May import: the catalogue, stores, grid, errors. Everything that plans or runs a graph imports this.
"""

from __future__ import annotations

from lepton_celery.graph.codec import from_json, to_json
from lepton_celery.graph.nodes import Image, Node, Table, Value, apply, make, open

__all__ = ["Image", "Node", "Table", "Value", "apply", "from_json", "make", "open", "to_json"]
