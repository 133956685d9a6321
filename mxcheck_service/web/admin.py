"""What operators ask for."""

from collections.abc import Mapping, Sequence

import orjson
from aiohttp import web

from mxcheck_service.maps.library import SourceState
from mxcheck_service.reload import Reloaded
from mxcheck_service.web import schema
from mxcheck_service.web.gate import State


async def reload(request: web.Request, state: State) -> web.Response:
    """Reload settings and maps: 200 when all of it went well, else 500 and a problem document, with the same facts."""
    done = await state.reloader.reload_everywhere()
    facts = _facts(done)
    if not done.errors:
        return web.Response(body=orjson.dumps(facts), content_type="application/json")
    detail = f"problems: {len(done.errors)}; what is broken was not taken, and what was in use before stays in use"
    document: schema.ReloadProblem = {**schema.problem(500, detail), **facts}
    return web.Response(status=500, body=orjson.dumps(document), content_type="application/problem+json")


def _facts(done: Reloaded) -> schema.Reloaded:
    return {
        "problems": done.errors,
        "warnings": done.warnings,
        "settings": {"changed": done.changed, "restart_needed": done.restart},
        "maps": maps(done.maps),
    }


def maps(states: Mapping[str, Sequence[SourceState]]) -> dict[str, schema.ReloadedMap]:
    """Return what is told of maps, by setting."""
    return {
        setting: {
            "entries": sum(place.entries for place in places),
            "sources": [
                {
                    "source": place.source,
                    "entries": place.entries,
                    "sha256": place.sha256,
                    "age": None if place.age is None else round(place.age, 3),
                    "changed": place.changed,
                    "error": place.error,
                }
                for place in places
            ],
        }
        for setting, places in states.items()
    }
