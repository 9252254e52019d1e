"""Any OpenAI-compatible server with a vision-language model, such as vLLM."""

import asyncio
import base64
import io
import json
import os
from collections.abc import Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from PIL import Image

from catalog.errors import UserError
from networks.interfaces import Identity
from networks.judges.vlm.asking import AskingJudge, Reply
from networks.judges.vlm.cache import AnswerCache
from networks.judges.vlm.prompts import SYSTEM, prompt_hash
from networks.judges.vlm.protocol import MAX_NEW_TOKENS

T = TypeVar("T")

KEY_VARIABLE = "MENDLINE_JUDGE_API_KEY"
RETRIED = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses that may pass; any other says that the request itself is wrong."""
LARGEST_REPLY = 1 << 20


@dataclass(frozen=True)
class Patience:
    """How long and how often the server is asked."""

    concurrency: int = 16
    """Requests under way at once."""
    attempts: int = 4
    timeout_s: float = 120.0
    """For one attempt, from connecting to the last byte."""
    first_wait_s: float = 0.5
    """Before the second attempt; doubled before each further one."""
    longest_wait_s: float = 30.0
    """Bounds Retry-After too."""


class ServerJudge(AskingJudge):
    """Asks /chat/completions with the image as a PNG data URL, greedily.

    Only transport failures are tried again (no connection, time-outs, 408, 429, 5xx): a model that
    answers nonsense at temperature 0 would answer it again. A failure never raises; it is a
    judgement without severity. The key is read from MENDLINE_JUDGE_API_KEY. A redirect is a failure
    too: photos go to the server that was named and to no other, and one that turns the POST into a
    GET is answered by whom no image was shown to.

    A server does not tell its weights: the model's name stands for them, with what follows a # in
    it, which is not sent. So one name served with new weights takes a new #REVISION.
    """

    def __init__(
        self,
        url: str,
        model: str,
        prompt: str = "released",
        cache: AnswerCache | None = None,
        patience: Patience | None = None,
    ) -> None:
        super().__init__(prompt, cache)
        if not _is_address(url):
            raise UserError(
                f"The judge's address {url!r} is no http or https URL.",
                "Give it as openai:MODEL@http://HOST:PORT/v1.",
            )
        _key()
        self.url = url.rstrip("/")
        self.model = model.partition("#")[0]
        if not self.model:
            raise UserError(
                f"The judge at {url} has no model's name.",
                "Give it as openai:MODEL@http://HOST:PORT/v1.",
            )
        self.patience = patience or Patience()
        self.identity = Identity("openai", model, f"served:{model}", prompt_hash(prompt))

    def ask(self, images: Sequence[Image.Image], text: str) -> list[Reply]:
        """One reply an image, in order."""
        if not images:
            return []
        return _run(self._ask_all(images, text))

    async def _ask_all(self, images: Sequence[Image.Image], text: str) -> list[Reply]:
        gate = asyncio.Semaphore(self.patience.concurrency)
        key = _key()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        timeout = aiohttp.ClientTimeout(total=self.patience.timeout_s)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:

            async def one(image: Image.Image) -> Reply:
                async with gate:
                    return await self._ask(session, self._body(image, text))

            return list(await asyncio.gather(*(one(image) for image in images)))

    def _body(self, image: Image.Image, text: str) -> dict[str, Any]:
        buffer = io.BytesIO()
        # The pixels are the same at every level; this one takes a third of the time.
        image.save(buffer, "PNG", compress_level=1)
        url = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
        content = [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": text},
        ]
        return {
            "model": self.model,
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": content},
            ],
            "temperature": 0,
            "max_tokens": MAX_NEW_TOKENS,
        }

    async def _ask(self, session: aiohttp.ClientSession, body: dict[str, Any]) -> Reply:
        wait = self.patience.first_wait_s
        failure = ""
        for attempt in range(self.patience.attempts):
            if attempt:
                await asyncio.sleep(min(wait, self.patience.longest_wait_s))
                wait *= 2
            try:
                async with session.post(
                    f"{self.url}/chat/completions", json=body, allow_redirects=False
                ) as response:
                    data = await _read(response)
                    if response.status == 200:
                        return _reply(data)
                    failure = f"the judge's server answered {response.status}"
                    if to := response.headers.get("Location"):
                        return Reply(failure=f"{failure}, a redirect to {to[:200]}")
                    if response.status not in RETRIED:
                        return Reply(failure=f"{failure}: {data[:120].decode(errors='replace')}")
                    wait = max(wait, _seconds(response.headers.get("Retry-After")))
            except TimeoutError:
                failure = f"the judge's server took longer than {self.patience.timeout_s:g} s"
            except (aiohttp.ClientError, OSError, ValueError) as error:
                failure = f"the judge's server cannot be reached: {type(error).__name__}"
        return Reply(failure=f"{failure} ({self.patience.attempts} attempts)")


def _is_address(url: str) -> bool:
    """Whether `url` is one of http or https with a host that can be looked up."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna")
        return parts.scheme in ("http", "https") and bool(host) and parts.port != 0
    except ValueError:
        return False


def _key() -> str | None:
    """The server's key, without blanks and line ends around it. Raises `UserError`."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise UserError(
            f"The key in {KEY_VARIABLE} cannot be sent: it has characters that no key has.",
            "Give the key alone: ASCII letters, digits and signs in one line.",
        )
    return key or None


def _run(work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` in a thread of its own, since the caller may itself be inside an event loop.

    An interrupt of the caller ends the requests under way.
    """
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = Future()

    async def whole() -> T:
        task = asyncio.current_task()
        assert task is not None
        started.set_result((task.get_loop(), task))
        return await work

    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(asyncio.run, whole())
        try:
            return answer.result()
        except BaseException:
            if not answer.done():
                loop, task = started.result()
                with suppress(RuntimeError):  # it may have ended just now
                    loop.call_soon_threadsafe(task.cancel)
            raise


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body, cut off at `LARGEST_REPLY`: an answer of 32 tokens is never that long."""
    data = b""
    async for chunk in response.content.iter_chunked(1 << 16):
        data += chunk
        if len(data) > LARGEST_REPLY:
            break
    return data


def _reply(data: bytes) -> Reply:
    try:
        text = json.loads(data)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return Reply(failure=f"the judge's server answered no completion: {data[:80]!r}")
    return Reply(text if isinstance(text, str) else "")


def _seconds(value: str | None) -> float:
    """Of Retry-After, in seconds from now: a number or a date (RFC 9110, 10.2.3)."""
    try:
        return max(float(value or 0), 0.0)
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(value or "")
        return max((until - datetime.now(until.tzinfo)).total_seconds(), 0.0)
    except (ValueError, OverflowError):
        return 0.0
