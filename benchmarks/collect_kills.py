"""Random SIGKILLs during a collection: rows lost, rows doubled, images fetched again.

    python benchmarks/collect_kills.py --images 5000 --kills 20

The moments are random numbers of further images served, from `--seed`.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pyarrow.parquet as pq
import yaml
from collect_web import serving

ROOT = Path(__file__).parents[1]
CONCURRENCY = 32


def prepare(folder: Path, base: str, images: int) -> None:
    """A work tree with the URLs and with settings for a fast local server."""
    params = yaml.safe_load((ROOT / "profiles/embedded.yaml").read_text())
    params["collect"] |= {
        "allow_addresses": ["127.0.0.1/32"],
        "concurrency": CONCURRENCY,
        "host_concurrency": CONCURRENCY,
        "host_rate": 1e6,
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    (folder / "urls.txt").write_text("\n".join(f"{base}/{n}.jpg" for n in range(images)))


def start(folder: Path) -> subprocess.Popen[bytes]:
    """`mendline collect` in `folder`."""
    code = "from flows.cli import main; main(['collect', '--urls', 'urls.txt'])"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=(folder / "said.txt").open("wb"),
    )


def succeeded(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait for the end of a run that must be a good one."""
    if process.wait() != 0:
        sys.exit(f"The collection failed: {(folder / 'said.txt').read_text()[-2000:]}")


def served(base: str) -> int:
    """Images that the server has sent so far."""
    with urllib.request.urlopen(f"{base}/count") as answer:
        return int(answer.read())


def main() -> None:
    """Kill, go on, and compare what is stored with what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    folder = Path(tempfile.mkdtemp(prefix="collect-kills-"))
    again = []
    with serving(arguments.images) as (base, _):
        prepare(folder, base, arguments.images)
        for number in range(arguments.kills):
            before = served(base)
            wait_for = before + rng.randint(1, 2 * arguments.images // (arguments.kills + 2))
            process = start(folder)
            while process.poll() is None and served(base) < wait_for:
                time.sleep(0.01)
            if process.poll() is not None:
                succeeded(process, folder)
                print(f"the collection was complete after {number} kills")
                break
            process.send_signal(signal.SIGKILL)
            process.wait()
            again.append(served(base) - before)
            print(f"kill {number + 1}: {served(base)} images served", flush=True)
        succeeded(start(folder), folder)
        total = served(base)
    (snapshot,) = folder.glob("data/raw/*")
    rows = pq.read_table(snapshot / "outcomes.parquet").to_pylist()
    stored = [
        key
        for shard in snapshot.glob("shards/*.parquet")
        for key in pq.read_table(shard, columns=["image_id"]).column(0).to_pylist()
    ]
    wanted = {f"{base}/{n}.jpg" for n in range(arguments.images)}
    urls = [row["url"] for row in rows if row["outcome"] == "stored"]
    print(
        f"kills {len(again)}; outcome rows lost {len(wanted - set(urls))}, doubled "
        f"{len(urls) - len(set(urls))}; images lost {arguments.images - len(set(stored))}, doubled "
        f"{len(stored) - len(set(stored))}; rows without their image "
        f"{len({row['image_id'] for row in rows} - set(stored))}; fetched again "
        f"{total - arguments.images} ({(total - arguments.images) / max(1, len(again)):.0f} a kill)"
    )
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
