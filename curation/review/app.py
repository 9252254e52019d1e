"""The review server: a page and a small JSON API over the pairs of one work tree.

It reads images by id from the shards and nothing else from the disk. Changes need a header that
other sites cannot send, hosts are checked against DNS rebinding, and every address but loopback
needs a token.
"""

import hmac
import re
import threading
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from fastapi import Body, Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.middleware.trustedhost import TrustedHostMiddleware

from catalog.errors import ImageRefused
from catalog.images import encode_png
from catalog.settings.pairs import Pair
from catalog.shards import ShardStore
from curation.review.agreement import agreement
from curation.review.decisions import Decision, Decisions, by_pair
from curation.review.queue import Filter, Queue

_STATIC = Path(__file__).parent
_AHEAD = 3
_TYPES = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_SHOWN = (
    "pair_id",
    "degraded_id",
    "clean_id",
    "degradation",
    "teacher",
    "verdict",
    "reason",
    "severity_degraded",
    "severity_clean",
    "consistency",
    "shift",
)

_NAME = re.compile(r"[\w .@-]{1,64}")


def _reviewer(given: Annotated[str, Header(alias="X-Mendline-Reviewer", max_length=600)]) -> str:
    """Who reviews. A header is Latin-1, and names are not: the page sends it percent-encoded."""
    name = unquote(given)
    if not _NAME.fullmatch(name):
        raise HTTPException(
            422, "A reviewer's name has 1 to 64 letters, digits, spaces and . @ _ - in it."
        )
    return name


Reviewer = Annotated[str, Depends(_reviewer)]


class Said(BaseModel):
    """Body of a decision."""

    model_config = ConfigDict(extra="forbid")
    pair_id: str = Field(pattern=r"^[0-9a-f]{64}$")
    decision: Literal["accept", "reject", "unsure"]
    reason: str | None = Field(default=None, max_length=200)


def make_app(
    pairs: Sequence[dict[str, Any]],
    store: ShardStore,
    decisions: Decisions,
    settings: Pair,
    share: float,
    hosts: Sequence[str] = ("127.0.0.1", "localhost"),
    token: str | None = None,
) -> FastAPI:
    """The application. `share` of the pairs is shown to every reviewer."""
    app = FastAPI(title="Mendline review", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    queue = Queue(pairs, settings, share)
    # The table of pairs may have changed since: decisions on pairs that are gone stay in the file.
    stored_before = by_pair(decisions.all()).items()
    decided = {key: dict(said) for key, said in stored_before if key in queue.pairs}
    tasks = sorted({pair["degradation"] for pair in queue.pairs.values()})
    teachers = sorted({pair["teacher"] or "" for pair in queue.pairs.values()} - {""})
    # A shard may have more: images that were taken down since, or of no pair.
    sides = {pair[side] for pair in queue.pairs.values() for side in ("degraded_id", "clean_id")}
    lock = threading.Lock()  # of `decided`, the queue's claims and the store's cache

    @app.middleware("http")
    async def guard(request: Request, follow: Callable[[Request], Awaitable[Response]]) -> Response:
        if token is not None:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            given = given or request.cookies.get("mendline", "")
            given = given or request.query_params.get("token", "")
            if not hmac.compare_digest(given.encode(), token.encode()):
                return JSONResponse({"detail": "A token is needed."}, 401)
        # A form of another site cannot send this header without a preflight, which we never grant.
        if request.method != "GET" and "X-Mendline-Reviewer" not in request.headers:
            return JSONResponse({"detail": "The reviewer's header is missing."}, 403)
        response = await follow(request)
        response.headers.update(_HEADERS)
        if token is not None and request.query_params.get("token"):
            response.set_cookie("mendline", token, httponly=True, samesite="strict")
        return response

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse((_STATIC / "page.html").read_text("utf-8"))

    @app.get("/page.js")
    def script() -> Response:
        return Response((_STATIC / "page.js").read_bytes(), media_type="text/javascript")

    @app.get("/image/{image_id}")
    def image(image_id: str) -> Response:
        with lock:
            if image_id not in sides or image_id not in store:
                raise HTTPException(404, "There is no such image.")
            stored = store.get(image_id)
        kind = _TYPES.get(stored.format)
        try:
            # What browsers do not show (a TIFF) they are given as a PNG.
            content = stored.data if kind else encode_png(stored.decode())
        except ImageRefused as refused:
            raise HTTPException(415, f"The image cannot be decoded: {refused.what}") from None
        lasting = {"Cache-Control": "private, max-age=86400, immutable"}
        return Response(content, media_type=kind or "image/png", headers=lasting)

    @app.get("/api/next")
    def upcoming(
        reviewer: Reviewer,
        degradation: str | None = None,
        teacher: str | None = None,
        verdict: str | None = None,
        least: str | None = None,
        most: str | None = None,
    ) -> list[dict[str, Any]]:
        try:
            ends = [float(end) if end else None for end in (least, most)]
        except ValueError:
            raise HTTPException(422, "The severity gained is no number.") from None
        wanted = Filter(degradation or None, teacher or None, verdict or None, *ends)
        with lock:
            found = queue.upcoming(reviewer, decided, wanted, _AHEAD)
        return [{name: pair[name] for name in _SHOWN} for pair in found]

    @app.get("/api/pair/{pair_id}")
    def one(pair_id: str, reviewer: Reviewer) -> dict[str, Any]:
        pair = queue.pairs.get(pair_id)
        if pair is None:
            raise HTTPException(404, "There is no such pair.")
        mine = decided.get(pair_id, {}).get(reviewer)
        return {name: pair[name] for name in _SHOWN} | {"mine": mine and mine.decision}

    @app.post("/api/decisions")
    def decide(reviewer: Reviewer, said: Annotated[Said, Body()]) -> dict[str, bool]:
        if said.pair_id not in queue.pairs:
            raise HTTPException(404, "There is no such pair.")
        if said.decision == "reject" and not said.reason:
            raise HTTPException(422, "A rejection needs a reason.")
        decision = Decision(said.pair_id, reviewer, said.decision, said.reason)
        with lock:
            decisions.decide(decision)
            decided.setdefault(said.pair_id, {})[reviewer] = decision
        return {"stored": True}

    @app.post("/api/undo")
    def undo(reviewer: Reviewer) -> dict[str, str | None]:
        with lock:
            undone = decisions.undo(reviewer, queue.pairs)
            if undone is None:
                return {"pair_id": None, "mine": None}
            said = decided.setdefault(undone.pair_id, {})
            said.pop(reviewer, None)
            if undone.standing:
                said[reviewer] = undone.standing
            if not said:
                del decided[undone.pair_id]
        return {
            "pair_id": undone.pair_id,
            "mine": undone.standing.decision if undone.standing else None,
        }

    @app.get("/api/progress")
    def progress(reviewer: Reviewer) -> dict[str, Any]:
        with lock:
            mine = sum(reviewer in said for said in decided.values())
            team = sum(bool(said) for said in decided.values())
        return {
            "mine": mine,
            "team": team,
            "pairs": len(queue.pairs),
            "degradations": tasks,
            "teachers": teachers,
        }

    @app.get("/api/agreement")
    def agreed(reviewer: Reviewer) -> dict[str, object]:
        # Blind: a reviewer learns how far the team agrees, but not before deciding a pair who
        # said what of it.
        with lock:
            found = agreement(decided)
            seen = [key for key in found["disagreements"] if reviewer in decided[key]]  # type: ignore[attr-defined]
        return found | {"disagreements": seen}

    return app
