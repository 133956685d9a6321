"""GET and DELETE /v1/cache/{layer}/{key}: single entries of the cache, for the operator."""

import math

import orjson
from aiohttp import hdrs, web

from mxcheck_service.cache import surgery
from mxcheck_service.cache.layers import Entry, Layer
from mxcheck_service.cache.surgery import NoSuchKey
from mxcheck_service.ports import CacheError
from mxcheck_service.web import schema
from mxcheck_service.web.errors import ApiError
from mxcheck_service.web.gate import Handler, State


def show(layer: Layer) -> Handler:
    """Return the handler that shows an entry of a layer."""

    async def serve(request: web.Request, state: State) -> web.Response:
        try:
            entry = await surgery.look(state.checker.cache, layer, request.match_info["key"])
        except (NoSuchKey, CacheError) as error:
            raise _failure(error) from None
        if entry is None:
            raise ApiError(404, "the cache has no such entry")
        return web.Response(body=orjson.dumps(document(layer, entry)), content_type="application/json")

    return serve


def purge(layer: Layer) -> Handler:
    """Return the handler that purges an entry of a layer; one that is absent already is no error."""

    async def serve(request: web.Request, state: State) -> web.Response:
        try:
            await surgery.purge(state.checker.cache, layer, request.match_info["key"])
        except (NoSuchKey, CacheError) as error:
            raise _failure(error) from None
        return web.Response(status=204)

    return serve


def document(layer: Layer, entry: Entry) -> schema.CacheEntry:
    """Return what is told of an entry."""
    return {
        "layer": layer,
        "key": entry.key,
        "value": entry.value,
        "meaning": surgery.meaning(layer, entry.decoded),
        "age_s": None if entry.age is None else round(entry.age, 3),
        "left_s": None if math.isinf(entry.left) else round(entry.left, 3),
        "near": entry.near,
    }


def _failure(error: NoSuchKey | CacheError) -> ApiError:
    if isinstance(error, NoSuchKey):
        return ApiError(422, "the request is not valid", [{"field": "key", "message": str(error)}])
    return ApiError(503, f"the cache cannot be asked: {error}", headers={hdrs.RETRY_AFTER: "1"})
