"""Schemas of the tables in which the rooms meet.

Every table is keyed by image id (SHA-256 of the encoded bytes, hexadecimal) or by pair id. Bytes
are only in the shards (`catalog.shards`); all else is a side table.
"""

import pyarrow as pa


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind) for name, kind in columns.items()])


_TEXT = pa.string()
_COUNT = pa.int32()
_REAL = pa.float32()
_FLAG = pa.bool_()
_SCORES = pa.map_(pa.string(), pa.float32())
_HASH_256 = pa.binary(32)

IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
"""The struct that Hugging Face `datasets` shows as an image."""

PROVENANCE = _schema(
    url=_TEXT,  # where the bytes came from, as fetched; null for files and generated images
    source_page=_TEXT,
    source=_TEXT,  # name of the source class, or of the teacher or degradation that made it
    query=_TEXT,
    license=_TEXT,
    creator=_TEXT,
)

SHARD = pa.schema(
    [
        *_schema(image_id=_TEXT, image=IMAGE, width=_COUNT, height=_COUNT, format=_TEXT),
        *PROVENANCE,
    ]
)

OUTCOMES = _schema(
    url_key=_TEXT,  # w3lib.canonicalize_url of `url`; a file's resolved path for folders
    url=_TEXT,
    source=_TEXT,
    query=_TEXT,
    source_page=_TEXT,
    license=_TEXT,
    creator=_TEXT,
    # "stored", "known" (the image id was there already), "unchanged" or the slug of a failure
    outcome=_TEXT,
    detail=_TEXT,  # the failure in words
    retryable=_FLAG,
    status=_COUNT,  # HTTP status, null when none came
    final_url=_TEXT,
    hops=pa.list_(_TEXT),
    image_id=_TEXT,
    previous_id=_TEXT,  # what the URL gave in an earlier snapshot, when it was fetched again
    etag=_TEXT,
    last_modified=_TEXT,
    byte_size=pa.int64(),
    attempts=_COUNT,
    fetched_at=pa.timestamp("ms", tz="UTC"),
)

HASHES = _schema(
    image_id=_TEXT,
    snapshot=_TEXT,
    width=_COUNT,
    height=_COUNT,
    format=_TEXT,
    byte_size=pa.int64(),
    jpeg_quality=_COUNT,  # estimated from the quantisation tables; null when not a JPEG
    license=_TEXT,
    phash=_HASH_256,  # imagehash.phash, hash_size 16
    pdq=_HASH_256,
    pdq_quality=_COUNT,  # 0..100
)


FINGERPRINTS = _schema(
    image_id=_TEXT,
    trim=pa.list_(_REAL, 4),  # left, top, right, bottom of the image without its plain border, 0..1
    whole=pa.binary(1024),  # the image's luma at 32 x 32
    inner=pa.binary(1024),  # the same of the part inside `trim`
    thumbnail=pa.binary(),  # luma, JPEG
    grain=_REAL,  # standard deviation of the noise in the even parts, grey levels
    blockiness=_REAL,  # steps at the borders of 8 x 8 blocks over those inside, less 1
    texture=pa.binary(256),  # middle frequencies at full size by cell of 16 x 16, log scale
    colour=pa.binary(),  # Cb above Cr, small, JPEG
)
"""What verifies a candidate pair without going back to the images."""


def embeddings(width: int, identity: str) -> pa.Schema:
    """Unit vectors of `width` float32; the embedder's identity is in the schema's metadata."""
    fields = _schema(image_id=_TEXT, embedding=pa.list_(pa.float32(), width))
    return fields.with_metadata({"identity": identity})


DUPLICATES = _schema(
    image_id=_TEXT,
    group=_TEXT,  # image id of the group's keeper
    keeper=_FLAG,
    relation=_TEXT,  # "keeper", "copy" (goes) or "variant" (same scene, other degradation)
    reason=_TEXT,  # "exact", "perceptual", "embedding"; null for a keeper alone
    similarity=_REAL,  # 0..1 to the keeper, by the measure that `reason` names
)

CONTAMINATION = _schema(
    image_id=_TEXT, benchmark_id=_TEXT, benchmark_name=_TEXT, reason=_TEXT, similarity=_REAL
)

SCREENING = _schema(
    image_id=_TEXT,
    degradation=_TEXT,  # the strongest one; null when none was judged
    also=pa.list_(_TEXT),  # further degradations above their threshold
    confidence=_REAL,  # 0..1
    severity=_REAL,  # 1 (extreme) .. 5 (none), of `degradation`
    watermark=_REAL,  # probability 0..1
    verdict=_TEXT,  # "degraded" (to be restored), "clean" (source for synthesis) or "drop"
    reason=_TEXT,  # which rule decided
    scores=_SCORES,  # every score behind the decision
)

TARGETS = _schema(
    degraded_id=_TEXT,
    clean_id=_TEXT,  # null when no teacher made one
    degradation=_TEXT,
    teacher=_TEXT,  # identity
    instruction=_TEXT,
    outcome=_TEXT,  # "made" or the slug of the cause
    detail=_TEXT,
)

PAIRS = _schema(
    pair_id=_TEXT,  # catalog.pairs.pair_id
    degraded_id=_TEXT,
    clean_id=_TEXT,
    degradation=_TEXT,
    origin=_TEXT,  # "real" or "synthetic"
    group=_TEXT,  # duplicate group of the photo behind the pair: splits never cut a group
    photo_id=_TEXT,  # the collected image behind the pair: itself, or what was synthesised from
    layer_id=_TEXT,  # the collected image that a synthetic reflection mirrors
    teacher=_TEXT,  # identity of the restorer, or of the synthesis
    seed=pa.int64(),
    severity_degraded=_REAL,
    severity_clean=_REAL,
    consistency=_REAL,  # distance 0..1
    shift=_REAL,  # pixels
    verdict=_TEXT,  # "keep" or "drop"
    reason=_TEXT,
    scores=_SCORES,
)

DATASET = _schema(
    pair_id=_TEXT,
    degraded_id=_TEXT,
    clean_id=_TEXT,
    degradation=_TEXT,
    origin=_TEXT,
    group=_TEXT,
    photo_id=_TEXT,  # the collected image behind the pair
    layer_id=_TEXT,  # the collected image that a synthetic reflection mirrors
    split=_TEXT,  # "train" or "validation"
)

ADDED = frozenset({"layer_id"})
"""Columns that tables of earlier versions, such as those of registered models, may lack."""

HELD_OUT = _schema(image_id=_TEXT, degradation=_TEXT, group=_TEXT)
"""Real degraded images of groups that training never sees: the benchmark where none is given."""

REVIEWS = _schema(pair_id=_TEXT, decision=_TEXT, reason=_TEXT, reviewers=_COUNT)
"""What people decided of a pair: "accept", "reject" or "unsure". `assemble` obeys it."""

BLOCKLIST = _schema(kind=_TEXT, value=_TEXT, reason=_TEXT, added=_TEXT)
"""Taken-down images: kind is "url", "image_id" or "phash"."""

SCORES = _schema(
    image_id=_TEXT,  # of the degraded benchmark image
    name=_TEXT,
    degradation=_TEXT,
    outcome=_TEXT,  # "scored" or the slug of what failed
    severity_degraded=_REAL,
    severity_restored=_REAL,
    distance=_REAL,  # consistency between degraded and restored, 0..1
)
"""One row a benchmark image. Identities of judge, consistency and model are schema metadata."""

EXTRAS = _schema(
    image_id=_TEXT,
    name=_TEXT,
    degradation=_TEXT,
    measure=_TEXT,  # identity of a distance or of a no-reference measure
    degraded=pa.float64(),  # of the input; null for a distance, and where there is no number
    restored=pa.float64(),  # of the restored image, or its distance to the input
)
