"""The two layouts: WebDataset (tar shards) and a folder of Parquet for Hugging Face `datasets`."""

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from catalog import schemas
from curation.export.samples import FACTS, Pixels

_ROW_GROUP = 16


class Layout(Protocol):
    """How shards are named and written."""

    name: str

    def file(self, split: str, number: int, count: int) -> str:
        """Path of a shard inside the exported folder."""
        ...

    def files(self, split: str) -> str:
        """Glob of a split's shards, for the card."""
        ...

    def write(self, path: Path, samples: Iterable[Pixels]) -> None:
        """Write one shard; the same samples give the same bytes."""
        ...


class WebDataset:
    """`KEY.degraded.png`, `KEY.clean.png`, `KEY.json` behind one another; KEY is the pair id.

    Plain tar (ustar), see https://github.com/webdataset/webdataset. Held-out samples have no clean
    side.
    """

    name = "webdataset"

    def file(self, split: str, number: int, count: int) -> str:
        """Such as train-000003.tar."""
        return f"{split}-{number:06d}.tar"

    def files(self, split: str) -> str:
        """All tars of the split."""
        return f"{split}-*.tar"

    def write(self, path: Path, samples: Iterable[Pixels]) -> None:
        """See `Layout.write`."""
        with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
            for one in samples:
                key = one.sample.key
                _add(tar, f"{key}.degraded.png", one.degraded)
                if one.clean is not None:
                    _add(tar, f"{key}.clean.png", one.clean)
                text = json.dumps(one.facts, ensure_ascii=False, sort_keys=True)
                _add(tar, f"{key}.json", text.encode())


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    # No time, user or machine in the header: TarInfo's defaults are 0 and empty.
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o444
    tar.addfile(member, io.BytesIO(data))


def _schema() -> pa.Schema:
    fields = [pa.field("degraded", schemas.IMAGE), pa.field("clean", schemas.IMAGE)]
    fields += [pa.field(name, pa.string()) for name in FACTS]
    features: dict[str, dict[str, str]] = {
        field.name: {"dtype": "string", "_type": "Value"} for field in fields
    }
    features["degraded"] = features["clean"] = {"_type": "Image"}
    # The metadata by which `datasets` shows the two columns as images.
    return pa.schema(
        fields, {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    )


class HuggingFace:
    """Parquet shards with the image columns `degraded` and `clean` (null for held-out images)."""

    name = "huggingface"
    schema = _schema()

    def file(self, split: str, number: int, count: int) -> str:
        """Such as data/train-00003-of-00010.parquet."""
        return f"data/{split}-{number:05d}-of-{count:05d}.parquet"

    def files(self, split: str) -> str:
        """All Parquet files of the split."""
        return f"data/{split}-*.parquet"

    def write(self, path: Path, samples: Iterable[Pixels]) -> None:
        """See `Layout.write`."""
        with pq.ParquetWriter(path, self.schema, compression="none", write_statistics=False) as out:
            rows: list[dict[str, object]] = []
            for one in samples:
                clean = one.clean and {"bytes": one.clean, "path": f"{one.sample.key}.clean.png"}
                degraded = {"bytes": one.degraded, "path": f"{one.sample.key}.degraded.png"}
                rows.append({"degraded": degraded, "clean": clean, **one.facts})
                if len(rows) == _ROW_GROUP:
                    out.write_table(pa.Table.from_pylist(rows, self.schema))
                    rows = []
            if rows:
                out.write_table(pa.Table.from_pylist(rows, self.schema))


LAYOUTS: dict[str, Layout] = {one.name: one for one in (WebDataset(), HuggingFace())}
