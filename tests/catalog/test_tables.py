"""Tables keep their schema, and say what is wrong when they do not."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import schemas
from catalog.errors import UserError
from catalog.pairs import pair_id
from catalog.tables import map_table, read_table, write_table

ROW = {"image_id": "a", "benchmark_id": "b", "similarity": 0.5}


def test_rows_come_back_with_nulls_for_what_was_not_given(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write_table(path, [ROW], schemas.CONTAMINATION)
    assert read_table(path, schemas.CONTAMINATION).to_pylist() == [
        ROW | {"benchmark_name": None, "reason": None}
    ]


def test_a_mapped_table_is_the_same_and_leaves_no_file(tmp_path: Path) -> None:
    path, scratch = tmp_path / "t.parquet", tmp_path / "scratch"
    rows = [ROW | {"image_id": f"{number:05d}"} for number in range(5000)]  # two batches
    write_table(path, rows, schemas.CONTAMINATION)
    before = pa.total_allocated_bytes()
    mapped = map_table(path, schemas.CONTAMINATION, scratch)
    assert pa.total_allocated_bytes() - before < 10_000, "it lies in memory"
    assert mapped.equals(read_table(path, schemas.CONTAMINATION))
    assert list(scratch.iterdir()) == []
    with pytest.raises(UserError, match="no column pair_id"):
        map_table(path, schemas.PAIRS, scratch)


def test_a_column_that_earlier_versions_did_not_write_is_null(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    before = schemas.DATASET.remove(schemas.DATASET.get_field_index("layer_id"))
    write_table(path, [{"pair_id": "p", "split": "train"}], before)
    table = read_table(path, schemas.DATASET)
    assert table.schema.equals(schemas.DATASET)
    assert table["layer_id"].to_pylist() == [None]
    assert table["split"].to_pylist() == ["train"]
    path.unlink()
    write_table(path, [{"pair_id": "p"}], before.remove(before.get_field_index("split")))
    with pytest.raises(UserError, match="no column split"):
        read_table(path, schemas.DATASET)


def test_a_column_of_another_schema_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="severety"):
        write_table(tmp_path / "t.parquet", [ROW | {"severety": 1.0}], schemas.CONTAMINATION)
    assert not (tmp_path / "t.parquet").exists()


def test_missing_broken_and_foreign_tables_name_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    with pytest.raises(UserError, match="does not exist"):
        read_table(path, schemas.PAIRS)
    path.write_bytes(b"PAR1 but not really")
    with pytest.raises(UserError, match="cannot be read"):
        read_table(path, schemas.PAIRS)
    write_table(path, [ROW], schemas.CONTAMINATION)
    with pytest.raises(UserError, match="no column pair_id"):
        read_table(path, schemas.PAIRS)
    with path.open("r+b") as file:  # its footer, with the schema, stays
        file.seek(4)
        file.write(bytes(40))
    with pytest.raises(UserError, match="cannot be read"):
        read_table(path, schemas.CONTAMINATION)


def test_an_embedders_identity_travels_with_its_vectors(tmp_path: Path) -> None:
    schema = schemas.embeddings(2, "clip/v1")
    path = tmp_path / "e.parquet"
    write_table(path, [{"image_id": "a", "embedding": [0.6, 0.8]}], schema)
    assert read_table(path, schema).schema.metadata[b"identity"] == b"clip/v1"
    with pytest.raises(pa.ArrowInvalid):
        write_table(path, [{"image_id": "a", "embedding": [1.0]}], schema)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.text(), st.text(), st.text()), unique=True, max_size=5))
def test_pair_ids_differ_where_pairs_differ(pairs: list[tuple[str, str, str]]) -> None:
    hexadecimal = [tuple(part.encode().hex() for part in pair) for pair in pairs]
    assert len({pair_id(*pair) for pair in hexadecimal}) == len(pairs)
