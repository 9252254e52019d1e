"""A local OpenAI-compatible server whose answers are a function of the picture."""

import asyncio
import base64
import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from aiohttp import web
from PIL import Image


class JudgeServer:
    """`answer` is called with the pixels and the number of the request, counted from 0."""

    def __init__(self, answer: Callable[[np.ndarray, int], str], delay_s: float = 0.0) -> None:
        self.answer = answer
        self.delay_s = delay_s
        self.requests = 0
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        number = self.requests
        self.requests += 1
        body = await request.json()
        url = body["messages"][1]["content"][0]["image_url"]["url"]
        data = base64.b64decode(url.partition(",")[2])
        pixels = np.asarray(Image.open(io.BytesIO(data)))
        await asyncio.sleep(self.delay_s)
        message: dict[str, Any] = {"role": "assistant", "content": self.answer(pixels, number)}
        return web.json_response({"choices": [{"index": 0, "message": message}]})


@contextmanager
def serving(server: JudgeServer) -> Iterator[JudgeServer]:
    """Run it on a free port of 127.0.0.1 in a thread of its own."""
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/v1/chat/completions", server.handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=0.1).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        ready.set()
        return runner

    def run() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
