"""What a mark is: what is written on it is read, in photos that a script writes over."""

from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from catalog.errors import UserError
from catalog.images import Rgb
from networks.watermark import reading
from networks.watermark.detector import NO_MARKS, load_detector
from networks.watermark.kinds import Kind
from networks.watermark.meaning import MOST_LINES, find_mark, kind_of, names_owner, written_on
from networks.watermark.reading import LONGEST_SIDE, Line, Reader, load_reader, reduced

SIZE = (300, 400)
AT_THE_EDGE = (20.0, 260.0)


def _line(text: str, place: tuple[float, float] = AT_THE_EDGE, width: float = 150) -> Line:
    left, top = place
    box = [(left, top), (left + width, top), (left + width, top + 20), (left, top + 20)]
    return Line(text, np.array(box, np.float32))


def _marked(*lines: Line) -> np.ndarray:
    likely = np.zeros(SIZE, np.float32)
    for line in lines:
        cv2.fillConvexPoly(likely, line.corners.astype(np.int32), 1.0)
    return likely


def _written(photo: Rgb, text: str, place: tuple[int, int], size: int) -> Rgb:
    image = Image.fromarray(photo)
    font = ImageFont.load_default(size)
    ImageDraw.Draw(image).text(place, text, (255, 255, 255), font, stroke_width=1, stroke_fill=0)
    return np.asarray(image)


@pytest.mark.parametrize(
    "text",
    [
        "© Jane Doe", "(c) 2024 A. Weber", "www.example.com", "imagebank.example", "@travel.diary",
        "copyright 2023", "Photo: M. Weber", "SAMPLE", "All rights reserved", "stockphoto",
        "小红书号", "photographie", "© Jane Doe 12/08/2019",
    ],
)  # fmt: skip
def test_owners_and_addresses_are_told(text: str) -> None:
    assert names_owner([_line(text)])


@pytest.mark.parametrize(
    "text",
    ["HOLIDAY SALE", "Anna & Paul", "12/08/2019", "2024:05:01 12:30", "Good morning", "N.Y."],
)
def test_captions_and_dates_name_no_owner(text: str) -> None:
    assert not names_owner([_line(text)])
    assert kind_of(NO_MARKS, [_line(text)], _marked(_line(text))) is Kind.TEXT


def test_the_same_everywhere_or_right_across_is_a_watermark() -> None:
    tiles = [_line("Anna", (20.0 + 120 * n, 20.0), 60) for n in range(3)]
    assert kind_of(NO_MARKS, tiles[:2], _marked(*tiles[:2])) is Kind.TEXT
    assert kind_of(NO_MARKS, tiles, _marked(*tiles)) is Kind.WATERMARK
    across = _line("Anna & Paul", (100.0, 140.0), 200)
    assert kind_of(NO_MARKS, [across], _marked(across)) is Kind.WATERMARK


def test_a_sign_beside_writing_is_a_logo() -> None:
    line = _line("Anna & Paul")
    likely = _marked(line)
    cv2.circle(likely, (300, 80), 50, 1.0, -1)
    assert kind_of(NO_MARKS, [line], likely) is Kind.LOGO
    assert kind_of(NO_MARKS, [], likely) is Kind.LOGO
    owner = _line("© Anna & Paul")
    assert kind_of(NO_MARKS, [owner], likely) is Kind.WATERMARK


def test_writing_in_the_photo_is_no_part_of_the_mark() -> None:
    photo = np.full((*SIZE, 3), 90, np.uint8)
    both = _written(_written(photo, "STOCK", (20, 20), 40), "12/08/2019", (20, 230), 40)
    likely = np.zeros(SIZE, np.float32)
    likely[200:] = 1
    assert [line.text for line in written_on(both, load_reader(), likely)] == ["12/08/2019"]
    assert len(written_on(both, load_reader(), np.ones_like(likely))) == 2


def test_of_a_page_of_writing_the_largest_lines_are_read() -> None:
    page = np.full((900, 700, 3), 90, np.uint8)
    for number in range(MOST_LINES + 3):
        page = _written(page, f"line {number}", (20, 10 + number * 50), 20)
    page = _written(page, "TITLE", (200, 800), 70)
    lines = written_on(page, load_reader(), np.ones(page.shape[:2], np.float32))
    assert len(lines) == MOST_LINES
    assert lines[0].text == "TITLE"


def test_what_is_written_over_a_photo_is_read_and_named() -> None:
    photo, detector, reader = data.coffee(), load_detector(), load_reader()
    # Read at every probability: this is about reading, the detector has tests of its own.
    owned = find_mark(_written(photo, "www.example.com", (15, 15), 40), detector, reader, 0.0)
    assert owned.names_owner
    assert owned.kind is Kind.WATERMARK
    dated = find_mark(_written(photo, "2024/05/01 12:30", (15, 340), 40), detector, reader, 0.0)
    assert not dated.names_owner
    assert dated.kind is Kind.TEXT
    # Nothing is read where there is hardly a mark.
    bare = find_mark(photo, detector, reader, 0.6)
    assert not bare.names_owner
    assert bare.probability == detector.probability(photo)


@pytest.mark.parametrize("size", [(32, 600), (1, 1), (3000, 2000), (40, 40), (9000, 40)])
def test_images_of_any_size_can_be_read(size: tuple[int, int]) -> None:
    image = np.full((*size, 3), 200, np.uint8)
    small = reduced(image)
    assert max(small.shape[:2]) <= LONGEST_SIDE
    assert load_reader().lines(small) == []
    # Read at every probability, so also those in which the detector looks for nothing.
    assert not find_mark(image, load_detector(), load_reader(), -1.0).names_owner


def test_a_mark_on_a_large_photo_is_read() -> None:
    photo = cv2.resize(data.coffee(), (2400, 1600), interpolation=cv2.INTER_CUBIC)
    written = _written(photo, "www.example.com", (200, 1300), 130)
    assert find_mark(written, load_detector(), load_reader(), 0.0).names_owner


def test_what_cannot_be_read_is_no_text() -> None:
    blank = np.full((*SIZE, 3), 128, np.uint8)
    assert load_reader().read(blank, _line("").corners).text == ""


def test_models_that_are_other_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = find_spec("rapidocr")
    assert found is not None
    models = Path(str(found.origin)).parent / "models"
    name, sha256 = reading.MODELS["Rec"]
    monkeypatch.setitem(reading.MODELS, "Rec", (name, sha256[::-1]))
    with pytest.raises(UserError, match=f"{models / name}, have the SHA-256"):
        Reader()
    monkeypatch.setitem(reading.MODELS, "Rec", ("gone.onnx", sha256))
    with pytest.raises(UserError, match="cannot be read"):
        Reader()
