"""The reading `released` against the authors' evaluator, from files and answers to the number."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import numpy as np
import pytest
import torch
from PIL import Image

from catalog.degradations import Degradation
from catalog.images import pixel_digest
from evaluation.benchmark import read_task
from evaluation.judging import CachedJudge
from evaluation.restoring import FolderSource
from evaluation.scoring import Evaluation, score
from evaluation.summary import by_task
from networks.consistency import load_consistency
from networks.interfaces import Identity
from networks.judges.vlm.asking import AskingJudge, Reply
from networks.judges.vlm.protocol import prepare
from tests.evaluation.conftest import SETTINGS
from tests.evaluation.parts import photo
from tests.networks.consistency.backbone import digest, random_backbone

pytestmark = pytest.mark.filterwarnings("ignore:.*pretrained:UserWarning", "ignore:Arguments other")


class Scripted(AskingJudge):
    """A model that says what the table has for an image; the reading of it is the judge's own."""

    identity = Identity("scripted", "1")

    def __init__(self) -> None:
        super().__init__("released", None)
        self.says: dict[str, str] = {}

    def about(self, image: Image.Image, text: str) -> None:
        self.says[pixel_digest(np.asarray(prepare(np.asarray(image))))] = text

    def ask(self, images: Sequence[Image.Image], text: str) -> list[Reply]:
        return [Reply(self.says[pixel_digest(np.asarray(image))]) for image in images]


def plain(image: Image.Image, path: Path) -> None:
    image.save(path)


def grey(image: Image.Image, path: Path) -> None:
    image.convert("L").save(path)


def half_size(image: Image.Image, path: Path) -> None:
    image.resize((48, 48), Image.Resampling.LANCZOS).save(path)


def opaque(image: Image.Image, path: Path) -> None:
    image.convert("RGBA").save(path)


def transparent(image: Image.Image, path: Path) -> None:
    image.putalpha(128)
    image.save(path)


def turned(image: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.rotate(90, expand=True).save(path, exif=exif)


def cut_off(image: Image.Image, path: Path) -> None:
    image.save(path)
    path.write_bytes(path.read_bytes()[:300])


def other_case(image: Image.Image, path: Path) -> None:
    image.save(path.with_name(path.name.upper().replace("PNG", "webp")), lossless=True)


def nothing(image: Image.Image, path: Path) -> None:
    pass


@dataclass(frozen=True)
class Case:
    """How a prediction lies on disk, what the model says of both sides, and what comes of it."""

    write: Callable[[Image.Image, Path], None]
    before: str
    after: str
    outcome: str
    rs: int | None
    """max(0, after - before) as the authors read the answers; None where there is no score."""


CASES = {
    "better": Case(plain, "退化分数：2", "退化分数：4", "scored", 2),
    "worse": Case(plain, "退化分数：4", "退化分数：2", "scored", 0),
    "the same": Case(plain, "3", "3", "scored", 0),
    "last digit": Case(plain, "The score is 1", "I say 5\n", "scored", 4),
    "half-width colon": Case(plain, "退化分数: 1。", "退化分数 ： 3 of 5", "scored", 2),
    "three of five": Case(plain, "2", "3/5", "scored", 3),
    "ten": Case(plain, "2", "10", "judge-failed-restored", None),
    "in brackets": Case(plain, "<4>", "5", "judge-failed-degraded", None),
    "six": Case(plain, "退化分数：6", "5", "judge-failed-degraded", None),
    "silence": Case(plain, "1", "", "judge-failed-restored", None),
    "missing": Case(nothing, "2", "-", "missing-prediction", 0),
    "unreadable": Case(cut_off, "2", "-", "unreadable-prediction", 0),
    "half size": Case(half_size, "1", "4", "scored", 3),
    "grey": Case(grey, "2", "3", "scored", 1),
    "opaque alpha": Case(opaque, "2", "3", "scored", 1),
    "transparent": Case(transparent, "2", "5", "scored", 3),
    "turned by exif": Case(turned, "1", "3", "scored", 2),
    "other case": Case(other_case, "3", "4", "scored", 1),
}


def as_seen(case: Case, image: Image.Image) -> Image.Image:
    """The prediction as the measures see it, by Pillow alone."""
    if case.write is half_size:
        small = image.resize((48, 48), Image.Resampling.LANCZOS)
        return small.resize(image.size, Image.Resampling.LANCZOS)
    if case.write is grey:
        return image.convert("L").convert("RGB")
    if case.write is transparent:
        over = image.copy()
        over.putalpha(128)
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, over).convert("RGB")
    return image


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_backbone(tmp_path_factory.mktemp("torch"))


@pytest.fixture(scope="module")
def lpips_package(backbone: Path) -> Iterator[torch.nn.Module]:
    """The measure as the authors' evaluator builds it."""
    import lpips

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(backbone.parents[2]))
        yield lpips.LPIPS(net="alex", verbose=False)


@pytest.fixture(scope="module")
def found(backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    root = tmp_path_factory.mktemp("table")
    judge = Scripted()
    for seed, (name, case) in enumerate(CASES.items()):
        degraded, restored = (Image.fromarray(photo(s)) for s in (seed, 100 + seed))
        for side in ("reference", "predictions"):
            (root / side / "sub").mkdir(parents=True, exist_ok=True)
        degraded.save(root / f"reference/sub/{name}.png")
        judge.about(degraded, case.before)
        judge.about(as_seen(case, restored), case.after)
        case.write(restored, root / f"predictions/sub/{name}.png")
    (root / "reference/sub/broken.png").write_bytes(b"\x89PNG and no more")
    opened = read_task(root / "reference", Degradation.RAIN)
    source = FolderSource(root / "predictions", "predictions", opened)
    measure = load_consistency(f"lpips:{backbone}@{digest(backbone)}")
    settings = SETTINGS.model_copy(update={"repeat_images": 0})
    with CachedJudge(judge, root / "cache.db") as cached:
        return score(opened, source, cached, measure, settings, None)


@pytest.mark.parametrize(("name", "case"), CASES.items(), ids=CASES.keys())
def test_each_case_ends_as_the_authors_evaluator_has_it(
    found: Evaluation, lpips_package: torch.nn.Module, name: str, case: Case
) -> None:
    row = next(row for row in found.table.rows if row.name == f"sub/{name}.png")
    assert row.outcome == case.outcome
    if case.rs is None:
        assert not row.counted
        return
    assert row.released == pytest.approx(authors(name, lpips_package), abs=1e-6)


def authors(name: str, lpips_package: torch.nn.Module) -> float:
    """FS of one image by their arithmetic; 0 for a missing or unreadable prediction."""
    import lpips

    case, seed = CASES[name], list(CASES).index(name)
    if case.outcome != "scored" or case.rs is None:
        return 0.0
    degraded, restored = photo(seed), as_seen(case, Image.fromarray(photo(100 + seed)))
    with torch.no_grad():
        moved = float(
            lpips_package(lpips.im2tensor(degraded), lpips.im2tensor(np.asarray(restored)))
        )
    assert moved > 0
    return float(f"{0.2 * case.rs * (1 - moved):.6f}")


def test_the_mean_is_the_authors_and_what_has_no_score_is_not_in_it(
    found: Evaluation, lpips_package: torch.nn.Module
) -> None:
    counted = [name for name, case in CASES.items() if case.rs is not None]
    wanted = mean(authors(name, lpips_package) for name in counted)
    reading = by_task(found.table, samples=100)["rain"]["released"]
    assert reading.n == len(counted) == 14
    assert reading.estimate == pytest.approx(wanted, abs=1e-6)


def test_an_unreadable_reference_is_no_question(found: Evaluation) -> None:
    row = next(row for row in found.table.rows if row.name == "sub/broken.png")
    assert (row.outcome, row.counted) == ("unreadable-reference", False)
    assert len(found.table.rows) == len(CASES) + 1
