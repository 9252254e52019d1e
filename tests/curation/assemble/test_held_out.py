"""Which images training never sees, while the collection grows."""

from hypothesis import given
from hypothesis import strategies as st

from catalog.degradations import Degradation
from catalog.settings.pairs import Assemble
from curation.assemble.held_out import hold_out
from curation.select import Selected

HAZE = Degradation.HAZE


def held(count: int, seed: int, most: int = 10_000, share: float = 0.25) -> set[str]:
    """Groups that are held out of the first `count`, each an image with a real pair."""
    images = [Selected(f"image-{n}", f"group-{n}", (HAZE,)) for n in range(count)]
    pairs = [{"group": image.group, "origin": "real", "degradation": "haze"} for image in images]
    settings = Assemble(seed=seed, held_out_share=share, held_out_per_degradation=most)
    return {row["group"] for row in hold_out(images, pairs, settings)}


@given(
    seed=st.integers(0, 1000),
    first=st.integers(200, 600),
    more=st.integers(1, 400),
    most=st.integers(1, 200),
)
def test_what_was_trained_on_is_never_held_out_later(
    seed: int, first: int, more: int, most: int
) -> None:
    before, after = held(first, seed, most), held(first + more, seed, most)
    assert after & {f"group-{n}" for n in range(first)} <= before
    if most == 200 and len(after) < most:
        assert before <= after, "without the cap nothing leaves either"


@given(seed=st.integers(0, 10_000), count=st.integers(0, 40), share=st.floats(0.05, 0.6))
def test_of_a_few_groups_some_are_held_out_and_some_are_not(
    seed: int, count: int, share: float
) -> None:
    found = len(held(count, seed, share=share))
    assert found < max(count, 1)
    assert found > 0 or count < 2


def test_the_share_is_that_of_the_settings() -> None:
    found = [len(held(2000, seed)) / 2000 for seed in range(20)]
    assert 0.23 < sum(found) / len(found) < 0.27
    assert max(found) - min(found) < 0.08
