"""The demo: the whole way, through the flows, on the small web or on somebody's own images."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from catalog.errors import UserError
from catalog.files import atomic_file, write_json
from catalog.layout import Layout
from catalog.settings import load_params, parse_params
from flows.collecting import check
from flows.template import profile_path
from flows.workspace import Workspace, create, has_own_settings

_SOURCE = "demo.json"

# The small web is on loopback and all its hosts are one machine: the guard must let it through,
# and politeness that spares real hosts would only make the demo wait.
_ON_LOOPBACK = {
    "allow_addresses": ["127.0.0.1/32"],
    "host_rate": 200.0,
    "host_concurrency": 8,
    "read_timeout": 4.0,
    "total_timeout": 6.0,
    "attempts": 2,
    "backoff": 0.2,
}

# Fewer training steps than the profile's, so that a first look takes minutes on two cores.
_FEWER_STEPS = {
    "transfer": {"steps": 120, "validate_every": 40, "checkpoint_every": 40},
    "finetune": {"steps": 80, "validate_every": 40, "checkpoint_every": 40},
}


@dataclass(frozen=True)
class Source:
    """Where the demo's images come from: the small web when both are None."""

    urls: Path | None = None
    folder: Path | None = None

    def check(self) -> None:
        """Raise `UserError` for paths that do not exist, before anything is made."""
        if self.urls and self.folder:
            raise UserError("--urls and --folder were both given.", "Give one of them.")
        if self.urls and not self.urls.is_file():
            raise UserError(f"There is no file {self.urls}.", "Name a list of URLs, one a line.")
        if self.folder and not self.folder.is_dir():
            raise UserError(f"There is no folder {self.folder}.", "Name a folder of photos.")

    @property
    def name(self) -> str:
        """What a work tree remembers."""
        place = self.urls or self.folder
        return str(place.resolve()) if place else "the small web"


def demo_params(profile: str) -> str:
    """The profile's settings, fit for the small web and for a first look."""
    content = yaml.safe_load(profile_path(profile).read_text("utf-8"))
    content["collect"] |= _ON_LOOPBACK
    for section, values in _FEWER_STEPS.items():
        content[section] |= {k: min(v, content[section][k]) for k, v in values.items()}
    head = f"# The profile {profile}, told about the demo's web on 127.0.0.1, with fewer steps.\n"
    return head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def prepare(root: Path, source: Source, profile: str, params: str | None = None) -> Workspace:
    """The demo's work tree, made or brought up to date.

    Raises `UserError`, for wrong settings and a source that holds nothing before anything is made.
    """
    source.check()
    if params is None:
        own = source != Source()
        params = profile_path(profile).read_text("utf-8") if own else demo_params(profile)
    layout = Layout(root.resolve())
    known = (
        load_params(layout.params)
        if has_own_settings(layout.root)
        else parse_params(params, f"the profile {profile}")
    )
    places = [str(place.resolve()) if place else None for place in (source.urls, source.folder)]
    check(layout, known, *places)
    tree = create(root, profile, params)
    mark = tree.state / _SOURCE
    if mark.exists():
        before = json.loads(mark.read_text("utf-8"))["source"]
        if before != source.name:
            raise UserError(
                f"The work tree {tree.root} was made of {before}.",
                "Name another one with --workspace, so that the two do not mix.",
            )
    else:
        write_json(mark, {"source": source.name})
    return tree


@contextmanager
def web_of(tree: Workspace, size: Any = None) -> Iterator[Path]:
    """Serve the small web and lay its held-out images into the benchmark; yield the URL list.

    The same ports are taken as last time, so that the URLs are the same.
    """
    from flows.demo_web.server import serve
    from flows.demo_web.site import build

    site = build(size=size)
    for name, data in site.benchmark.items():
        target = tree.layout.benchmark / name
        if not target.exists():
            with atomic_file(target) as temporary:
                temporary.write_bytes(data)
    remembered = tree.state / "ports.json"
    ports = json.loads(remembered.read_text("utf-8")) if remembered.exists() else None
    with serve(site, ports) as web:
        write_json(remembered, dict(web.ports))
        urls = tree.state / "urls.csv"
        with atomic_file(urls) as temporary:
            temporary.write_text(web.url_list(), "utf-8")
        yield urls


def run(tree: Workspace, source: Source, size: Any = None) -> dict[str, Any]:
    """Both flows; return what `flows.refresh.refresh` returns. Raises `UserError`."""
    from flows.promote import promote
    from flows.refresh import refresh

    root = str(tree.root)
    if source == Source():
        with web_of(tree, size) as urls:
            result = refresh(root, urls=str(urls))
    elif source.urls:
        result = refresh(root, urls=str(source.urls.resolve()))
    else:
        assert source.folder is not None
        result = refresh(root, folder=str(source.folder.resolve()))
    return result | {"promotion": promote(root)["outcome"]}
