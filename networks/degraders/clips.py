"""Clips that real motion blur is made of: folders of frames, and video files."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from catalog import images
from catalog.digests import read_digest
from catalog.errors import ImageRefused, UserError
from catalog.images import Rgb
from catalog.log import logger
from networks.degraders.blur import average_frames

FRAME_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}
VIDEO_SUFFIXES = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"}
MAX_PIXELS = 40_000_000
MAX_FRAMES = 10_000
"""Frames of a clip that are looked at; what follows is left alone."""

MIN_FRAMES = 3
_SMALL = 32


@dataclass(frozen=True)
class Window:
    """Consecutive frames of a clip, averaged."""

    blurred: Rgb
    sharp: Rgb
    """The middle frame."""
    first: int
    """Number of the first frame, from 0."""
    count: int
    cut: bool
    """Whether the scene changes inside, so that the average shows two scenes."""


@dataclass(frozen=True)
class Clip:
    """A folder of frames in the order of the numbers in their names, or a video file."""

    path: Path
    digest: str
    """SHA-256 of the file, or of the frames' files in order."""
    length: int
    """Frames, at most MAX_FRAMES."""

    def frames(self, first: int, count: int, max_side: int | None = None) -> list[Rgb]:
        """`count` frames from number `first`, each scaled to `max_side` px as it is decoded.

        Raises `ImageRefused` where one cannot be read.
        """
        if self.path.is_dir():
            files = _frame_files(self.path)[first : first + count]
            return [_scaled(images.decode(_read(file), MAX_PIXELS), max_side) for file in files]
        video = _open(self.path)
        try:
            for _ in range(first):  # seeking by number is not exact in all containers
                video.grab()
            found = []
            for number in range(first, first + count):
                good, frame = video.read()
                if not good:
                    raise ImageRefused("broken-video", f"Frame {number} cannot be read.")
                found.append(_scaled(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), max_side))
        finally:
            video.release()
        return found

    def window(self, rng: np.random.Generator, counts: tuple[int, int], max_side: int) -> Window:
        """The average of an odd number of frames between the `counts`, scaled to `max_side` px.

        Raises `ImageRefused` for frames that cannot be read or are of several sizes.
        """
        most = min(counts[1], self.length)
        count = int(rng.integers(min(counts[0], most), most + 1))
        count -= 1 - count % 2
        first = int(rng.integers(0, self.length - count + 1))
        frames = self.frames(first, count, max_side)
        if len({frame.shape for frame in frames}) != 1:
            raise ImageRefused("several-sizes", f"Frames from {first} on differ in size.")
        blurred, sharp = average_frames(frames)
        return Window(blurred, sharp, first, count, has_cut(frames))


def has_cut(frames: Sequence[Rgb]) -> bool:
    """Whether one change from frame to frame is large, and several times as large as the others."""
    small = [
        cv2.resize(frame, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA).astype(np.float32)
        for frame in frames
    ]
    steps = [float(np.abs(b - a).mean()) for a, b in pairwise(small)]
    return max(steps) > 12 and max(steps) > 4 * float(np.median(steps))


def find_clips(folder: Path) -> list[Clip]:
    """The clips right below `folder`, by digest; links are not followed.

    What cannot be read, or has fewer than three frames, is left out with a warning. Raises
    `UserError` where nothing is left.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder of clips {folder}.", "Name one, or null for none.")
    found: dict[str, Clip] = {}
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or path.name.startswith("."):
            continue
        try:
            clip = open_clip(path)
        except ImageRefused as refused:
            logger(__name__).warning("clip left out", clip=path.name, why=refused.what)
            continue
        found.setdefault(clip.digest, clip)
    if not found:
        raise UserError(
            f"There is no clip in {folder}.",
            f"Put folders of frames there, or videos ({', '.join(sorted(VIDEO_SUFFIXES))}).",
        )
    return [found[key] for key in sorted(found)]


def open_clip(path: Path) -> Clip:
    """A clip by its place. Raises `ImageRefused` for what cannot be read or is too short."""
    return _folder(path) if path.is_dir() else _video(path)


def _number(path: Path) -> list[tuple[int, str]]:
    """A key by which frame2 comes before frame10."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _frame_files(folder: Path) -> list[Path]:
    files = [
        file
        for file in folder.iterdir()
        if file.suffix.lower() in FRAME_SUFFIXES and file.is_file() and not file.is_symlink()
    ]
    return sorted(files, key=_number)[:MAX_FRAMES]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageRefused("unreadable", f"It cannot be read: {error}.") from error


def _folder(path: Path) -> Clip:
    files = _frame_files(path)
    if len(files) < MIN_FRAMES:
        raise ImageRefused("too-few-frames", f"It has {len(files)} frames; three are needed.")
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(_read(file)).digest())
    return Clip(path, digest.hexdigest(), len(files))


def _is_video(head: bytes) -> bool:
    """MP4 or QuickTime, Matroska or WebM, AVI by their first bytes.

    FFmpeg goes by content: a playlist named .mp4 would make it open other files and addresses.
    """
    return (
        head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free")
        or head[:4] == b"\x1a\x45\xdf\xa3"
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
    )


def _open(path: Path) -> cv2.VideoCapture:
    with path.open("rb") as file:
        if not _is_video(file.read(12)):
            raise ImageRefused("not-a-video", "It is no MP4, QuickTime, Matroska, WebM or AVI.")
    video = cv2.VideoCapture(str(path))
    width, height = video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)
    if not video.isOpened() or not 0 < width * height <= MAX_PIXELS:
        video.release()
        raise ImageRefused("broken-video", f"It cannot be opened, or has over {MAX_PIXELS:,} px.")
    return video


def _video(path: Path) -> Clip:
    if path.suffix.lower() not in VIDEO_SUFFIXES or not path.is_file():
        raise ImageRefused("not-a-video", "It is neither a folder nor a video by its suffix.")
    try:
        digest = read_digest(path)
        video = _open(path)
    except OSError as error:
        raise ImageRefused("unreadable", f"It cannot be read: {error}.") from error
    length = 0
    while length < MAX_FRAMES and video.grab():  # the header's number of frames may be wrong
        length += 1
    video.release()
    if length < MIN_FRAMES:
        raise ImageRefused("too-few-frames", f"It has {length} frames; three are needed.")
    return Clip(path, digest, length)


def _scaled(frame: Rgb, max_side: int | None) -> Rgb:
    factor = 1.0 if max_side is None else max_side / max(frame.shape[:2])
    if factor >= 1:
        return frame
    size = (max(1, round(frame.shape[1] * factor)), max(1, round(frame.shape[0] * factor)))
    return cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
