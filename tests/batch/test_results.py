"""Reading what came of a batch: the result's rows, several at once, and its files."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading

import pytest
from pyarrow import parquet
from pydantic import BaseModel, ConfigDict, Field, computed_field

from langchain_openrouter.batch import run
from langchain_openrouter.batch._lock import OutputLock
from tests.batch.conftest import text_of
from tests.support.loopback import Reply, whole

quiet = {"progress": False}


@pytest.fixture
def long(serve, model_on, tmp_path):
    """The result of a batch whose rows are larger than what is read at a time."""
    server = serve(lambda seen: Reply(whole(text_of(seen) * 1000)))
    texts = [f"row-{n:02}" for n in range(40)]
    return run(model_on(server), texts, output=tmp_path / "o.jsonl", **quiet)


def test_a_result_is_read_twice_at_once(long):
    """Side by side, one inside the other, and by two threads: each reader has its own place."""
    for row, parsed in zip(long, long.parsed(), strict=True):
        assert row.output == parsed == f"row-{row.index:02}" * 1000
    for row in long:
        assert sum(1 for _ in long.errors()) == 0
        assert row.output.startswith(f"row-{row.index:02}")

    read = []
    threads = [threading.Thread(target=lambda: read.append(list(long))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read == [list(long)] * 2


def test_a_result_is_read_where_its_part_was_replaced(long, server, model_on):
    """By a batch that began anew: what was returned before stays what it was."""
    readers = iter(long)
    next(readers)
    run(model_on(server), ["other"], output=long.path, resume=False, **quiet)

    assert [row.index for row in readers] == list(range(1, 40))
    assert next(iter(long)).output == "row-00" * 1000


def test_a_reader_that_was_left_says_nothing_at_the_end(tmp_path):
    """Of the process, when the index is gone before it."""
    code = (
        "from pathlib import Path\n"
        "from langchain_openrouter.batch._parts import Part\n"
        "from langchain_openrouter.batch._row_result import RowResult\n"
        f"part = Part(Path({str(tmp_path / 'o.part')!r}), {{'key': None}}, resume=True)\n"
        "for n in range(3):\n    part.append(RowResult(n, n))\n"
        "reader = part.results()\nnext(reader)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr == ""


# --- outputs of a schema ----------------------------------------------------------------------


class _Alias(BaseModel):
    """A label."""

    label: str = Field(alias="Label")


class _ReadAlias(BaseModel):
    """A label."""

    label: str = Field(validation_alias="Label")


class _WriteAlias(BaseModel):
    """A label."""

    label: str = Field(serialization_alias="Label")


class _Computed(BaseModel):
    """A label."""

    model_config = ConfigDict(extra="forbid")
    label: str

    @computed_field
    @property
    def upper(self) -> str:
        """The label in capitals."""
        return self.label.upper()


@pytest.mark.parametrize(
    ("schema", "answer", "output"),
    [
        (_Alias, '{"Label": "x"}', {"Label": "x"}),
        (_ReadAlias, '{"Label": "x"}', {"label": "x"}),
        (_WriteAlias, '{"label": "x"}', {"Label": "x"}),
        (_Computed, '{"label": "x"}', {"label": "x", "upper": "X"}),
    ],
)
def test_fields_of_other_names_are_written_and_read(serve, model_on, tmp_path, schema, answer, output):  # fmt: skip
    """Parquet has them, and `parsed()` makes instances of them."""
    path = tmp_path / "o.parquet"
    result = run(model_on(serve(Reply(whole(answer)))), ["a"], schema=schema, output=path, **quiet)

    assert [row.output for row in result] == [output]
    assert parquet.read_table(path)["output"].to_pylist() == [output]
    assert list(result.parsed()) == [schema.model_validate_json(answer)]


def test_a_type_that_may_be_null(serve, model_on, tmp_path):
    """As JSON schema spells it: a list of types, one of them, or several."""
    path = tmp_path / "o.parquet"
    fields = {"n": {"type": ["integer", "null"]}, "x": {"type": ["string", "integer"]}}
    schema = {"title": "A", "description": "a", "type": "object", "properties": fields}
    answers = {"a": '{"n": 1, "x": 2}', "b": '{"n": null, "x": "y"}'}
    server = serve(lambda seen: Reply(whole(answers[text_of(seen)])))
    run(model_on(server), ["a", "b"], schema=schema, output=path, **quiet)

    assert parquet.read_table(path)["output"].to_pylist() == [{"n": 1, "x": "2"}, {"n": None, "x": "y"}]  # fmt: skip


def test_a_field_that_the_schema_does_not_have_is_not_lost(serve, model_on, tmp_path):
    """A model may add some: the column is one of JSON texts then, with a warning."""
    path = tmp_path / "o.parquet"
    schema = {"title": "A", "description": "a", "type": "object", "properties": {"n": {"type": "integer"}}}  # fmt: skip
    server = serve(Reply(whole('{"n": 1, "why": "because"}')))
    with pytest.warns(UserWarning, match="`output` is written as texts"):
        run(model_on(server), ["a"], schema=schema, output=path, **quiet)

    assert parquet.read_table(path)["output"].to_pylist() == ['{"n": 1, "why": "because"}']


# --- the lock ---------------------------------------------------------------------------------


def test_a_full_disk_leaves_no_lock(tmp_path, monkeypatch):
    """Once there is room, the same call in this process goes on."""

    def full(_file, _data):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "o.jsonl.lock"
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space left"):
            OutputLock(path).acquire()
    assert not path.exists()
    OutputLock(path).acquire()


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    """It is no other process."""

    def without(_file, _operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", without)
    with pytest.raises(OSError, match="No locks available"):
        OutputLock(tmp_path / "o.jsonl.lock").acquire()
