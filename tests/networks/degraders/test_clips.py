"""Clips: folders of frames and videos, averaged to motion blur."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from catalog.errors import UserError
from catalog.images import Rgb
from networks.degraders.clips import find_clips, has_cut


def frames(count: int, step: int = 4) -> list[Rgb]:
    """A view that moves over a photo."""
    from skimage import data

    photo = data.coffee()
    return [
        np.ascontiguousarray(photo[40:136, 30 + step * n : 158 + step * n]) for n in range(count)
    ]


def write_folder(folder: Path, shown: list[Rgb]) -> None:
    """As frame0.png, frame1.png, ..."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(shown):
        Image.fromarray(frame).save(folder / f"frame{number}.png")


def write_video(path: Path, shown: list[Rgb]) -> None:
    """Motion JPEG in AVI, which OpenCV writes without FFmpeg."""
    size = (shown[0].shape[1], shown[0].shape[0])
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25.0, size)
    assert video.isOpened()
    for frame in shown:
        video.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    video.release()


def test_frames_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write_folder(tmp_path / "clip", frames(12))
    (clip,) = find_clips(tmp_path)
    assert clip.length == 12
    for number, frame in enumerate(clip.frames(8, 4), start=8):
        assert np.array_equal(frame, frames(12)[number])


@pytest.mark.parametrize("kind", ["folder", "video"])
def test_a_window_is_an_average_with_its_middle_frame_as_the_clean_side(
    tmp_path: Path, kind: str
) -> None:
    if kind == "folder":
        write_folder(tmp_path / "clip", frames(9))
    else:
        write_video(tmp_path / "clip.avi", frames(9))
    (clip,) = find_clips(tmp_path)
    window = clip.window(np.random.default_rng(2), (5, 8), 256)
    again = clip.window(np.random.default_rng(2), (5, 8), 256)
    assert window.blurred.tobytes() == again.blurred.tobytes()
    assert window.count in (5, 7)
    assert 0 <= window.first <= 9 - window.count
    assert not window.cut
    middle = frames(9)[window.first + window.count // 2]
    assert np.abs(window.sharp.astype(int) - middle).mean() < (1 if kind == "folder" else 6)
    # The view moves along rows, so their detail goes and that of columns stays.
    across = [
        float(np.abs(np.diff(side.astype(int), axis=1)).mean())
        for side in (window.blurred, window.sharp)
    ]
    assert across[0] < 0.7 * across[1]


def test_a_cut_inside_a_window_is_noticed(tmp_path: Path) -> None:
    calm = frames(5, step=2)
    assert not has_cut(calm)
    assert has_cut(calm[:3] + [255 - frame for frame in calm[3:]])


def test_hostile_clips_are_left_out(tmp_path: Path) -> None:
    playlist = "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/frame.ts\n"
    (tmp_path / "list.mp4").write_text(playlist)
    (tmp_path / "cut.avi").write_bytes(b"RIFF\x00\x00\x00\x00AVI LIST")
    write_folder(tmp_path / "short", frames(2))
    with pytest.raises(UserError, match="no clip in"):
        find_clips(tmp_path)
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    write_folder(outside, frames(4))
    (tmp_path / "link").symlink_to(outside)
    write_folder(tmp_path / "good", frames(3))
    (clip,) = find_clips(tmp_path)
    assert clip.path.name == "good"
