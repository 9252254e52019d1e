"""How the fetching of one URL can end."""

STORED = "stored"
KNOWN = "known"
UNCHANGED = "unchanged"
OUT_OF_TIME = "out-of-time"
"""Not tried: the run's time was over before."""

GOOD = frozenset({STORED, KNOWN, UNCHANGED})

FILTERED = frozenset(
    {
        "address-refused",
        "animated",
        "aspect-ratio",
        "format-not-kept",
        "grey",
        "opt-out",
        "robots-denied",
        "too-large",
        "too-many-pixels",
        "too-many-redirects",
        "too-small",
    }
)
"""Outcomes that other settings could change."""


class FetchError(Exception):
    """A URL that gave no image: `slug` names the outcome, `retryable` whether it may pass.

    `retry_after` is what the server asked for, in seconds; `status` the HTTP status when one came.
    """

    def __init__(
        self,
        slug: str,
        detail: str,
        retryable: bool = False,
        status: int | None = None,
        retry_after: float | None = None,
        host_fault: bool = False,
    ) -> None:
        super().__init__(detail)
        self.slug = slug
        self.detail = detail
        self.retryable = retryable
        self.status = status
        self.retry_after = retry_after
        self.host_fault = host_fault
        """Whether it says something about the host as a whole."""
        self.hops: list[str] = []
        self.final_url: str | None = None
        self.host: str | None = None
        """The host (as `http.host_of` names it) that was asked when it happened."""

    def again(self) -> "FetchError":
        """The same for another URL: one that is raised twice keeps all frames of both."""
        return FetchError(
            self.slug, self.detail, self.retryable, self.status, self.retry_after, self.host_fault
        )
