"""A teacher behind an OpenAI-compatible image-edit API (POST /images/edits).

Every answer is cached by image, instruction and identity before it is used, and every request is
entered in a ledger before it is sent, so that a killed run neither pays twice for an image nor
forgets what it spent. The key is read from MENDLINE_IMAGE_API_KEY and goes into no file or log.
An image that the server refuses stops no other; a server that refuses all ends the stage
(`curation.teach.refusals`).
"""

import base64
import binascii
import hashlib
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import httpx

from catalog import images
from catalog.degradations import WORDING, Degradation
from catalog.errors import ImageRefused, UserError
from catalog.files import atomic_file
from catalog.images import Rgb
from catalog.settings.pairs import ImageApi
from curation.teach.ledger import Ledger
from curation.teach.refusals import (
    KEY_VARIABLE,
    MODERATED,
    OF_AN_IMAGE,
    REMEDY,
    Refusals,
    error_code,
    reason,
)
from networks.interfaces import Identity

_RETRIED = {408, 409, 429, 500, 502, 503, 504}
_ALWAYS_BASE64 = "gpt-image"
"""Models that know no `response_format` and answer a request that has one with 400."""
_LARGEST_REPLY = 96 * 2**20
_LONGEST_WAIT = 60.0


class ImageApiTeacher:
    """A `Restorer` that asks a server. `name` is MODEL@URL, the URL ending in /v1."""

    def __init__(self, name: str, settings: ImageApi, scratch: Path) -> None:
        model, _, url = name.rpartition("@")
        if not model or not url.startswith(("http://", "https://")):
            raise UserError(
                f"The teacher openai:{name} names no model and http address.",
                "Give it as openai:MODEL@https://HOST/v1.",
            )
        self.url, self.model, self.settings = url.rstrip("/"), model, settings
        words = "\n".join(WORDING[task].instruction_en for task in Degradation)
        prompt = hashlib.sha256(words.encode()).hexdigest()
        # A server does not tell its weights: the model's name stands for them.
        version = f"{model}@{settings.max_side}px"
        self.identity = Identity("openai-image", version, f"served:{model}", prompt)
        self._cache = scratch / "image-api" / self.identity.digest[:16]
        self.refusals = Refusals(self._cache, any(self._cache.glob("*.png")))
        self.ledger = Ledger(scratch / "image-api" / "ledger.jsonl", settings.max_cost)
        # Without limits of its own, the client would let all but 100 requests wait in line.
        limits = httpx.Limits(max_connections=settings.concurrency)
        self._client = httpx.Client(
            timeout=settings.timeout_s, follow_redirects=False, limits=limits
        )

    def supports(self, degradation: Degradation) -> bool:
        """Every degradation has an instruction."""
        return True

    def restore(self, images: Sequence[Rgb], degradation: Degradation) -> list[Rgb]:
        """Ask for each image. Raises `UserError` when the server fails or the cap is reached.

        Raises `ImageRefused` with the reason "refused" and the server's words where it will not
        have an image (moderation, its size), and `UserError` where it seems to have none at all.
        An answer of another aspect ratio is returned as it is, for the caller to refuse.
        """
        return [self._one(image, degradation) for image in images]

    def _one(self, image: Rgb, degradation: Degradation) -> Rgb:
        instruction = WORDING[degradation].instruction_en
        sent = images.encode_png(_fitted(image, self.settings.max_side))
        key = hashlib.sha256(instruction.encode() + b"\n" + sent).hexdigest()
        path = self._cache / f"{key}.png"
        if path.exists():
            answer = path.read_bytes()
        else:
            self.refusals.check(key)
            answer = self._ask(sent, instruction, key)
            with atomic_file(path) as temporary:
                temporary.write_bytes(answer)
            self.refusals.success()
        edited = images.decode(answer)
        height, width = image.shape[:2]
        if abs(edited.shape[1] / edited.shape[0] / (width / height) - 1) > 0.02:
            return edited
        smaller = edited.shape[0] > height
        how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        return cv2.resize(edited, (width, height), interpolation=how)

    def _ask(self, sent: bytes, instruction: str, key: str) -> bytes:
        secret = os.environ.get(KEY_VARIABLE)
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        fields = {"model": self.model, "prompt": instruction}
        if not self.model.startswith(_ALWAYS_BASE64):
            fields["response_format"] = "b64_json"
        wait, failure = self.settings.first_wait_s, ""
        for attempt in range(self.settings.attempts):
            if attempt:
                time.sleep(min(wait, _LONGEST_WAIT))
                wait *= 2
            self.ledger.spend(self.settings.cost_per_image, key)
            try:
                with self._client.stream(
                    "POST",
                    f"{self.url}/images/edits",
                    data=fields,
                    files={"image": ("image.png", sent, "image/png")},
                    headers=headers,
                ) as response:
                    body = _bounded(response)
            except httpx.HTTPError as error:
                failure = f"cannot be reached: {type(error).__name__}"
                continue
            if response.status_code == 200:
                return _picture(body)
            code, status = error_code(body), response.status_code
            failure = f"answered {status}: {reason(body)}"
            self._uncharged(status, code, key)
            if status in OF_AN_IMAGE or code in MODERATED:
                self.refusals.refused(key, f"The image API {self.url} {failure}.", code)
            if status not in _RETRIED:
                break
            wait = max(wait, _seconds(response.headers.get("Retry-After")))
        raise UserError(f"The image API {self.url} {failure}.", REMEDY)

    def _uncharged(self, status: int, code: str | None, key: str) -> None:
        """Take back what a request did not cost: one that was turned away made no picture.

        Moderation may look at a picture after it was made, and a server that failed (5xx) or took
        too long (408) may have made it: these stay counted.
        """
        if 400 <= status < 500 and status != 408 and code not in MODERATED:
            cost = self.settings.cost_per_image - self.settings.cost_per_refusal
            self.ledger.give_back(cost, key, f"answered {status}")


def _fitted(image: Rgb, side: int) -> Rgb:
    factor = side / max(image.shape[:2])
    if factor >= 1:
        return image
    size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _bounded(response: httpx.Response) -> bytes:
    body = b""
    for chunk in response.iter_bytes():
        body += chunk
        if len(body) > _LARGEST_REPLY:
            break
    return body


def _picture(body: bytes) -> bytes:
    """The first image of an answer, checked. Raises `UserError`."""
    try:
        data = base64.b64decode(json.loads(body)["data"][0]["b64_json"], validate=True)
        images.decode(data)
    except (ValueError, KeyError, IndexError, TypeError, binascii.Error, ImageRefused) as error:
        raise UserError(
            f"The image API's answer holds no image: {error}.",
            "It must answer /images/edits with data[0].b64_json.",
        ) from error
    return data


def _seconds(header: str | None) -> float:
    try:
        return max(0.0, float(header or 0))
    except ValueError:
        return 0.0
