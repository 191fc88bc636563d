"""The OpenAPI document of the HTTP API, made from its routes and the types of its answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from types import NoneType
from typing import Any

import msgspec

from lepton_celery.api.parameters import Parameter
from lepton_celery.api.routes import IN_PATHS, Route

API_VERSION = "1"
"""Version of the API: the first part of its paths, `v1`."""

_JSON = "application/json"
_BYTES = {"type": "string", "format": "binary"}
_EMPTY = 204
"""Status of an answer without a body."""

_REF = "#/components/schemas/{name}"


@cache
def document(routes: tuple[Route, ...]) -> dict[str, Any]:
    """The document of an API with these routes, of OpenAPI 3.1."""
    taken = [route.http.takes for route in routes if route.http.takes is not None]
    kinds = list(dict.fromkeys([*(route.gives for route in routes), *taken]))
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
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, of_kind)
    return {
        "openapi": "3.1.0",
        "info": {"title": "lepton_celery", "version": f"{API_VERSION} ({version('lepton-celery')})"},
        "servers": [{"url": "."}],  # beside this document
        "paths": paths,
        "components": {"schemas": components},
    }


def _operation(route: Route, of_kind: Mapping[Any, dict[str, Any]]) -> dict[str, Any]:
    name = re.sub(r"\W+", "_", f"{route.method.lower()}{route.path}").strip("_")
    statuses = {400, 503, *route.http.refusals} | ({404} if route.in_path else set())
    statuses |= {403, 409} if route.method == "POST" else set()
    statuses |= {409, 502} if "picture" in route.in_path else set()
    # an answer to HEAD has no body, also if it is an error
    error = {} if route.method == "HEAD" else {"content": {_JSON: {"schema": {"$ref": _REF.format(name="Error")}}}}
    made = {
        "operationId": name,
        "summary": route.about,
        "parameters": [*_in_path(route), *map(_in_query, route.parameters), *map(_in_header, route.http.headers)],
        "responses": {
            **_answers(route, of_kind[route.gives]),
            **{str(status): {"description": "An error.", **error} for status in sorted(statuses)},
        },
    }
    if route.http.takes is not None:
        made["requestBody"] = {"required": True, "content": {_JSON: {"schema": of_kind[route.http.takes]}}}
    elif route.http.takes_bytes:
        made["requestBody"] = {"content": {kind: {"schema": _BYTES} for kind in route.http.takes_bytes}}
    return made


def _answers(route: Route, gives: dict[str, Any]) -> dict[str, Any]:
    """The answers of a route that refuses nothing."""
    headers = {
        name: {"description": about, "schema": {"type": "string"}} for name, about in route.http.gives_headers.items()
    }
    found: dict[str, Any] = {"description": route.about} | ({"headers": headers} if headers else {})
    if route.method != "HEAD" and route.http.status != _EMPTY and route.gives is not NoneType:
        found["content"] = {route.media_type: {"schema": gives if route.media_type == _JSON else _BYTES}}
    answers = {str(route.http.status): found}
    if "Content-Range" in route.http.gives_headers:
        answers["206"] = {**found, "description": "The range that was asked for."}
        answers["304"] = {"description": "The client has it already."}
        answers["416"] = {"description": "The range is outside."}
    return answers


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


def _in_header(parameter: Parameter) -> dict[str, Any]:
    schema = msgspec.json.schema(parameter.kind)
    required = {"required": True} if parameter.default is None else {}
    return {"name": parameter.name, "in": "header", "description": parameter.about, "schema": schema, **required}
