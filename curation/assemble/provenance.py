"""Where the photos behind the pairs come from."""

from dataclasses import dataclass
from pathlib import Path

from catalog.shards import find_shards, open_shard


@dataclass(frozen=True)
class Origins:
    """Licence and source class by image id."""

    rows: dict[str, tuple[str | None, str | None]]

    @classmethod
    def read(cls, raw: Path) -> "Origins":
        """From the provenance columns of all shards below `raw`; raises `UserError`."""
        rows: dict[str, tuple[str | None, str | None]] = {}
        for shard in find_shards(raw):
            with open_shard(shard) as file:
                table = file.read(columns=["image_id", "license", "source"])
            for row in table.to_pylist():
                rows.setdefault(row["image_id"], (row["license"], row["source"]))
        return cls(rows)

    def license(self, image_id: str) -> str | None:
        """None when unknown."""
        return self.rows.get(image_id, (None, None))[0]

    def source(self, image_id: str) -> str | None:
        """None when unknown."""
        return self.rows.get(image_id, (None, None))[1]
