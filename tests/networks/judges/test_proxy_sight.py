"""What the judge sees through a network that knows photos; its weights come in a package."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from catalog.degradations import Degradation
from catalog.errors import UserError
from catalog.images import Rgb
from networks.degraders import load_degrader
from networks.judges.proxy import head, sight
from networks.judges.proxy.fit.heads import Data
from networks.judges.proxy.fit.within import COMPONENTS, fit_kernel, fit_sight, sighted
from networks.judges.proxy.head import load_heads
from networks.judges.proxy.judge import ProxyJudge
from networks.judges.proxy.kernel import Kernel
from networks.judges.proxy.sight import (
    LEVELS,
    Sight,
    levels_of,
    load_backbone,
    load_sight,
    write_sight,
)
from networks.judges.proxy.views import look


def _data(rng: np.random.Generator, count: int = 500) -> Data:
    """Blur whose severity shows in the levels alone; measures and clean versions say nothing."""
    drawn = rng.uniform(1, 5, count)
    kinds = np.where(np.arange(count) % 5 == 4, "clean", "blur")
    levels = rng.normal(0, 1, (count, LEVELS))
    levels[:, :300] += drawn[:, None]
    measures = {name: rng.normal(0, 1, count) for name in ("glare_fall", "luma_p50")}
    numbers = np.arange(count)
    return Data(measures, {Degradation.BLUR: drawn}, kinds, numbers, numbers, drawn, levels)


@pytest.mark.parametrize("size", [(32, 32), (33, 511), (321, 481)])
def test_views_of_any_size_have_finite_levels(size: tuple[int, int]) -> None:
    for value in (0.0, 1.0):
        found = levels_of(np.full((*size, 3), value, np.float32))
        assert found.shape == (LEVELS,)
        assert np.isfinite(found).all()


def test_the_levels_are_those_of_the_network_as_it_comes() -> None:
    """The whole network, with these weights, knows what is in a photo: layers were not mixed up."""
    import torch

    net = load_backbone()
    cat = np.ascontiguousarray(data.chelsea()[40:264, 100:324]).astype(np.float32) / 127.5 - 1
    with torch.inference_mode():
        (found,) = net(torch.from_numpy(cat.transpose(2, 0, 1)[None]))
    # ImageNet's classes 281 to 285 are cats.
    assert 281 <= int(found.argmax()) <= 285


def test_blur_can_be_seen_in_the_components() -> None:
    rng = np.random.default_rng(0)
    known = _data(rng)
    seen = sighted(known, fit_sight(known))
    assert sum(name.startswith("seen_") for name in seen.measures) == COMPONENTS
    rows = np.arange(len(known)) < 300
    kernel = fit_kernel(seen, rows, Degradation.BLUR)
    asked = ~rows & (known.kinds == "blur")
    found = kernel.severity(seen.matrix(kernel.names))[asked]
    assert np.corrcoef(found, known.drawn[asked])[0, 1] > 0.9
    # Of flares the components are not asked.
    other = known.kinds.copy()
    other[other == "blur"] = "flare"
    kinds = Data(seen.measures, {}, other, known.photos, known.sources, known.drawn, known.levels)
    assert not any("seen" in name for name in fit_kernel(kinds, rows, Degradation.FLARE).names)


def test_a_sight_survives_writing_and_others_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    place = tmp_path / "sight.safetensors"
    one = Sight(
        rng.normal(0, 1, LEVELS), rng.uniform(1, 2, LEVELS), rng.normal(0, 0.03, (5, LEVELS))
    )
    sha256 = write_sight(one, place)
    levels = rng.normal(0, 1, (3, LEVELS))
    again = load_sight(sha256, place)
    np.testing.assert_allclose(again.components(levels), one.components(levels), atol=2e-3)
    place.write_bytes(sight.PLACE.read_bytes())
    with pytest.raises(UserError, match=r"judge's sight.*have the SHA-256"):
        load_sight(sha256[::-1], place)


def test_weights_of_another_package_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_spec(sight.PACKAGE) is not None
    load_backbone.cache_clear()
    with monkeypatch.context() as changed:
        changed.setattr(sight, "SHA256", sight.SHA256[::-1])
        with pytest.raises(UserError, match=r"the judge's backbone.*have the SHA-256"):
            load_backbone()
        changed.setattr(sight, "PACKAGE", "no_such_package")
        with pytest.raises(UserError, match="cannot be read"):
            load_backbone()
    load_backbone()


def test_the_judge_listens_to_it_and_does_not_report_it() -> None:
    """A kernel that lacks its components would be a KeyError; scores are for the reader."""
    blur = load_heads()[Degradation.BLUR].kernel
    assert blur is not None
    assert sum(name.startswith("seen_") for name in blur.names) == COMPONENTS
    photo = data.astronaut()
    soft = load_degrader(Degradation.BLUR).degrade(photo, 1.5, np.random.default_rng(0))
    judged = ProxyJudge().judge([soft, photo], Degradation.BLUR)
    strong, mild = (
        _within(blur, image, one.scores) for image, one in zip((soft, photo), judged, strict=True)
    )
    assert strong + 1 < mild
    assert not any(name.startswith("seen_") for name in judged[0].scores)


def _within(kernel: Kernel, image: Rgb, measures: Mapping[str, float]) -> float:
    seen = {**measures, **load_sight(head.hashes()["sight"]).look(look(image))}
    return float(kernel.severity(np.array([[seen[name] for name in kernel.names]]))[0])
