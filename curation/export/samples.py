"""What an exported dataset holds: samples in shards, planned before anything is read."""

from collections.abc import Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from catalog import images, schemas
from catalog.batches import batches
from catalog.degradations import WORDING, Degradation
from catalog.errors import UserError
from catalog.pairs import image_ids
from catalog.shards import ShardStore
from catalog.tables import read_table
from curation.assemble.order import shuffled

TRAIN, VALIDATION, HELD_OUT = SPLITS = ("train", "validation", "held-out")
Provenance = Mapping[str, str | None]
_PNG_START = b"\x89PNG\r\n\x1a\n"
_DEPTH_AND_COLOUR = slice(24, 26)
_RGB_8 = b"\x08\x02"
"""Bit depth 8, colour type 2, in IHDR (PNG, ISO/IEC 15948, 11.2.2)."""


@dataclass(frozen=True)
class Sample:
    """A pair, or a held-out degraded image without a clean side."""

    key: str
    """The pair id, or the held-out image's id."""
    degraded_id: str
    clean_id: str | None
    row: dict[str, Any]
    """The columns of the tables that go with it."""


@dataclass(frozen=True)
class Part:
    """One shard."""

    split: str
    number: int
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Pixels:
    """A sample with its bytes: PNG without metadata."""

    sample: Sample
    degraded: bytes
    clean: bytes | None
    facts: dict[str, Any]
    """JSON values, the same names in every sample; see `FACTS`."""


FACTS = (
    "pair_id",
    "degradation",
    "instruction",
    "origin",
    "group",
    "degraded_id",
    "clean_id",
    "photo_id",
    "made_by",
    "license",
    "creator",
    "source_page",
    "url",
    "layer_id",
    "layer_license",
    "layer_creator",
    "layer_source_page",
    "layer_url",
)
"""What is told of a sample; ids are those of the stored bytes, before they became plain PNG. Those
of the layer are of the photo that a synthetic reflection mirrors: its owner's terms bind too."""
_TERMS = ("license", "creator", "source_page", "url")


def plan(
    dataset: Path, splits: Sequence[str], per_shard: int, blocked: Set[str] = frozenset()
) -> tuple[list[Part], int]:
    """The shards of an assembled dataset, and how many samples `blocked` ids took out.

    Samples are in an order by the hash of their ids, so every shard is a mix of all degradations
    and the same dataset gives the same shards.
    """
    pairs = read_table(dataset / "pairs.parquet", schemas.DATASET).to_pylist()
    held = read_table(dataset / "held-out.parquet", schemas.HELD_OUT).to_pylist()
    samples: dict[str, list[Sample]] = {split: [] for split in splits}
    for row in pairs:
        if row["split"] in samples:
            sample = Sample(row["pair_id"], row["degraded_id"], row["clean_id"], row)
            samples[row["split"]].append(sample)
    if HELD_OUT in samples:
        samples[HELD_OUT] = [Sample(r["image_id"], r["image_id"], None, r) for r in held]
    parts, gone = [], 0
    for split, found in samples.items():
        by_key = {
            one.key: one for one in found if not {one.degraded_id, *image_ids(one.row)} & blocked
        }
        gone += len(found) - len(by_key)
        order = shuffled(by_key, 0, f"export {split}")
        for number, first in enumerate(range(0, len(order), per_shard)):
            chosen = tuple(by_key[key] for key in order[first : first + per_shard])
            parts.append(Part(split, number, chosen))
    return parts, gone


def read(part: Part, store: ShardStore, threads: int, scratch: Path) -> Iterator[Pixels]:
    """The samples of a shard with their bytes, in order.

    Row groups of the store are each read once a shard. What was read waits for its turn in a file
    without a name below `scratch`, since a shard of large photos is larger than the memory. Raises
    `UserError` for an image that the store does not have.
    """
    wanted = {key for s in part.samples for key in (s.degraded_id, s.clean_id) if key}
    layers = {key for s in part.samples if (key := s.row.get("layer_id"))}
    missing = sorted(key for key in wanted | layers if key not in store)
    if missing:
        raise UserError(
            f"{len(missing)} images of the dataset are in no shard, such as {missing[0]}.",
            "Run `dvc checkout` (and `dvc pull`) to get data/raw, data/targets and data/synthetic.",
        )
    origins = {one.image_id: one.provenance for one in store.read(layers)}
    places: dict[str, tuple[int, int]] = {}
    with TemporaryFile(dir=scratch) as waiting, ThreadPoolExecutor(threads) as pool:

        def data(key: str) -> bytes:
            at, size = places[key]
            waiting.seek(at)
            return waiting.read(size)

        for some in batches(store.read(wanted), 4 * threads):
            for one, png in zip(some, pool.map(plain_png, [s.data for s in some]), strict=True):
                places[one.image_id] = waiting.tell(), len(png)
                waiting.write(png)
                origins[one.image_id] = one.provenance
        for sample in part.samples:
            clean = data(sample.clean_id) if sample.clean_id else None
            yield Pixels(sample, data(sample.degraded_id), clean, _facts(sample, origins))


def plain_png(data: bytes) -> bytes:
    """The image as PNG of 8-bit RGB with nothing but pixels: no EXIF, no comment, no preview.

    Bytes that are so already stay as they are. Grey, transparent and 16-bit ones become the pixels
    of `images.decode`, since readers of the export would show them in their own mode. Raises
    `ImageRefused`.
    """
    if _is_rgb(data) and _chunks(data) <= {b"IHDR", b"IDAT", b"IEND"}:
        return data
    return images.encode_png(images.decode(data))


def _is_rgb(data: bytes) -> bool:
    return data.startswith(_PNG_START) and data[_DEPTH_AND_COLOUR] == _RGB_8


def _chunks(png: bytes) -> set[bytes]:
    names, at = set(), len(_PNG_START)
    while at + 8 <= len(png):
        names.add(png[at + 4 : at + 8])
        at += 12 + int.from_bytes(png[at : at + 4], "big")
    # Bytes after the last chunk are no pixels either.
    return names if at == len(png) else names | {b"more"}


def _facts(sample: Sample, origins: Mapping[str, Provenance]) -> dict[str, Any]:
    row = sample.row
    degraded = origins[sample.degraded_id]
    clean = origins[sample.clean_id] if sample.clean_id else degraded
    origin, layer_id = row.get("origin"), row.get("layer_id")
    # Targets and degraded images are stored with the name of what made them as their source.
    maker = {"real": clean["source"], "synthetic": degraded["source"]}.get(str(origin))
    facts = {
        "pair_id": row.get("pair_id"),
        "degradation": row["degradation"],
        "instruction": WORDING[Degradation(row["degradation"])].instruction_en,
        "origin": origin or "real",
        "group": row["group"],
        "degraded_id": sample.degraded_id,
        "clean_id": sample.clean_id,
        "photo_id": row.get("photo_id") or sample.degraded_id,
        "made_by": maker,
    }
    # What was made has no URL: that of the photo is with the side that shows it as it was.
    photo = clean if origin == "synthetic" else degraded
    facts |= {name: photo[name] for name in _TERMS}
    layer = origins[layer_id] if layer_id else dict.fromkeys(_TERMS)
    return facts | {"layer_id": layer_id} | {f"layer_{name}": layer[name] for name in _TERMS}
