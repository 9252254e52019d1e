"""The search APIs, played by local servers that answer as their documentation says.

Field names and error replies are those of the APIs' documentation as of November 2026: Openverse
v1, the MediaWiki action API (formatversion 2), Pexels v1.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web as server
from conftest import outcomes
from multidict import CIMultiDict, CIMultiDictProxy
from web import Web, photo

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings.collect import Collect
from catalog.shards import ShardStore
from curation.collect.http import Reply
from curation.collect.run import collect
from curation.collect.sources import PagedSource
from curation.collect.sources.openverse import Openverse
from curation.collect.sources.pexels import Pexels, _spent_until
from curation.collect.sources.search import phrases_for
from curation.collect.sources.wikimedia import Wikimedia


class _Api:
    """Answers by `answer(query)`; the replies in `first` come before, in order."""

    def __init__(self, answer: Callable[[dict[str, str]], Any], *first: server.Response) -> None:
        self.answer = answer
        self.first = list(first)
        self.asked: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.at: list[float] = []

    async def __call__(self, request: server.Request) -> server.StreamResponse:
        self.asked.append(dict(request.query))
        self.headers.append(dict(request.headers))
        self.at.append(time.monotonic())
        if self.first:
            return self.first.pop(0)
        answer = self.answer(dict(request.query))
        return answer if isinstance(answer, server.Response) else server.json_response(answer)


def _with_search(settings: Collect, **changes: Any) -> Collect:
    search = settings.search.model_copy(update={"interval": 0.0, "limit": 30, **changes})
    return settings.model_copy(update={"search": search})


def _openverse(web: Web, total: int) -> Callable[[dict[str, str]], Any]:
    def answer(query: dict[str, str]) -> Any:
        page, size = int(query["page"]), int(query["page_size"])
        numbers = range((page - 1) * size, min(page * size, total))
        return {
            "result_count": total,
            "page_count": -(-total // size),
            "page_size": size,
            "page": page,
            "results": [
                {
                    "id": f"00000000-0000-4000-8000-{n:012d}",
                    "title": f"Fog {n}",
                    "indexed_on": "2024-01-01T00:00:00Z",
                    "foreign_landing_url": f"https://www.flickr.com/photos/x/{n}",
                    "url": f"{web.base}/{n}.jpg",
                    "creator": "Ada",
                    "creator_url": "https://www.flickr.com/photos/x",
                    "license": "by-sa",
                    "license_version": "2.0",
                    "license_url": "https://creativecommons.org/licenses/by-sa/2.0/",
                    "provider": "flickr",
                    "source": "flickr",
                    "category": "photograph",
                    "filetype": "jpg",
                    "mature": False,
                    "height": 120,
                    "width": 160,
                }
                for n in numbers
            ],
        }

    return answer


def _items(source: PagedSource, cursor: Any = None) -> list[Any]:
    return [item for items, _ in source.pages(cursor) for item in items]


def test_openverse_is_paged_and_its_provenance_reaches_the_shards(
    web: Web, settings: Collect, layout: Layout
) -> None:
    for n in range(25):
        web.serve(f"/{n}.jpg", photo(n))
    api = _Api(_openverse(web, 25))
    asked = _with_search(settings, openverse_url=web.route("/v1/images/", api))
    summary = collect([Openverse(["foggy road"], asked)], layout, asked)
    assert summary.outcomes == {"stored": 25}
    assert [query["page"] for query in api.asked] == ["1", "2"]
    assert api.asked[0]["q"] == "foggy road"
    assert api.asked[0]["license"] == "by,by-sa,cc0,pdm"
    assert api.asked[0]["page_size"] == "20"
    assert api.headers[0]["User-Agent"] == settings.user_agent
    assert "Authorization" not in api.headers[0]
    store = ShardStore(layout.raw)
    assert dict(store.get(store.ids()[0]).provenance) | {"url": None, "source_page": None} == {
        "url": None,
        "source_page": None,
        "source": "openverse",
        "query": "foggy road",
        "license": "by-sa 2.0",
        "creator": "Ada",
    }


def test_a_throttled_api_is_asked_again_after_its_time(web: Web, settings: Collect) -> None:
    said = {"detail": "Request was throttled. Expected available in 1 second."}
    api = _Api(
        _openverse(web, 5),
        server.json_response(said, status=429, headers={"Retry-After": "1"}),
        server.Response(status=502, text="<html>bad gateway</html>"),
    )
    asked = _with_search(settings, openverse_url=web.route("/v1/images/", api))
    assert len(_items(Openverse(["fog"], asked))) == 5
    assert len(api.asked) == 3
    assert api.at[1] - api.at[0] > 0.95


def test_a_pace_slower_than_the_longest_delay_is_kept(web: Web, settings: Collect) -> None:
    api = _Api(_openverse(web, 25))
    settings = settings.model_copy(update={"max_crawl_delay": 0.1})
    asked = _with_search(settings, interval=0.3, openverse_url=web.route("/v1/images/", api))
    began = time.monotonic()
    assert len(_items(Openverse(["fog"], asked))) == 25
    assert len(api.at) == 2
    assert api.at[1] - began > 0.3


def test_an_api_that_asks_for_more_than_the_longest_delay_is_left_alone(
    web: Web, settings: Collect
) -> None:
    busy = server.json_response({}, status=429, headers={"Retry-After": "61"})
    api = _Api(_openverse(web, 5), busy)
    asked = _with_search(settings, openverse_url=web.route("/v1/images/", api))
    with pytest.raises(UserError, match="it answers 429"):
        _items(Openverse(["fog"], asked))
    assert len(api.at) == 1


@pytest.mark.parametrize(
    ("status", "said", "remedy"),
    [
        (401, {"detail": "Authentication credentials were not provided."}, "key or token"),
        (400, {"detail": {"license": ["License 'x' does not exist."]}}, "collect.search"),
    ],
)
def test_what_asking_again_does_not_mend_is_told(
    web: Web, settings: Collect, status: int, said: Any, remedy: str
) -> None:
    api = _Api(lambda _: server.json_response(said, status=status))
    asked = _with_search(settings, openverse_url=web.route("/v1/images/", api))
    with pytest.raises(UserError) as caught:
        _items(Openverse(["fog"], asked))
    assert str(status) in caught.value.what
    assert remedy in caught.value.remedy
    assert len(api.asked) == 1


def test_the_limit_is_for_each_phrase_and_a_cursor_goes_on_in_the_middle(
    web: Web, settings: Collect
) -> None:
    api = _Api(_openverse(web, 1000))
    asked = _with_search(settings, limit=30, openverse_url=web.route("/v1/images/", api))
    pages = list(Openverse(["fog", "smog"], asked).pages(None))
    assert [len(items) for items, _ in pages] == [20, 10, 20, 10]
    for done, (_, cursor) in enumerate(pages, 1):
        rest = list(Openverse(["fog", "smog"], asked).pages(cursor))
        assert [items for items, _ in rest] == [items for items, _ in pages[done:]]


def test_a_token_from_the_environment_is_sent_and_never_recorded(
    web: Web, settings: Collect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENVERSE_TOKEN", "very-secret")
    api = _Api(_openverse(web, 3))
    source = Openverse(["fog"], _with_search(settings, openverse_url=web.route("/v1/images/", api)))
    assert len(_items(source)) == 3
    assert api.headers[0]["Authorization"] == "Bearer very-secret"
    assert "secret" not in str(source.describe())


def _commons(web: Web) -> Callable[[dict[str, str]], Any]:
    def answer(query: dict[str, str]) -> Any:
        offset = int(query.get("gsroffset", 0))
        pages = [
            {
                "pageid": 1000 + n,
                "ns": 6,
                "title": f"File:Fog {n}.jpg",
                "index": n + 1,
                "imagerepository": "local",
                "imageinfo": [
                    {
                        "url": f"{web.base}/{n}.jpg",
                        "descriptionurl": f"https://commons.wikimedia.org/wiki/File:Fog_{n}.jpg",
                        "descriptionshorturl": "https://commons.wikimedia.org/w/index.php?curid=1",
                        "extmetadata": {
                            "LicenseShortName": {
                                "value": "CC BY-SA 4.0",
                                "source": "commons-desc-page",
                                "hidden": "",
                            },
                            "Artist": {
                                "value": '<a href="//x" title="User:Ada">Ada &amp; Bo</a>',
                                "source": "commons-desc-page",
                            },
                        },
                    }
                ],
            }
            for n in reversed(range(offset, offset + 10))
        ]
        pages.append({"ns": 6, "title": "File:Gone.jpg", "missing": True})
        more = {"continue": {"gsroffset": offset + 10, "continue": "gsroffset||"}}
        return {"batchcomplete": True, **(more if offset < 20 else {}), "query": {"pages": pages}}

    return answer


def test_commons_is_followed_by_its_continue_and_credits_are_plain_text(
    web: Web, settings: Collect
) -> None:
    lag = {
        "error": {
            "code": "maxlag",
            "info": "Waiting for 10.0.0.1: 7 seconds lagged.",
            "host": "10.0.0.1",
            "lag": 7,
        }
    }
    api = _Api(_commons(web), server.json_response(lag, headers={"Retry-After": "1"}))
    asked = _with_search(settings, wikimedia_url=web.route("/w/api.php", api))
    items = _items(Wikimedia(["fog"], asked))
    assert [item.url for item in items] == [f"{web.base}/{n}.jpg" for n in range(30)]
    assert (items[0].license, items[0].creator) == ("CC BY-SA 4.0", "Ada & Bo")
    assert items[0].source_page == "https://commons.wikimedia.org/wiki/File:Fog_0.jpg"
    assert [query.get("gsroffset") for query in api.asked] == [None, None, "10", "20"]
    assert api.asked[0]["gsrnamespace"] == "6"
    assert api.at[1] - api.at[0] > 0.95

    refusing = _Api(lambda _: {"error": {"code": "badvalue", "info": "Unrecognized value"}})
    asked = _with_search(settings, wikimedia_url=web.route("/w/bad.php", refusing))
    with pytest.raises(UserError, match="badvalue"):
        _items(Wikimedia(["fog"], asked))


def _pexels(web: Web, remaining: list[int], reset: int) -> Callable[[dict[str, str]], Any]:
    def answer(query: dict[str, str]) -> Any:
        page = int(query["page"])
        content = {
            "total_results": 12,
            "page": page,
            "per_page": 80,
            "photos": [
                {
                    "id": n,
                    "width": 160,
                    "height": 120,
                    "url": f"https://www.pexels.com/photo/fog-{n}/",
                    "photographer": "Bo",
                    "photographer_url": "https://www.pexels.com/@bo",
                    "photographer_id": 7,
                    "avg_color": "#978E82",
                    "src": {
                        "original": f"{web.base}/{n}.jpg",
                        "large2x": f"{web.base}/{n}.jpg?auto=compress&dpr=2",
                        "tiny": f"{web.base}/{n}.jpg?w=280",
                    },
                    "liked": False,
                    "alt": "fog",
                }
                for n in range((page - 1) * 4, page * 4)
            ],
        }
        if page < 3:
            content["next_page"] = f"https://api.pexels.com/v1/search/?page={page + 1}&query=fog"
        return server.json_response(
            content,
            headers={
                "X-Ratelimit-Limit": "20000",
                "X-Ratelimit-Remaining": str(remaining.pop(0)),
                "X-Ratelimit-Reset": str(reset),
            },
        )

    return answer


def test_pexels_stops_at_its_quota_and_the_same_command_goes_on(
    web: Web, settings: Collect, layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("PEXELS_API_KEY", raising=False)
    with pytest.raises(UserError, match="PEXELS_API_KEY"):
        Pexels(["fog"], settings)
    monkeypatch.setenv("PEXELS_API_KEY", "very-secret")
    for n in range(12):
        web.serve(f"/{n}.jpg", photo(n))
    api = _Api(_pexels(web, [1, 0, 19999], int(time.time()) + 3600))
    asked = _with_search(settings, pexels_url=web.route("/v1/search", api))
    with pytest.raises(UserError, match="quota"):
        collect([Pexels(["fog"], asked)], layout, asked)
    assert [query["page"] for query in api.asked] == ["1", "2"]
    summary = collect([Pexels(["fog"], asked)], layout, asked)  # a new process knows no quota
    assert [query["page"] for query in api.asked] == ["1", "2", "3"]
    assert summary.outcomes == {"stored": 12}
    rows = list(outcomes(summary.folder).values())
    assert {row["license"] for row in rows} == {"Pexels License"}
    assert {row["creator"] for row in rows} == {"Bo"}
    assert api.headers[0]["Authorization"] == "very-secret"
    written = (summary.folder / "snapshot.json").read_text()
    assert "very-secret" not in written


@pytest.mark.parametrize("odd", ["²", "9" * 5000, "-1", "", "1e9"])
def test_odd_quotas_of_pexels_are_no_quotas(odd: str) -> None:
    for remaining, reset in ((odd, "1"), ("0", odd)):
        named = {"X-Ratelimit-Remaining": remaining, "X-Ratelimit-Reset": reset}
        reply = Reply("http://a.test", 200, CIMultiDictProxy(CIMultiDict(named)))
        assert _spent_until(reply) is None


def test_phrases_are_those_of_the_degradations(settings: Collect) -> None:
    assert phrases_for(["haze"], settings) == list(settings.search.phrases["haze"])
    assert len(phrases_for([], settings)) >= 9 * 3
    with pytest.raises(UserError, match="Did you mean haze"):
        phrases_for(["hase"], settings)
