"""`mendline review-pairs`: people look at pairs."""

import contextlib
import os
import socket
from pathlib import Path

import click

from catalog.errors import UserError
from flows.cli.out import check_writable

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_WILDCARD = ("0.0.0.0", "::")  # noqa: S104 - a token is asked for


@click.command("review-pairs")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8712, show_default=True, type=click.IntRange(0, 65535))
@click.option(
    "--share",
    default=0.2,
    show_default=True,
    type=click.FloatRange(0, 1),
    help="Share of the pairs that every reviewer sees, for the agreement.",
)
@click.option("--export", "export_only", is_flag=True, help="Write the decisions for `assemble`.")
@click.option(
    "--root", default=Path(), type=click.Path(path_type=Path, exists=True), help="The work tree."
)
def review_pairs(host: str, port: int, share: float, export_only: bool, root: Path) -> None:
    """Serve a page to accept or reject the real pairs, or --export what was decided.

    Decisions are kept in .mendline/reviews.db. For any address but loopback, set
    MENDLINE_REVIEW_TOKEN and open the page with ?token=...
    """
    from catalog import schemas
    from catalog.blocked import blocked_ids
    from catalog.layout import Layout
    from catalog.pairs import image_ids
    from catalog.settings import load_params
    from catalog.shards import ShardStore
    from catalog.tables import read_table
    from curation.review.agreement import agreement
    from curation.review.decisions import Decisions, by_pair
    from curation.review.export import export

    layout = Layout(root.resolve())
    params = load_params(layout.params)
    place = layout.root / ".mendline/reviews.db"
    check_writable(place)
    decisions = Decisions(place)
    if export_only:
        decided = by_pair(decisions.all())
        count = export(decided, layout.reviews)
        found = agreement(decided)
        click.echo(f"{count} decisions written to {layout.reviews}")
        click.echo(
            f"shared pairs: {found['shared_pairs']}, Fleiss kappa: {found['fleiss']}, "
            f"Cohen kappa: {found['cohen']}, disagreements: {len(found['disagreements'])}"  # type: ignore[arg-type]
        )
        return
    token = os.environ.get("MENDLINE_REVIEW_TOKEN") or None
    if host not in _LOOPBACK and token is None:
        raise UserError(
            f"The address {host} can be reached from elsewhere, and there is no token.",
            "Set MENDLINE_REVIEW_TOKEN, or use --host 127.0.0.1.",
        )
    blocked = blocked_ids(layout, params.assemble.block_hamming)
    pairs = [
        pair
        for pair in read_table(layout.real_pairs, schemas.PAIRS).to_pylist()
        if not image_ids(pair) & blocked
    ]
    if not pairs:
        raise UserError(
            f"There are no pairs in {layout.real_pairs}.", "Collect images and run `dvc repro`."
        )
    import uvicorn

    from curation.review.app import make_app

    app = make_app(
        pairs,
        ShardStore(layout.targets, layout.raw),
        decisions,
        params.pair,
        share,
        _names(host),
        token,
    )
    with _listen(host, port) as listener:
        port = listener.getsockname()[1]
        address = f"http://{_in_url(host)}:{port}/"
        click.echo(f"{len(pairs)} pairs: {address} (Ctrl-C ends; decisions are kept)")
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listener])


def _names(host: str) -> tuple[str, ...]:
    """What browsers may call the server that listens on `host`."""
    # Under a wildcard the names are not known; the token keeps out a page that was rebound.
    return ("*",) if host in _WILDCARD else (*_LOOPBACK[:2], _in_url(host))


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> socket.socket:
    """Raises `UserError` for a port that is taken or an address that is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        # Python adds the address to the system's words; a name that is none has a negative errno.
        number = error.errno or 0
        why = os.strerror(number) if number > 0 else str(error.strerror).partition(" (")[0]
        raise UserError(
            f"The address {host}:{port} cannot be listened on: {why}.",
            "Name another one with --port (0 takes any that is free) or --host.",
        ) from error
