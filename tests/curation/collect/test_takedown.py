"""What a takedown enters: all that is known of the image, whatever else goes on or is broken."""

import subprocess
import sys

from catalog.blocklist import read_blocklist
from catalog.layout import Layout

TAKE_DOWN = """
import sys
from pathlib import Path
from catalog.layout import Layout
from curation.collect.takedown import take_down
layout = Layout(Path(sys.argv[1]))
take_down(sys.argv[2] + "first", "asked", layout)
print("ready", flush=True)
sys.stdin.read(1)
for number in range(20):
    take_down(sys.argv[2] + str(number), "asked", layout)
"""


def test_takedowns_at_the_same_time_are_all_kept(layout: Layout) -> None:
    bases = ["http://a.test/", "http://b.test/"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TAKE_DOWN, str(layout.root), base],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for base in bases
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("g")
        process.stdin.flush()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    names = ["first", *map(str, range(20))]
    assert read_blocklist(layout.blocklist).urls == {
        base + name for base in bases for name in names
    }
    assert [path.name for path in layout.blocklist.parent.iterdir()] == ["blocklist.parquet"]
