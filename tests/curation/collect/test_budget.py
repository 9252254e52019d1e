"""The bound on bytes in flight."""

import asyncio
import datetime
import random
from collections.abc import Callable
from typing import Any

from aiohttp import web as server
from conftest import outcomes
from hypothesis import given, settings
from hypothesis import strategies as st
from web import Web, photo

from catalog.layout import Layout
from catalog.settings.collect import Collect
from curation.collect.budget import ByteBudget, Share
from curation.collect.run import collect


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 100), min_size=1, max_size=60))
def test_the_budget_is_never_exceeded_and_everyone_gets_a_turn(seed: int, sizes: list[int]) -> None:
    rng = random.Random(seed)
    budget = ByteBudget(100)
    done: list[int] = []

    async def use(number: int, size: int) -> None:
        await budget.take(size)
        try:
            for _ in range(rng.randint(0, 5)):
                await asyncio.sleep(0)
        finally:
            budget.give(size)
        done.append(number)

    async def run() -> int:
        tasks = [asyncio.create_task(use(n, size)) for n, size in enumerate(sizes)]
        await asyncio.sleep(0)
        victims = [task for task in tasks if rng.random() < 0.2 and task.cancel()]
        await asyncio.gather(*tasks, return_exceptions=True)
        return len([task for task in victims if task.cancelled()])

    cancelled = asyncio.run(asyncio.wait_for(run(), 10))
    assert len(done) == len(sizes) - cancelled
    assert budget.most_taken <= 100
    assert budget.taken == 0


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.lists(st.tuples(st.integers(1, 100), st.booleans()), min_size=1, max_size=40),
)
def test_bodies_that_grow_never_wait_for_each_other_for_ever(
    seed: int, sizes: list[tuple[int, bool]]
) -> None:
    rng = random.Random(seed)
    budget = ByteBudget(100)
    done: list[int] = []

    async def use(number: int, most: int, grows: bool) -> None:
        if not grows:
            await budget.take(most)
            try:
                await asyncio.sleep(0)
            finally:
                budget.give(most)
            done.append(number)
            return
        share, kept = Share(most), 0
        try:
            while share.held < most and rng.random() < 0.95:
                await budget.grow(share, rng.randint(1, most - share.held))
                await asyncio.sleep(0)
            kept = rng.randint(0, share.held)
        finally:
            budget.settle(share, kept)
        try:
            await asyncio.sleep(0)
        finally:
            budget.give(kept)
        done.append(number)

    async def run() -> int:
        tasks = [asyncio.create_task(use(n, *size)) for n, size in enumerate(sizes)]
        for _ in range(rng.randint(1, 5)):
            await asyncio.sleep(0)
        victims = [task for task in tasks if rng.random() < 0.2 and task.cancel()]
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(result) for result in results} <= {type(None), asyncio.CancelledError}
        return len([task for task in victims if task.cancelled()])

    cancelled = asyncio.run(asyncio.wait_for(run(), 10))
    assert len(done) == len(sizes) - cancelled
    assert budget.most_taken <= 100
    assert budget.taken == 0


def test_slow_bodies_of_any_length_hold_what_came_of_them_only(
    web: Web, settings: Collect, layout: Layout, url_list: Callable[..., Any]
) -> None:
    """More than would fit, if each held all that it may come to hold."""
    here, slow_ones = asyncio.Event(), 0

    async def slow(request: server.Request) -> server.StreamResponse:
        nonlocal slow_ones
        slow_ones += 1
        if slow_ones == 8:
            here.set()
        response = server.StreamResponse()
        if "sized" in request.path:
            response.content_length = 290_000
        await response.prepare(request)
        while True:
            await response.write(b"x" * 100)
            await asyncio.sleep(0.1)

    async def quick(request: server.Request) -> server.StreamResponse:
        await here.wait()
        response = server.StreamResponse()
        await response.prepare(request)
        await response.write(photo(1))
        return response

    tight = settings.model_copy(
        update={"bytes_in_flight": 2_400_000, "max_bytes": 600_000, "host_concurrency": 32,
                "total_timeout": 2, "attempts": 1}
    )  # fmt: skip
    held = [web.route(f"/{kind}{n}", slow) for kind in ("sized", "open") for n in range(4)]
    last = web.route("/1.jpg", quick)
    summary = collect([url_list(*held, last)], layout, tight)
    assert summary.outcomes == {"stored": 1, "timeout": 8}
    assert summary.folder is not None
    at = {url: row["fetched_at"] for url, row in outcomes(summary.folder).items()}
    assert at[last] + datetime.timedelta(seconds=1) < min(at[url] for url in held)


def test_bodies_of_unknown_length_wait_for_memory_and_all_arrive(
    web: Web, settings: Collect, layout: Layout, url_list: Callable[..., Any]
) -> None:
    async def chunked(request: server.Request) -> server.StreamResponse:
        response = server.StreamResponse()
        await response.prepare(request)
        body = photo(int(request.path.strip("/")))
        for start in range(0, len(body), 1000):
            await response.write(body[start : start + 1000])
        return response

    tight = settings.model_copy(
        update={"max_bytes": 20_000, "bytes_in_flight": 20_000, "host_concurrency": 16}
    )
    summary = collect([url_list(*[web.route(f"/{n}", chunked) for n in range(40)])], layout, tight)
    assert summary.outcomes == {"stored": 40}
