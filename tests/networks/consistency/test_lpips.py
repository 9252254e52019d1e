"""LPIPS against its authors' own loader, on weights made here; and what it refuses."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from catalog.errors import UserError
from networks.consistency import load_consistency
from networks.consistency.published import BACKBONE_SHA256, LPIPS_IDENTITY
from networks.interfaces import Consistency
from tests.networks.consistency.backbone import digest, random_backbone

pytestmark = pytest.mark.filterwarnings("ignore:.*pretrained:UserWarning", "ignore:Arguments other")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_backbone(tmp_path_factory.mktemp("torch"))


@pytest.fixture(scope="module")
def measure(weights: Path) -> Consistency:
    return load_consistency(f"lpips:{weights}@{digest(weights)}")


@pytest.fixture(scope="module")
def theirs(weights: Path) -> Iterator[torch.nn.Module]:
    """The package as its authors load it: from torch.hub's folder, heads from the package."""
    import lpips

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(weights.parents[2]))
        yield lpips.LPIPS(net="alex", version="0.1", verbose=False)


@pytest.mark.parametrize("size", [(512, 512), (97, 200), (31, 31)])
def test_it_is_the_packages_own_value(
    measure: Consistency, theirs: torch.nn.Module, size: tuple[int, int]
) -> None:
    import lpips

    first = data.astronaut()[: size[0], : size[1]]
    noise = np.random.default_rng(0).normal(0, 25, first.shape)
    second = np.clip(first + noise, 0, 255).astype(np.uint8)
    with torch.no_grad():
        wanted = float(theirs(lpips.im2tensor(first), lpips.im2tensor(second)))
    assert wanted > 0.001
    assert measure.distance(first, second) == pytest.approx(wanted, abs=1e-6)
    assert measure.distance(second, first) == pytest.approx(wanted, abs=1e-6)
    assert measure.distance(first, first.copy()) == 0.0


def test_other_weights_are_never_called_lpips(measure: Consistency, weights: Path) -> None:
    assert "lpips" not in str(measure.identity).lower()
    assert not measure.identity.trained
    assert measure.identity.digest != LPIPS_IDENTITY.digest
    assert digest(weights) != BACKBONE_SHA256


def test_a_file_of_another_hash_is_refused_whatever_its_name(weights: Path) -> None:
    with pytest.raises(UserError, match="not the weights of LPIPS") as info:
        load_consistency(f"lpips:{weights}")
    assert f"lpips:FILE@{digest(weights)}" in info.value.remedy
    with pytest.raises(UserError, match="There is no weights file"):
        load_consistency("lpips:nowhere.pth")
    with pytest.raises(UserError, match="Did you mean lpips:FILE"):
        load_consistency("lpips")


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return (Path.touch, (self.path,))


def test_a_hostile_pickle_runs_nothing_even_with_its_hash(tmp_path: Path) -> None:
    target = tmp_path / "ran"
    file = tmp_path / "alexnet.pth"
    file.write_bytes(pickle.dumps({"features.0.weight": _Touch(target)}, 2))
    with pytest.raises(UserError, match="cannot be read as tensors"):
        load_consistency(f"lpips:{file}@{digest(file)}")
    assert not target.exists()


def test_weights_of_another_network_are_named(tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    torch.save({"features.0.weight": torch.zeros(64, 3, 11, 11)}, file)
    with pytest.raises(UserError, match=r"lack net\.slice1\.0\.bias"):
        load_consistency(f"lpips:{file}@{digest(file)}")


def test_small_images_and_unequal_sizes(measure: Consistency) -> None:
    photo = data.astronaut()
    assert measure.distance(photo[:1, :1], 255 - photo[:1, :1]) > 0
    with pytest.raises(UserError, match="512 x 512 and 511 x 512"):
        measure.distance(photo, photo[:, :-1])
