"""The small web: the same bytes each time, real faults over real HTTP, held-out photos kept out."""

import hashlib
import http.client
import io
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from catalog.degradations import Degradation
from catalog.errors import ImageRefused
from catalog.images import decode, read_header
from flows.demo_web.photos import PHOTOS, tiles
from flows.demo_web.server import Web, serve
from flows.demo_web.site import Site, Size, build
from flows.demo_web.weather import MODELS

KINDS = (
    *("exact", "re-encoded", "resized", "cropped", "thumbnail", "watermarked", "planted"),
    *("closed-by-robots", "dead", "moved", "to-private-address", "redirect-loop"),
    *("html-as-image", "truncated", "cut-off", "bomb", "opted-out", "slow", "robots-broken"),
)


@pytest.fixture(scope="module")
def site() -> Site:
    return build()


@pytest.fixture(scope="module")
def web(site: Site) -> Iterator[Web]:
    with serve(site) as web:
        yield web


def _digest(site: Site) -> str:
    parts = [f"{page.key}".encode() + page.body for page in site.pages.values()]
    return hashlib.sha256(b"".join([*parts, *site.benchmark.values()])).hexdigest()


def test_the_same_seed_gives_the_same_web_and_another_seed_another() -> None:
    small = Size(clean=2, degraded=1, copies=1, benchmark=1)
    assert _digest(build(1, small)) == _digest(build(1, small))
    assert _digest(build(1, small)) != _digest(build(2, small))


def test_the_web_has_what_the_demo_promises(site: Site, web: Web) -> None:
    rows = web.rows()
    assert len({row["url"] for row in rows}) == len(rows) >= 200
    kinds = Counter(page.kind for page in site.pages.values())
    for kind in KINDS:
        assert kinds[kind] >= 1, kind
    per_task = Counter(name.split("/")[0] for name in site.benchmark)
    assert per_task == {degradation.value: 6 for degradation in Degradation}


def test_held_out_photos_are_only_on_the_web_as_planted_copies(site: Site) -> None:
    held_out = {photo.name for photo in PHOTOS if photo.held_out}
    assert {name.split("/")[1].rsplit("-", 1)[0] for name in site.benchmark} == held_out
    for page in site.pages.values():
        if any(name in page.path for name in held_out):
            assert page.kind == "planted"


@pytest.mark.parametrize("photo", PHOTOS, ids=lambda photo: photo.name)
def test_every_photo_is_there_with_its_terms(photo: object) -> None:
    image = photo.load()  # type: ignore[attr-defined]
    assert min(image.shape[:2]) >= 300
    assert photo.license  # type: ignore[attr-defined]
    assert photo.creator  # type: ignore[attr-defined]
    parts = tiles(image, 200)
    assert min(min(part.shape[:2]) for part in parts) >= 200


@pytest.mark.parametrize("degradation", list(Degradation))
def test_degradations_are_seeded_and_grow_with_strength(degradation: Degradation) -> None:
    clean = tiles(next(p for p in PHOTOS if p.name == "china").load(), 200)[4]
    model = MODELS[degradation]

    def damage(strength: float) -> float:
        image = model(clean, strength, np.random.default_rng(5))
        assert image.shape == clean.shape
        assert image.dtype == np.uint8
        return float(np.abs(image.astype(int) - clean).mean())

    assert damage(0.5) == damage(0.5)
    assert 0.5 < damage(0.1) < damage(1.0)


def test_photos_come_over_http_as_they_are(site: Site, web: Web) -> None:
    pages = [page for page in site.pages.values() if page.kind in ("photo", "resized", "cropped")]
    for page in pages[::10]:
        with urllib.request.urlopen(web.url(page)) as answer:
            assert answer.headers["Content-Type"] == page.content_type
            assert decode(answer.read()).ndim == 3


def test_faults_are_real(site: Site, web: Web) -> None:
    by_kind = {page.kind: page for page in site.pages.values()}
    with pytest.raises(ImageRefused, match=r"bomb|pixels"):
        read_header(site.pages["photos/bombs/pixels.png"].body)
    for kind, reason in (("html-as-image", "not-an-image"), ("truncated", "broken-image")):
        with urllib.request.urlopen(web.url(by_kind[kind])) as answer:
            assert answer.headers["Content-Type"].startswith("image/")
            with pytest.raises(ImageRefused) as caught:
                decode(answer.read())
            assert caught.value.reason == reason
    with pytest.raises(http.client.IncompleteRead):
        urllib.request.urlopen(web.url(by_kind["cut-off"])).read()
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(web.url(site.pages["closed/0.jpg"]))
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(web.url(site.pages["photos/gone/0.jpg"]))
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(web.url(by_kind["slow"]), timeout=1).read()
    with urllib.request.urlopen(web.url(by_kind["moved"])) as answer:
        assert Image.open(io.BytesIO(answer.read())).size[0] >= 200


def test_the_same_ports_are_taken_again(site: Site) -> None:
    with serve(site) as first:
        ports = first.ports
    with serve(site, ports) as second:
        assert second.ports == ports
        with serve(site, ports) as third:
            assert set(third.ports.values()).isdisjoint(
                port for host, port in ports.items() if host != "closed"
            )
