"""Throughput and memory of `collect` against img2dataset, on the same local server.

img2dataset must not be installed beside Mendline (it pins old releases); give it a venv of its own:

    python -m venv /tmp/img2dataset && /tmp/img2dataset/bin/pip install img2dataset
    python benchmarks/collect_vs_img2dataset.py --img2dataset /tmp/img2dataset/bin/python

Both fetch the same images with the same number of requests at a time, check that they decode, and
store the bytes as they came with their SHA-256. img2dataset does so with resize_mode="no" and
skip_reencode; with --no-verify a third row shows it without decoding (disable_all_reencoding),
which `collect` never does. Wall time includes the start of the processes. CPU time is that of the
client's whole process tree; memory is the peak of its summed proportional set size (PSS).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import yaml
from collect_web import serving

ROOT = Path(__file__).parents[1]

IMG2DATASET = """
import sys, img2dataset
if __name__ == "__main__":
    img2dataset.download(
        url_list="urls.txt", input_format="txt", output_folder="out", output_format="parquet",
        processes_count={processes}, thread_count={threads}, number_sample_per_shard=1024,
        resize_mode="no", {mode}=True, retries=3, timeout=60, enable_wandb=False,
        compute_hash="sha256",
    )
"""


class Meter(threading.Thread):
    """Samples CPU time and PSS of a process tree until it ends."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self._cpu: dict[int, float] = {}
        self.peak = 0

    def run(self) -> None:
        """Sample every 0.1 s."""
        while True:
            total = 0
            try:
                processes = [self._root, *self._root.children(recursive=True)]
                if self._root.status() == psutil.STATUS_ZOMBIE:
                    return
            except psutil.NoSuchProcess:
                return
            for process in processes:
                try:
                    times = process.cpu_times()
                    self._cpu[process.pid] = times.user + times.system
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.peak = max(self.peak, total)
            time.sleep(0.1)

    @property
    def cpu(self) -> float:
        """Seconds of all processes seen."""
        return sum(self._cpu.values())


def run(command: list[str], folder: Path, environment: dict[str, str]) -> dict[str, float]:
    """Run a client to its end; wall and CPU seconds, peak bytes."""
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    meter = Meter(process.pid)
    meter.start()
    output, _ = process.communicate()
    wall = time.monotonic() - started
    meter.join(1)
    if process.returncode != 0:
        sys.exit(f"{command} failed:\n{output[-3000:]}")
    return {"wall": wall, "cpu": meter.cpu, "peak": meter.peak}


def run_mendline(folder: Path, arguments: argparse.Namespace) -> dict[str, float]:
    """`mendline collect` in `folder`."""
    params = yaml.safe_load((ROOT / "profiles/embedded.yaml").read_text())
    params["collect"] |= {
        "allow_addresses": ["127.0.0.1/32"],
        "concurrency": arguments.concurrency,
        "host_concurrency": arguments.concurrency,
        "host_rate": 1e6,
        "decoders": arguments.processes,
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    code = "from flows.cli import main; main(['collect', '--urls', 'urls.txt'])"
    measured = run([sys.executable, "-c", code], folder, {"PYTHONPATH": str(ROOT)})
    (record,) = folder.glob("data/raw/*/snapshot.json")
    outcomes = json.loads(record.read_text())["outcomes"]
    assert outcomes == {"stored": arguments.images}, outcomes
    return measured


def run_img2dataset(folder: Path, arguments: argparse.Namespace, mode: str) -> dict[str, float]:
    """img2dataset in `folder`; `mode` is the argument that keeps it from encoding again."""
    threads = max(1, arguments.concurrency // arguments.processes)
    script = IMG2DATASET.format(processes=arguments.processes, threads=threads, mode=mode)
    (folder / "run.py").write_text(script)
    environment = {"NO_ALBUMENTATIONS_UPDATE": "1"}
    measured = run([arguments.img2dataset, "run.py"], folder, environment)
    stats = [json.loads(path.read_text()) for path in folder.glob("out/*_stats.json")]
    done = sum(shard["successes"] for shard in stats)
    assert done == arguments.images, f"img2dataset stored {done} of {arguments.images}"
    return measured


def main() -> None:
    """Measure in turn and print a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--img2dataset", required=True, help="Python of the venv that has it.")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-verify", action="store_true")
    arguments = parser.parse_args()
    rows: dict[str, list[dict[str, float]]] = {"mendline": [], "img2dataset": []}
    if arguments.no_verify:
        rows["img2dataset, not decoding"] = []
    with serving(arguments.images) as (base, size):
        print(f"{arguments.images} images, {size / arguments.images / 1e3:.0f} kB each; "
              f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")  # fmt: skip
        for _ in range(arguments.rounds):
            for name, found in rows.items():
                folder = Path(tempfile.mkdtemp(prefix="collect-benchmark-"))
                urls = "\n".join(f"{base}/{n}.jpg" for n in range(arguments.images))
                (folder / "urls.txt").write_text(urls)
                if name == "mendline":
                    found.append(run_mendline(folder, arguments))
                else:
                    mode = "disable_all_reencoding" if "not" in name else "skip_reencode"
                    found.append(run_img2dataset(folder, arguments, mode))
                shutil.rmtree(folder)
                last = found[-1]
                print(f"{name}: {last['wall']:.1f} s wall, {last['cpu']:.1f} s CPU, "
                      f"{last['peak'] / 2**20:.0f} MiB", flush=True)  # fmt: skip
    middle = {
        name: {key: statistics.median(run[key] for run in found) for key in found[0]}
        for name, found in rows.items()
    }
    print(
        "\n| | images/s | ratio | CPU ms an image | ratio | peak MiB |\n|---|---|---|---|---|---|"
    )
    for name, value in middle.items():
        other = middle["img2dataset"]
        print(
            f"| {name} | {arguments.images / value['wall']:.0f} | "
            f"{other['wall'] / value['wall']:.2f} | "
            f"{value['cpu'] / arguments.images * 1e3:.2f} | {other['cpu'] / value['cpu']:.2f} | "
            f"{value['peak'] / 2**20:.0f} |"
        )


if __name__ == "__main__":
    main()
