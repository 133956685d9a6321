"""The floor: an aiohttp handler that reads the body and gives a fixed reply. `python -m bench.bare PORT REPLY_FILE`."""

import asyncio
import sys
from pathlib import Path

import uvloop
from aiohttp import web

# As the service: without them rspamd would open a connection for every message.
_KEEP_ALIVE = {"Connection": "keep-alive", "Keep-Alive": "timeout=75"}


async def serve(port: int, reply: bytes) -> None:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=reply, content_type="application/json", headers=_KEEP_ALIVE)

    app = web.Application()
    app.router.add_post("/v1/check", answer)
    app.router.add_get("/readyz", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
