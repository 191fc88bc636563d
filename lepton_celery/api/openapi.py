"""The OpenAPI document of the HTTP API, made from its routes and the types of its answers."""

from __future__ import annotations

import re
from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec

from lepton_celery.api.routes import IN_PATHS, Route

API_VERSION = "1"
"""Version of the API: the first part of its paths, `v1`."""

_REF = "#/components/schemas/{name}"


@cache
def document(routes: tuple[Route, ...]) -> dict[str, Any]:
    """The document of an API with these routes, of OpenAPI 3.1."""
    kinds = list(dict.fromkeys(route.gives for route in routes))
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    of_kind = dict(zip(kinds, schemas, strict=True))
    components["Error"] = {
        "type": "object",
        "required": ["error"],
        "properties": {
            "error": {
                "type": "object",
                "required": ["status", "message"],
                "properties": {"status": {"type": "integer"}, "message": {"type": "string"}},
            }
        },
    }
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, of_kind[route.gives])
    return {
        "openapi": "3.1.0",
        "info": {"title": "lepton_celery", "version": f"{API_VERSION} ({version('lepton-celery')})"},
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(route: Route, gives: dict[str, Any]) -> dict[str, Any]:
    name = re.sub(r"\W+", "_", f"{route.method.lower()}{route.path}").strip("_")
    statuses = [400, 503] + ([404] if route.in_path else []) + ([403, 409] if route.method == "POST" else [])
    statuses += [409, 502] if "picture" in route.in_path else []
    error = {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}}
    content = {"schema": gives} if route.media_type == "application/json" else {}
    return {
        "operationId": name,
        "summary": route.about,
        "parameters": [*_in_path(route), *map(_in_query, route.parameters)],
        "responses": {
            "200": {"description": route.about, "content": {route.media_type: content}},
            **{str(status): {"description": "An error.", "content": error} for status in sorted(statuses)},
        },
    }


def _in_path(route: Route) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": IN_PATHS[name][1],
            "schema": {"type": "string", "pattern": f"^{IN_PATHS[name][0]}$"},
        }
        for name in route.in_path
    ]


def _in_query(parameter: Any) -> dict[str, Any]:
    schema = msgspec.json.schema(parameter.kind)
    if parameter.many:
        schema = {"type": "array", "items": schema}
    elif parameter.default is not None:
        schema = {**schema, "default": parameter.default}
    return {"name": parameter.name, "in": "query", "description": parameter.about, "schema": schema}
