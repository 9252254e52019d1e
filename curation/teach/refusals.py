"""Whether an API refuses an image, or everything.

Both come as status 400. An image is believed to be the cause once the server has answered another
one after it; until then its refusal is only remembered, and a later run asks again. Where all that
was asked first is refused, or too many in a row, the fault is taken for that of the settings.
"""

import json
import os
import threading
from pathlib import Path

from catalog.errors import ImageRefused, UserError
from catalog.files import atomic_file

REFUSED = "refused"
KEY_VARIABLE = "MENDLINE_IMAGE_API_KEY"

MODERATED = {"moderation_blocked", "content_policy_violation", "content_filter", "contentFilter"}
"""Error codes of one image that a provider will not edit: no fault of the settings."""
OF_AN_IMAGE = {400, 403, 413, 415, 422}
"""Statuses that may be about the image; others but 200 are about the settings or the server."""
_OF_THE_SETTINGS = {
    "billing_hard_limit_reached",
    "billing_not_active",
    "insufficient_quota",
    "invalid_api_key",
    "model_not_found",
}
"""Error codes of such a status that are about no image."""
FIRST, IN_A_ROW = 5, 50
"""Refusals without any success that end the stage, and those in a row after one. If half of all
images were refused rightly, 50 in a row would come once in 10^15."""
_LONGEST = 300


class Refusals:
    """Of one server and model; `folder` keeps what was refused, by the key of a request."""

    def __init__(self, folder: Path, succeeded: bool) -> None:
        self.folder = folder
        self._succeeded = succeeded
        self._waiting: dict[str, str] = {}
        self._row = 0
        self._lock = threading.Lock()

    def check(self, key: str) -> None:
        """Raise `ImageRefused` with what the server said to the same request in an earlier run."""
        path = self._path(key)
        if path.exists():
            raise ImageRefused(REFUSED, path.read_text("utf-8"))

    def success(self) -> None:
        """The server has answered with a picture: what it refused before was about the images."""
        with self._lock:
            self._succeeded, self._row = True, 0
            waiting, self._waiting = self._waiting, {}
        for key, said in waiting.items():
            self._keep(key, said)

    def refused(self, key: str, said: str, code: str | None) -> None:
        """Raise `ImageRefused`, or `UserError` where it is not about this image."""
        if code in MODERATED:
            self._keep(key, said)
            raise ImageRefused(REFUSED, said)
        with self._lock:
            self._waiting[key] = said
            self._row += 1
            many = self._row >= (IN_A_ROW if self._succeeded else FIRST)
            row = self._row
        if code in _OF_THE_SETTINGS:
            raise UserError(said, REMEDY)
        if many:
            raise UserError(
                f"{said} It has refused {row} images in a row"
                + ("." if self._succeeded else ", and answered none."),
                "Check the name of its model, its address, "
                f"{KEY_VARIABLE} and teach.api.max_side; then run the same command again: what was "
                "made is kept, and these images are asked about again.",
            )
        raise ImageRefused(REFUSED, said)

    def _keep(self, key: str, said: str) -> None:
        with atomic_file(self._path(key)) as temporary:
            temporary.write_text(said, "utf-8")

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.refused"


REMEDY = (
    f"Check its address, the name of its model and {KEY_VARIABLE}, then run the same command "
    "again; what was made is kept."
)


def reason(body: bytes) -> str:
    """What the server says, on one line, without the key that some repeat."""
    text = body[:20_000].decode(errors="replace")
    try:
        error = json.loads(body)["error"]
        found = [str(error[name]) for name in ("message", "code") if error.get(name)]
        text = f"{found[0]} ({found[1]})" if len(found) == 2 else found[0]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        pass
    if secret := os.environ.get(KEY_VARIABLE):
        text = text.replace(secret, "***")
    return " ".join(text.split())[:_LONGEST]


def error_code(body: bytes) -> str | None:
    """The `error.code` of an answer."""
    try:
        return str(json.loads(body)["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return None
