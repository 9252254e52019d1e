"""The bound on bytes in flight."""

import asyncio
import random
from collections.abc import Callable
from typing import Any

from aiohttp import web as server
from hypothesis import given, settings
from hypothesis import strategies as st
from web import Web, photo

from catalog.layout import Layout
from catalog.settings.collect import Collect
from curation.collect.budget import ByteBudget
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
