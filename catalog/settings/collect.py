"""Settings of the collection."""

from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from pydantic import Field, field_validator, model_validator

from catalog.degradations import Degradation
from catalog.settings.base import Settings

ImageFormat = Literal["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]
Directive = Literal["noai", "noimageai", "noindex", "noimageindex", "tdm-reservation"]
OptOuts = tuple[Directive, ...]

MOST_PIXELS = 89_000_000
"""The largest `max_pixels`: Pillow takes what is a little larger for a decompression bomb."""


class Columns(Settings):
    """Names of the columns in URL lists (csv, jsonl, Parquet); absent ones are left empty."""

    url: str = Field(default="url", description="The address of the image.")
    license: str = Field(default="license", description="The licence, as the source names it.")
    creator: str = Field(default="creator", description="Who made the image.")
    source_page: str = Field(default="source_page", description="The page that shows the image.")
    query: str = Field(default="query", description="The search phrase that found it.")


_PHRASES: dict[Degradation, tuple[str, ...]] = {
    Degradation.BLUR: ("motion blur street", "blurry photo", "out of focus photo", "camera shake"),
    Degradation.COMPRESSION: ("jpeg artifacts", "low quality photo", "pixelated photo"),
    Degradation.MOIRE: ("moire pattern photo", "photo of a computer screen", "screen moire"),
    Degradation.LOW_LIGHT: ("dark street at night", "underexposed photo", "low light interior"),
    Degradation.NOISE: ("grainy night photo", "high iso noise", "noisy photo"),
    Degradation.FLARE: ("lens flare", "sun glare photo", "headlights glare night"),
    Degradation.REFLECTION: ("window reflection", "shop window reflection", "glass reflection"),
    Degradation.HAZE: ("foggy road", "hazy city skyline", "smog city", "misty forest"),
    Degradation.RAIN: (
        "rain streaks",
        "heavy rain street",
        "raindrops on window",
        "rainy day city",
    ),
}


class Search(Settings):
    """What the search APIs (Openverse, Wikimedia Commons, Pexels) are asked for."""

    phrases: dict[Degradation, tuple[str, ...]] = Field(
        default=_PHRASES, description="Search phrases by degradation."
    )
    limit: int = Field(default=500, ge=1, description="Images a phrase and API.")
    interval: float = Field(
        default=1.0, ge=0, description="Seconds between two requests to an API at least."
    )
    licenses: tuple[str, ...] = Field(
        default=("by", "by-sa", "cc0", "pdm"),
        min_length=1,
        description="Licences asked for at Openverse, by its codes.",
    )
    openverse_url: str = Field(
        default="https://api.openverse.org/v1/images/", description="Openverse's image search."
    )
    wikimedia_url: str = Field(
        default="https://commons.wikimedia.org/w/api.php", description="The API of Commons."
    )
    pexels_url: str = Field(
        default="https://api.pexels.com/v1/search", description="The photo search of Pexels."
    )


class Collect(Settings):
    """How images are fetched, and which are kept."""

    user_agent: str = Field(
        default="mendline/0.1 (+https://github.com/mendline/mendline)",
        min_length=5,
        pattern=r"^[\x20-\x7e]+$",
        description="Sent with every request and matched against robots.txt. It should carry a "
        "way to reach you.",
    )
    allow_addresses: tuple[str, ...] = Field(
        default=(),
        description="Networks (CIDR) that may be connected to although they are private, loopback "
        "or otherwise not public: for intranets and tests.",
    )
    obey_robots: bool = Field(
        default=True, description="Obey robots.txt, closed where it fails (5xx)."
    )
    opt_outs: OptOuts = Field(
        default=("noai", "noimageai", "noindex", "noimageindex", "tdm-reservation"),
        description="Answers that forbid the use: directives of X-Robots-Tag, and the header "
        "TDM-Reservation. With noai, so does the IPTC data-mining property inside the image.",
    )
    columns: Columns = Field(default=Columns(), description="Names of the columns in URL lists.")

    search: Search = Field(default=Search(), description="What the search APIs are asked for.")

    concurrency: int = Field(default=32, ge=1, le=1024, description="Requests at one time in all.")
    host_concurrency: int = Field(
        default=4, ge=1, le=1024, description="Requests at one time to a host."
    )
    host_rate: float = Field(
        default=8.0, gt=0, description="Requests a second to a host at most; crawl-delay lowers it."
    )
    max_crawl_delay: float = Field(
        default=60.0,
        ge=0,
        description="Seconds; a host that asks for a longer crawl-delay or Retry-After is left "
        "alone for the run.",
    )
    connect_timeout: float = Field(default=10.0, gt=0, description="Seconds to connect.")
    read_timeout: float = Field(default=15.0, gt=0, description="Seconds without a byte.")
    total_timeout: float = Field(
        default=60.0, gt=0, description="Seconds for one request and its body."
    )
    attempts: int = Field(
        default=4, ge=1, le=20, description="Tries of a URL on errors that may pass."
    )
    backoff: float = Field(
        default=1.0,
        ge=0,
        description="Seconds before the second try; doubled each time, with jitter.",
    )
    host_failures: int = Field(
        default=12,
        ge=1,
        description="Failed tries in a row after which a host is left alone for the run.",
    )
    max_minutes: float | None = Field(
        default=None,
        gt=0,
        description="Minutes after which a run ends with what it has; the rest is left for "
        "--retry-failed. null: a run ends when every URL has been tried, slow hosts too.",
    )
    max_redirects: int = Field(default=5, ge=0, le=20, description="Redirects followed.")
    max_bytes: int = Field(
        default=32 * 2**20, ge=1024, description="Bytes of one body, both as sent and decompressed."
    )
    bytes_in_flight: int = Field(
        default=256 * 2**20,
        ge=1024,
        description="Bytes of bodies in memory at one time, all requests.",
    )

    formats: tuple[ImageFormat, ...] = Field(
        default=("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"),
        min_length=1,
        description="Formats that are kept, told by content.",
    )
    max_pixels: int = Field(
        default=50_000_000,
        ge=1,
        le=MOST_PIXELS,
        description="Pixels by the header, before decoding.",
    )
    min_side: int = Field(default=64, ge=1, description="Shorter side, pixels.")
    max_aspect: float = Field(default=4.0, ge=1.0, description="Longer side over shorter side.")
    min_channels: int = Field(
        default=1,
        ge=1,
        le=3,
        description="3 leaves out grey images (of one channel by their mode).",
    )
    keep_animated: bool = Field(
        default=False, description="Keep the first frame's file of animations."
    )
    decoders: int = Field(default=2, ge=1, le=128, description="Processes that decode.")
    decode_timeout: float = Field(default=30.0, gt=0, description="Processor seconds for an image.")
    block_distance: int = Field(
        default=20,
        ge=0,
        le=64,
        description="Bits of 256 within which a pHash is that of a taken-down image.",
    )

    @field_validator("allow_addresses")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            (IPv6Network if ":" in text else IPv4Network)(text)
        return value

    @model_validator(mode="after")
    def _one_body_fits(self) -> "Collect":
        if self.bytes_in_flight < self.max_bytes:
            raise ValueError("bytes_in_flight must be at least max_bytes")
        return self
