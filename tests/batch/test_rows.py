"""Rows of every kind of source, each read lazily."""

from __future__ import annotations

import gzip
import json

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from langchain_openrouter.batch._rows import open_rows

ROWS = [{"id": n, "text": f"é {n}\u2028"} for n in range(2500)]


def jsonl(path):
    """Write rows as JSON lines, some empty."""
    path.write_text(
        "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n\n", "utf-8"
    )


def files(folder):
    """Return a file of each kind."""
    jsonl(folder / "r.jsonl")
    (folder / "r.ndjson.gz").write_bytes(gzip.compress((folder / "r.jsonl").read_bytes()))
    pd.DataFrame(ROWS).to_csv(folder / "r.csv", index=False)
    pd.DataFrame(ROWS).to_csv(folder / "r.tsv", index=False, sep="\t")
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "r.parquet", row_group_size=700)
    return [folder / f"r.{kind}" for kind in ("jsonl", "ndjson.gz", "csv", "tsv", "parquet")]


def test_files(tmp_path):
    """The same rows; a CSV's are texts. How many there are is known beforehand, but for gzip."""
    for path in files(tmp_path):
        source = open_rows(path if path.suffix != ".csv" else str(path))
        rows = [{**row, "id": int(row["id"])} for row in source.rows]

        assert rows == ROWS, path
        assert source.total in {2500, 2501, None}, path
        assert (source.total is None) == (path.suffix == ".gz")


def test_frames():
    """Of pandas, polars (lazy too) and pyarrow: plain Python values."""
    for frame in (pd.DataFrame(ROWS), pl.DataFrame(ROWS), pl.LazyFrame(ROWS), pa.Table.from_pylist(ROWS)):  # fmt: skip
        source = open_rows(frame)
        rows = list(source.rows)

        assert rows == ROWS
        assert type(rows[0]["id"]) is int
        assert source.total == 2500


def test_iterables():
    """Their length, where they have one."""
    assert open_rows(["a", "b"]).total == 2
    assert open_rows(iter(["a"])).total is None
    assert list(open_rows(pd.Series(["a", "b"])).rows) == ["a", "b"]


def test_what_is_no_source_is_refused(tmp_path):
    """By what it is."""
    with pytest.raises(TypeError, match="not dict"):
        open_rows({"text": "x"})
    with pytest.raises(TypeError, match="not int"):
        open_rows(3)
    with pytest.raises(ValueError, match="of no known kind"):
        open_rows("a question")
    with pytest.raises(FileNotFoundError, match="no file"):
        open_rows(tmp_path / "missing.jsonl")
    for bad in ("not json", "[" * 100_000):
        (tmp_path / "bad.jsonl").write_text(f'{{"a": 1}}\n{bad}\n')
        with pytest.raises(ValueError, match=r"bad\.jsonl, line 2, is not JSON"):
            list(open_rows(tmp_path / "bad.jsonl").rows)


def test_a_record_with_more_fields_than_the_header_is_refused(tmp_path):
    """A text with a comma that was not quoted would be sent without its end. Empty ones are none."""
    path = tmp_path / "r.csv"
    path.write_text('id,text\n1,"a, b",\n2,c\n3,d, and more\n')
    rows = open_rows(path).rows

    assert [next(rows), next(rows)] == [{"id": "1", "text": "a, b"}, {"id": "2", "text": "c"}]
    with pytest.raises(ValueError, match=r"r\.csv, line 4, has more fields than the header"):
        next(rows)


def test_a_missing_extra_is_named(monkeypatch, tmp_path):
    """With the command that installs it; JSONL and CSV do without."""
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    paths = files(tmp_path)

    with pytest.raises(ImportError, match=r"Parquet needs pyarrow: pip install .*\[batch\]"):
        open_rows(paths[-1])
    assert len(list(open_rows(paths[0]).rows)) == 2500
