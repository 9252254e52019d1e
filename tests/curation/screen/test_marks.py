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
from networks.watermark.meaning import find_mark, kind_of, names_owner, written_on
from networks.watermark.reading import Line, Reader, load_reader

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
        "小红书号", "photographie",
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
    shop, mark = _line("STOCK EXCHANGE", (20.0, 20.0)), _line("12/08/2019")
    assert written_on([shop, mark], _marked(mark)) == [mark]


def test_what_is_written_over_a_photo_is_read_and_named() -> None:
    photo, detector, reader = data.coffee(), load_detector(), load_reader()
    # Read at every probability: this is about reading, the detector has tests of its own.
    owned = find_mark(_written(photo, "www.example.com", (15, 15), 40), detector, reader, 0.0)
    assert owned.named
    assert owned.kind is Kind.WATERMARK
    dated = find_mark(_written(photo, "2024/05/01 12:30", (15, 340), 40), detector, reader, 0.0)
    assert not dated.named
    assert dated.kind is Kind.TEXT
    # Nothing is read where there is hardly a mark.
    bare = find_mark(photo, detector, reader, 0.6)
    assert not bare.named
    assert bare.probability == detector.probability(photo)


@pytest.mark.parametrize("size", [(32, 600), (1, 1), (3000, 2000), (40, 40)])
def test_images_of_any_size_can_be_read(size: tuple[int, int]) -> None:
    assert load_reader().read(np.full((*size, 3), 200, np.uint8)) == []


def test_lines_of_a_large_image_are_placed_in_it() -> None:
    photo = cv2.resize(data.coffee(), (2400, 1600), interpolation=cv2.INTER_CUBIC)
    (line,) = load_reader().read(_written(photo, "HOLIDAY", (200, 1300), 160))
    assert line.text == "HOLIDAY"
    assert line.corners.min(axis=0) == pytest.approx((200, 1330), abs=60)


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
