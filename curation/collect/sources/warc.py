"""Images inside a WARC file (ISO 28500), as crawlers and web archives write them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from catalog.digests import read_digest
from catalog.errors import UserError
from catalog.settings.collect import Collect
from curation.collect.opt_outs import agent_token, header_opt_out
from curation.collect.outcome import FetchError
from curation.collect.sources import Item


class Warc:
    """Successful HTTP responses of a WARC, plain or gzipped by record, whose type is an image's.

    The key of an item is its URL, as if it had been fetched; records of other types are passed
    over. Opt-outs in the recorded headers are obeyed.
    """

    name = "warc"

    def __init__(self, path: Path, settings: Collect) -> None:
        if not path.is_file():
            raise UserError(f"There is no file {path}.", "Give a WARC file that exists.")
        self.path = path
        self._opt_outs = settings.opt_outs
        self._agent = agent_token(settings.user_agent)

    def describe(self) -> dict[str, Any]:
        """Name and SHA-256 of the file."""
        return {
            "source": self.name,
            "file": self.path.name,
            "sha256": read_digest(self.path),
        }

    def items(self) -> Iterator[Item]:
        """One item an image record; its locator is the record's offset. Raises `UserError`."""
        from warcio.archiveiterator import ArchiveIterator

        try:
            with self.path.open("rb") as file:
                records = ArchiveIterator(file)
                for record in records:
                    headers = record.http_headers
                    if record.rec_type != "response" or headers is None:
                        continue
                    kind = (headers.get_header("Content-Type") or "").lower()
                    url = record.rec_headers.get_header("WARC-Target-URI")
                    if headers.get_statuscode() == "200" and kind.startswith("image/") and url:
                        yield Item(url, self.name, locator=str(records.get_record_offset()))
        except Exception as error:  # warcio raises many kinds on hostile archives
            raise UserError(
                f"{self.path} is no WARC that can be read: {error!r}.",
                "Give a file whose records are plain or gzipped one by one.",
            ) from error

    def read(self, locator: str, max_bytes: int) -> bytes:
        """The body of the record at an offset. Raises `FetchError`."""
        with self.path.open("rb") as file:
            return self._body(file, int(locator), max_bytes)

    def _body(self, file: BinaryIO, offset: int, max_bytes: int) -> bytes:
        from warcio.archiveiterator import ArchiveIterator

        file.seek(offset)
        try:
            record = next(iter(ArchiveIterator(file)))
            headers = record.http_headers.headers
            named = [value for name, value in headers if name.lower() == "x-robots-tag"]
            tdm = record.http_headers.get_header("TDM-Reservation")
            directive = header_opt_out(named, tdm, self._agent, self._opt_outs)
            if directive is None:
                data: bytes = record.content_stream().read(max_bytes + 1)
        except Exception as error:  # warcio raises many kinds on hostile archives
            raise FetchError("unreadable", f"The record cannot be read: {error}.") from error
        if directive is not None:
            raise FetchError("opt-out", f"The recorded answer says {directive}.")
        if len(data) > max_bytes:
            raise FetchError("too-large", f"The body is more than {max_bytes} bytes.")
        return data
