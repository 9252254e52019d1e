"""What runs in a decoding process: bytes in, a verdict out, over one socket.

A frame to this process is a length and an encoded image (the first one is the settings). A frame
from it is the lengths of two parts, JSON and the bytes to store. Nothing is pickled: whoever takes
over a decoder by a hostile image gets no code to run in the collector.
"""

import json
import os
import select
import signal
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import Any

from PIL import Image

from catalog.errors import ImageRefused
from catalog.settings.collect import Collect
from curation.collect.examine import examine

TO_DECODER = struct.Struct("<I")
FROM_DECODER = struct.Struct("<II")


def _receive(link: socket.socket, count: int) -> bytes:
    data = link.recv(count, socket.MSG_WAITALL)
    if len(data) < count:
        sys.exit(0)  # the collector is gone or has no more images
    return data


def _next(link: socket.socket) -> bytes:
    return _receive(link, TO_DECODER.unpack(_receive(link, TO_DECODER.size))[0])


def _send(link: socket.socket, said: dict[str, Any], data: bytes = b"") -> None:
    text = json.dumps(said).encode()
    link.sendall(FROM_DECODER.pack(len(text), len(data)) + text + data)


def _verdict(
    data: bytes, settings: Collect, blocked: tuple[bytes, ...]
) -> tuple[dict[str, Any], bytes]:
    # CPU seconds, so that a busy machine makes no image late. The signal's default ends the
    # process even inside a decoder that never returns, also when the collector is gone.
    signal.setitimer(signal.ITIMER_PROF, settings.decode_timeout)
    try:
        found = examine(data, settings, blocked)
    except ImageRefused as refused:
        return {"refused": [refused.reason, refused.what]}, b""
    except Exception as error:  # such as MemoryError: it costs this image, not the run
        return {"refused": ["decoder-crashed", f"Decoding failed: {error!r}."]}, b""
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    said = {"image_id": found.image_id, "header": vars(found.header), "creator": found.creator}
    return {**said, "cut": found.data is not None}, found.data or b""


def _die_with(link: socket.socket) -> None:
    """End this process when the other end is closed, in the middle of an image too."""
    watch = select.poll()
    watch.register(link, select.POLLHUP)
    watch.poll()
    os._exit(1)


def main(descriptor: int) -> None:
    """Serve the socket of that number until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the collector's to handle
    link = socket.socket(fileno=descriptor)
    given = json.loads(_next(link))
    settings = Collect.model_validate(given["settings"])
    blocked = tuple(bytes.fromhex(text) for text in given["blocked"])
    # Pillow keeps this many blocks of 1 MiB instead of giving each picture's memory back.
    Image.core.set_blocks_max(64)  # type: ignore[attr-defined]
    threading.Thread(target=_die_with, args=(link,), daemon=True).start()
    _send(link, {"ready": True})
    with Path(os.devnull).open("wb") as nothing:  # codecs write what hostile files make them say
        os.dup2(nothing.fileno(), 2)
    while True:
        _send(link, *_verdict(_next(link), settings, blocked))
