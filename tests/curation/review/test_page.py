"""The review page in a real Chromium."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.curation.review.serving import Running
from tests.evaluation.browser import CHROMIUM, Page, chromium

READY = "document.body.dataset.ready"
PIXELS = "['before', 'after'].map((id) => $(id).toDataURL())"


def until(page: Page, condition: str) -> Any:
    """Wait in the page for a condition; it is looked at when the document changes."""
    return page.run(
        f"""new Promise((done) => {{
            const look = () => {{ const found = {condition}; if (found) done(found); }};
            new MutationObserver(look).observe(document,
                {{subtree: true, childList: true, attributes: true, characterData: true}});
            look();
        }})"""
    )


def open_page(page: Page, running: Running, reviewer: str) -> str:
    """Go to the page; the id of the first pair, once it is on the screen."""
    page.events.clear()
    for domain in ("Page", "Runtime"):
        page.send(f"{domain}.enable")
    page.send("Page.navigate", url=f"{running.url}/?reviewer={reviewer}")
    page.wait_for("Page.loadEventFired")
    return str(until(page, READY))


def decide(page: Page, key: str, code: int, before: str) -> str:
    """Press a key; the id of the pair that is shown then."""
    page.press(key, code, key)
    return str(until(page, f"{READY} !== '{before}' && {READY}"))


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on this machine")
def test_two_people_review_by_keyboard_while_the_server_is_killed(
    running: Running, tmp_path: Path
) -> None:
    with chromium(tmp_path / "one") as ann, chromium(tmp_path / "two") as bob:
        first = open_page(ann, running, "ann")
        assert open_page(bob, running, quote("Łukasz")) == first
        # Both sides are drawn, and what is drawn are their pixels.
        sizes = "['before', 'after'].map((id) => [$(id).width, $(id).height])"
        assert ann.run(sizes) == [[64, 48], [64, 48]]
        second = decide(ann, "A", 65, first)  # as with Caps Lock
        ann.press("r", 82, "r")
        until(ann, "$('why').open")
        third = decide(ann, "2", 50, second)
        assert decide(ann, "u", 85, third) == second
        until(ann, "$('progress').textContent.startsWith('you 1,')")
        # A decision that was changed: undo shows the pair with the earlier one, which stands.
        assert decide(ann, "b", 66, second) == first
        assert decide(ann, "s", 83, first) == second, "what was on the screen comes next"
        ann.press("u", 85, "u")
        until(ann, "$('message').textContent === 'taken back, you said accept'")
        assert until(ann, f"{READY} === '{first}' && {READY}") == first
        until(ann, "$('progress').textContent.startsWith('you 1,')")
        assert decide(ann, "a", 65, first) == second
        assert decide(bob, "s", 83, first) == second
        until(bob, "$('progress').textContent.startsWith('you 1, team 1')")
        ann.press("ArrowRight", 39)
        assert "55" in ann.run("$('stage').style.cssText")
        placed = "['before', 'after'].map((id) => $(id).style.transform)"
        ann.press("+", 187, "+")
        zoomed = ann.run(placed)
        assert "scale(1.5)" in zoomed[0]
        assert zoomed[0] == zoomed[1]
        ann.press("0", 48, "0")
        assert ann.run(placed) == ["translate(0px, 0px) scale(1)"] * 2

        held = "{key: 'a', repeat: true, bubbles: true}"
        ann.run(f"document.body.dispatchEvent(new KeyboardEvent('keydown', {held}))")
        ann.run("last.then(() => true)")
        assert ann.run(READY) == second, "a key that is held down judges pairs unseen"

        running.kill()
        drawn = ann.run(PIXELS)
        ann.press("a", 65, "a")
        until(ann, "$('message').textContent.startsWith('Not stored')")
        assert until(ann, f"{READY} === '{second}' && {READY}") == second
        assert ann.run(PIXELS) == drawn, "another pair's pictures are on the screen"
        again = Running(tmp_path, "--share", "1", port=running.port)
        try:
            decide(ann, "a", 65, second)
            until(ann, "$('progress').textContent.startsWith('you 2, team 2')")
            assert decide(bob, "a", 65, second) == third
            assert again.call("GET", "/api/agreement").json()["shared_pairs"] == 2
            ann.run("show({...shown, pair_id: 'f'.repeat(64), degraded_id: '0'.repeat(64)})")
            until(ann, "$('message').textContent.endsWith('cannot be read.')")
            ann.press("a", 65, "a")
            until(ann, "$('message').textContent.startsWith('What cannot be seen')")
        finally:
            again.kill()
