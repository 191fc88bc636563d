"""The lazy graph that a user builds: images, values and tables.

`nodes` defines the nodes, `indexing` their indexing, `codec` the JSON form, and `own` the use of the user's own functions.
Everything that plans or runs a graph imports this folder; it imports the catalogue, stores, the grid and the errors.
"""

from __future__ import annotations

from lepton_celery.graph.codec import from_json, to_json
from lepton_celery.graph.nodes import Image, Node, Table, Value, apply, make, open

__all__ = ["Image", "Node", "Table", "Value", "apply", "from_json", "make", "open", "to_json"]
