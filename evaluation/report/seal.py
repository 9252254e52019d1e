"""What a report is of, in a line of its own that an approval compares with the version's tags.

The hash of a report is kept beside it. A tag that was edited, or written while the gate was killed
between two of them, is then seen: the report says another verdict, version, champion or files.
"""

from markupsafe import Markup, escape


def seal(version: str, champion_seen: str, verdict: str, contents: str) -> Markup:
    """The line in the report's head; `champion_seen` is "none" where there was none.

    `contents` is the digest of the version's files, see evaluation.registry.contents.
    """
    said = escape(
        f"version {version}, champion {champion_seen}, verdict {verdict}, files {contents}"
    )
    return Markup(f'<meta name="mendline-gate" content="{said}">')  # noqa: S704  escaped above


def is_sealed(page: bytes, version: str, champion_seen: str, verdict: str, contents: str) -> bool:
    """Whether `page` has that line. All other text of a report is escaped and cannot be one."""
    return str(seal(version, champion_seen, verdict, contents)).encode() in page
