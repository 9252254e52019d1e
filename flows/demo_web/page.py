"""One answer of the small web."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Page:
    """What is served at a path, and what it truly is."""

    path: str
    body: bytes = field(repr=False)
    content_type: str
    kind: str
    """The truth of it: "photo", a kind of copy such as "cropped", or a kind of fault."""

    query: str = ""
    license: str | None = None
    creator: str | None = None
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    host: str = "photos"
    """One of `server.HOSTS`."""

    claimed_length: int | None = None
    """A Content-Length other than the body's: the connection closes early."""

    @property
    def key(self) -> str:
        """Host and path: no two pages share it."""
        return f"{self.host}{self.path}"
