"""What a version came from: the data's hash, the commit, the images it learned from."""

import hashlib
import subprocess
from pathlib import Path

import pyarrow.compute as pc
import yaml

from catalog import schemas
from catalog.layout import Layout
from catalog.pairs import IMAGES
from catalog.tables import read_table


def dataset_digest(layout: Layout) -> str:
    """DVC's hash of data/dataset, from dvc.lock; a hash of its tables where DVC did not run."""
    relative = layout.dataset.relative_to(layout.root).as_posix()
    lock = layout.root / "dvc.lock"
    if lock.exists():
        stages = (yaml.safe_load(lock.read_text("utf-8")) or {}).get("stages", {})
        for stage in stages.values():
            for out in stage.get("outs", []):
                if out.get("path") == relative:
                    return f"md5:{out['md5']}"
    digest = hashlib.sha256()
    for table in sorted(layout.dataset.glob("*.parquet")):
        digest.update(table.name.encode() + table.read_bytes())
    return f"sha256:{digest.hexdigest()}" if layout.dataset.is_dir() else "none"


def git_commit(root: Path) -> str:
    """The commit of `root`, with `+changes` where tracked files differ; "none" outside of Git."""
    try:
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return "none"
    return head + ("+changes" if changed else "")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.strip()


def learned_from(pairs: Path) -> set[str]:
    """Ids of all images in the pairs of `pairs` (schemas.DATASET), and of the photos behind them.

    Both sides of a synthetic pair are images of our own making; what was collected, and may be
    taken down, is the photo that they were made from, and the one that a reflection mirrors.
    """
    table = read_table(pairs, schemas.DATASET, IMAGES)
    return {key for name in IMAGES for key in pc.unique(table[name]).to_pylist() if key}
