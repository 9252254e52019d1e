"""How long a reviewer waits for the next pair, in a real Chromium, with 10,000 pairs in the queue.

    python benchmarks/review_latency.py [--pairs 10000] [--decisions 60] [--width 1280] [--look 500]

Two reviewers decide pair after pair by keyboard in two pages of one server, each after looking for
`--look` milliseconds (0 is a reviewer who never looks). What is measured in the page is the time
from the key press to the frame with both images of the next pair. Each pair is two JPEG of its own
mixture out of 400 images, so that the browser's cache does not hold what comes next.
"""

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import httpx
import numpy as np
from skimage import data

sys.path.insert(0, str(Path(__file__).parents[1]))
from catalog import images, schemas
from catalog.layout import Layout
from catalog.pairs import pair_id
from catalog.shards import ShardWriter
from catalog.tables import write_table
from tests.evaluation.browser import Page, chromium

_IMAGES = 200
_WATCH = """
window.waits = [];
addEventListener('keydown', (event) => { window.pressed = event.timeStamp; }, true);
new MutationObserver(() => { window.waits.push(performance.now() - window.pressed); })
    .observe(document.body, {attributes: true, attributeFilter: ['data-ready']});
document.body.dataset.ready
"""
_CHANGED = """new Promise((done) => {
    const look = () => { if (window.waits.length >= COUNT) done(true); };
    new MutationObserver(look).observe(document.body, {attributes: true});
    look();
})"""


def make_tree(root: Path, pairs: int, width: int) -> Layout:
    """A work tree with so many pairs to review."""
    layout = Layout(root)
    shutil.copy(Path(__file__).parents[1] / "profiles/embedded.yaml", layout.params)
    photo = cv2.resize(data.astronaut(), (2 * width, 2 * width), interpolation=cv2.INTER_CUBIC)
    rng = np.random.default_rng(0)
    height = width * 3 // 4
    sides: list[list[str]] = [[], []]
    with ShardWriter(layout.raw / "one") as raw, ShardWriter(layout.targets) as targets:
        for number in range(2 * _IMAGES):
            top, left = rng.integers(0, [2 * width - height, width])
            part = photo[top : top + height, left : left + width]
            noisy = cv2.add(part, rng.integers(0, 12, part.shape, np.uint8))
            encoded = cv2.imencode(".jpg", cv2.cvtColor(noisy, cv2.COLOR_RGB2BGR))[1].tobytes()
            writer = targets if number % 2 else raw
            sides[number % 2].append(writer.add(encoded, images.read_header(encoded)))
    rows = []
    for number in range(pairs):
        before = sides[0][number % _IMAGES]
        after = sides[1][(number + number // _IMAGES) % _IMAGES]
        rows.append(
            {
                "pair_id": pair_id(before, after, "haze"),
                "degraded_id": before,
                "clean_id": after,
                "degradation": "haze",
                "origin": "real",
                "teacher": "classical",
                "verdict": "keep",
                "reason": "sound",
                "severity_degraded": 2.0,
                "severity_clean": float(rng.uniform(2.4, 4.5)),
                "consistency": 0.1,
                "shift": 0.0,
            }
        )
    write_table(layout.real_pairs, rows, schemas.PAIRS)
    return layout


def review(page: Page, url: str, reviewer: str, decisions: int, look: int) -> list[float]:
    """Milliseconds from each key press to the next pair on the screen."""
    page.events.clear()
    for domain in ("Page", "Runtime"):
        page.send(f"{domain}.enable")
    page.send("Page.navigate", url=f"{url}/?reviewer={reviewer}")
    page.wait_for("Page.loadEventFired")
    page.run(
        "new Promise((done) => { const look = () => document.body.dataset.ready && done(true);"
        "new MutationObserver(look).observe(document.body, {attributes: true}); look(); })"
    )
    page.run(_WATCH)
    for number in range(decisions):
        page.run(f"new Promise((done) => setTimeout(() => done(true), {look}))")
        page.press("a", 65, "a")
        page.run(_CHANGED.replace("COUNT", str(number + 1)))
    found: list[float] = page.run("window.waits")
    return found


def main() -> None:
    """Print median and 95th percentile."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--decisions", type=int, default=60)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--look", type=int, default=500)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        layout = make_tree(Path(place), options.pairs, options.width)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        code = "from flows.cli import main; main()"
        command = [sys.executable, "-c", code, "review-pairs", "--port", str(port), "--share", "1"]
        server = subprocess.Popen([*command, "--root", str(layout.root)])
        url = f"http://127.0.0.1:{port}"
        try:
            for _ in range(600):
                try:
                    httpx.get(url, timeout=10)
                    break
                except httpx.TransportError:
                    time.sleep(0.2)
            with (
                chromium(Path(place) / "ann") as first,
                chromium(Path(place) / "bob") as second,
            ):
                waits = {}
                for reviewer, page in (("ann", first), ("bob", second)):
                    waits[reviewer] = review(page, url, reviewer, options.decisions, options.look)
        finally:
            server.kill()
            server.wait()
    for reviewer, found in waits.items():
        middle, high, most = np.percentile(found, [50, 95, 100])
        print(
            f"{options.pairs} pairs, {reviewer}, {len(found)} decisions: "
            f"median {middle:.0f} ms, 95 % {high:.0f} ms, longest {most:.0f} ms"
        )


if __name__ == "__main__":
    main()
