"""`engine="ray"` and `map_batches` on a cluster of two nodes on this machine: `make test-ray`."""

from __future__ import annotations

import collections
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel

from langchain_openrouter import ChatOpenRouter, OpenRouterEmbeddings, as_user, current_user, errors
from langchain_openrouter.batch import RayEngine, key_from_env, key_from_file, map_batches, run
from langchain_openrouter.callbacks import CostLimit
from tests.batch.conftest import echo, lines_of, text_of, told, wait_for
from tests.support.loopback import Reply, whole

os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")  # read at the import; a busy machine
ray = pytest.importorskip("ray", reason="Ray is not installed: make test-ray")
pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("default"),  # of Ray's own modules
]

KEYS = {
    "OPENROUTER_API_KEY": "sk-or-v1-of-the-nodes-environment",
    "TEAM_KEY": "sk-or-v1-of-a-variable-of-the-team",
}
NODE = {
    "num_cpus": 2,
    "object_store_memory": 80 * 2**20,  # Ray refuses less
    "include_dashboard": False,
}
quiet = {"progress": False}


class Label(BaseModel):
    """What rows are asked for."""

    label: str
    score: float


@pytest.fixture(scope="module")
def cluster():
    """Start a cluster of two nodes whose environment has keys, which the driver's has not."""
    from ray.cluster_utils import Cluster

    before = dict(os.environ)
    os.environ.update(
        KEYS,
        RAY_DATA_DISABLE_PROGRESS_BARS="1",
        RAY_USAGE_STATS_ENABLED="0",
    )
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    cluster.second = cluster.add_node(**NODE)
    for name in KEYS:
        os.environ.pop(name)

    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    os.environ.clear()
    os.environ.update(before)


def kill_node(cluster, processes):
    """End the second node as a power cut does, with the workers that it has of these processes."""
    raylet = cluster.second.all_processes["raylet"][0].process.pid
    workers = [pid for pid in processes if _parent(pid) == raylet]
    assert len(workers) == 1
    cluster.remove_node(cluster.second, allow_graceful=False)
    os.kill(int(workers[0]), signal.SIGKILL)


def _parent(pid):
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(re.search(r"PPid:\t(\d+)", status).group(1))


def replace_node(cluster, monkeypatch):
    """Start another one, with the keys."""
    with monkeypatch.context() as patch:
        for name, key in KEYS.items():
            patch.setenv(name, key)
        cluster.second = cluster.add_node(**NODE)


@pytest.fixture
def key_file(tmp_path):
    """Write a key that is nowhere else."""
    path = tmp_path / "key"
    path.write_text(f"sk-or-v1-sentinel-{os.urandom(8).hex()}", encoding="utf-8")
    return path


@pytest.fixture
def ray_model(cluster):
    """Make a model whose key the workers read in their environment."""

    def make(server, **fields):
        return ChatOpenRouter(
            **{"model": "a/b", "base_url": server.url, "max_retries": 0, **fields}
        )

    return make


def rows_of(count):
    """Return rows for the prompt `{text}`."""
    return [{"text": f"row-{n}"} for n in range(count)]


def facts(result):
    """Return the rows of a result without what is measured."""
    return [{**line, "latency": None} for line in map(vars_of, result)]


def vars_of(row):
    """Return the fields of a row."""
    import json

    return json.loads(row.to_json())


# --- run(engine="ray") ------------------------------------------------------------------------


def test_the_rows_are_those_of_the_local_engine(serve, ray_model, tmp_path):
    """Objects, answers that do not fit, and refusals, in the order given; keys of the nodes."""

    def reply(seen):
        time.sleep(0.05 if "row-1" in text_of(seen) else 0)
        if "row-3" in text_of(seen):
            error = {"code": 403, "message": "flagged", "metadata": {"reasons": ["violence"]}}
            return Reply({"error": error}, status=403)
        return Reply(whole('{"la' if "row-2" in text_of(seen) else '{"label": "good", "score": 1}'))

    server = serve(reply)
    model = ray_model(server)
    options = {"prompt": "Label: {text}", "schema": Label, **quiet}
    there = run(model, rows_of(12), output=tmp_path / "ray.parquet", engine="ray", **options)
    assert {seen.key for seen in server.seen} == {KEYS["OPENROUTER_API_KEY"]}
    here = run(ray_model(server, api_key="k"), rows_of(12), output=tmp_path / "o.parquet", **options)  # fmt: skip

    assert facts(there) == facts(here)
    assert (there.done, there.failed) == (here.done, here.failed)
    assert next(there.parsed()) == Label(label="good", score=1)
    assert there.spent == pytest.approx(here.spent)
    import pyarrow.parquet as pq

    tables = [pq.read_table(tmp_path / name).drop(["latency"]) for name in ("ray.parquet", "o.parquet")]  # fmt: skip
    assert tables[0].equals(tables[1])


def test_a_node_is_killed(serve, ray_model, cluster, tmp_path, monkeypatch):
    """Each row has one result, in order; what was in flight on the node is sent again."""
    seen_of = collections.defaultdict(int)

    def reply(seen):
        text, process = text_of(seen).split()
        seen_of[process] += 1
        time.sleep(0.05)
        return Reply(whole(text, id=f"gen-{text}"))

    server = serve(reply)
    chain = RunnableLambda(lambda text: f"{text} {os.getpid()}") | ray_model(
        server, api_key=key_from_env("TEAM_KEY")
    )
    output, count = tmp_path / "out.jsonl", 600

    def kill():
        while len(seen_of) < 2 or min(seen_of.values()) < 50:
            time.sleep(0.01)
        kill_node(cluster, list(seen_of))

    killer = threading.Thread(target=kill)
    killer.start()
    result = run(
        chain, ({"text": f"row-{n}"} for n in range(count)), prompt="{text}", output=output,
        engine=RayEngine(8, workers=2, options={"num_cpus": 2}), **quiet,
    )  # fmt: skip
    killer.join()
    replace_node(cluster, monkeypatch)

    assert (result.done, result.failed, result.total) == (count, 0, count)
    assert [row["output"] for row in lines_of(output)] == [f"row-{n}" for n in range(count)]
    part = (tmp_path / "out.jsonl.part").read_text(encoding="utf-8").splitlines()
    assert len(part) == 1 + count
    again = len(server.seen) - count
    assert 1 <= again <= 8
    assert {seen.key for seen in server.seen} == {KEYS["TEAM_KEY"]}


def test_the_driver_is_killed_and_interrupted(serve, start, cluster, key_file, tmp_path):
    """Kill -9, the same call, Ctrl-C, the same call: each row once, at most those in flight twice."""

    def reply(seen):
        time.sleep(0.02)
        return echo(seen)

    server, output, count = serve(reply), tmp_path / "out.jsonl", 300
    os.environ["RAY_ADDRESS"] = cluster.address

    def begin():
        return start(
            server, count, output, ray_workers=1, max_concurrency=8, key_file=str(key_file)
        )

    killed = begin()
    wait_for(server, 60, 120)
    killed.kill()
    killed.communicate()
    time.sleep(0.5)
    at_kill = len(server.seen)
    interrupted = begin()
    wait_for(server, at_kill + 60, 120)
    interrupted.send_signal(signal.SIGINT)
    first = told(interrupted)
    stopped_at = len(server.seen)
    last = told(begin())
    os.environ.pop("RAY_ADDRESS")

    assert first["stopped"] == "interrupted", first
    assert 120 - 16 <= first["done"] < count
    assert (last["done"], last["failed"], last["stopped"]) == (count, 0, None)
    assert [row["output"] for row in lines_of(output)] == [f"row-{n}" for n in range(count)]
    sent = collections.Counter(map(text_of, server.seen))
    assert max(sent.values()) <= 2
    assert len(server.seen) - count <= 8 + 8  # in flight, and on their way to the driver
    assert len(server.seen) - stopped_at == count - first["done"]


def test_no_key_is_in_the_store_the_tables_or_the_logs(serve, ray_model, cluster, key_file):
    """While rows run and after: in no memory of Ray's processes, and in no file of the session."""
    key = key_file.read_text(encoding="utf-8")
    rows = [{"text": f"marker-of-a-row {'x' * 200_000}"}] * 4
    hold = threading.Event()

    def reply(seen):
        hold.wait(60)
        return Reply(whole("marker-of-an-answer" + "y" * 200_000))

    server = serve(reply)
    model = ray_model(server, api_key=key_from_file(key_file), timeout=60)
    ray_object = ray.put({"key": "marker-of-an-object" * 10_000})
    texts = [key.encode(), b"marker-of-an-object", b"marker-of-a-row", b"_worker_keys"]
    found = []

    def scan():
        wait_for(server, 4, 120)
        found.append(find_in_ray(texts))
        hold.set()

    scanner = threading.Thread(target=scan)
    scanner.start()
    result = run(model, rows, prompt="{text}", engine="ray", **quiet)
    scanner.join()
    from ray import data as ray_data

    step = map_batches(model, prompt="{text}")
    labels = ray_data.from_items([{"text": "in a pipeline"}]).map_batches(step, compute=ray_data.ActorPoolStrategy(size=1)).take_all()  # fmt: skip
    found.append(find_in_ray(texts))
    in_files = find_in_session(texts)

    assert result.done == 4
    assert labels[0]["output"].startswith("marker-of-an-answer")
    assert {seen.key for seen in server.seen} == {key}
    assert not any(key.encode() in hits for hits in (*found, in_files))
    # What is searched is what Ray has: the store, the rows, the calls, the tables.
    assert found[0] == {b"marker-of-an-object", b"marker-of-a-row", b"_worker_keys"}
    assert ray.get(ray_object)


def find_in_ray(texts):
    """Return the texts that are in the memory of raylets, with their stores, or the head's tables."""
    folders = [
        folder
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and _command(folder).endswith((b"raylet", b"gcs_server"))
    ]
    assert len(folders) >= 3  # two raylets and the head's tables
    return set().union(*(_find_in(_memory(folder), texts) for folder in folders))


def find_in_session(texts):
    """Return the texts that are in the logs, tables and spilled objects of the session."""
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    files = [path for path in session.rglob("*") if path.is_file()]
    assert any(path.suffix in {".log", ".out"} for path in files)
    return set().union(*(_find_in([path.read_bytes()], texts) for path in files))


def _find_in(pieces, texts):
    return {text for piece in pieces for text in texts if text in piece}


def _command(folder):
    try:
        return (folder / "cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return b""


def _memory(folder):
    """Yield the readable regions of a process that hold data."""
    try:
        maps = (folder / "maps").read_text(encoding="utf-8").splitlines()
        with (folder / "mem").open("rb", buffering=0) as memory:
            for line in maps:
                start, end, access, *_, path = re.match(r"(\w+)-(\w+) (\S+) (\S+) (\S+) (\S+) *(.*)", line).groups()  # fmt: skip
                is_library = "x" in access or ".so" in path or path.startswith("[v")
                if access[0] != "r" or is_library:
                    continue
                memory.seek(int(start, 16))
                with contextlib.suppress(OSError, ValueError):
                    yield memory.read(int(end, 16) - int(start, 16))
    except OSError:  # a process that has ended
        return


KEY = "sk-or-v1-a-key-that-travels"


@pytest.mark.parametrize(
    "fields",
    [
        {"api_key": KEY},
        {"api_key": lambda: KEY},
        {"default_headers": {"x-key": KEY}},
        {"extra_body": {"key": KEY}},
    ],
    ids=["argument", "closure", "headers", "body"],
)
def test_a_key_that_would_travel_is_refused(server, ray_model, tmp_path, fields):
    """Before anything is written; the message says what to do."""
    model = ray_model(server, **fields)
    for chain in (model, RunnableLambda(str) | model.bind(stop=["x"])):
        with pytest.raises(errors.BatchError, match=r"set OPENROUTER_API_KEY where.*key_from_file"):
            run(chain, ["x"], engine="ray", output=tmp_path / "o.jsonl", **quiet)
        with pytest.raises(errors.BatchError, match="key_from_env"):
            map_batches(chain)
    assert not list(tmp_path.iterdir())


def test_what_does_not_reach_the_workers_is_refused(server, ray_model):
    """A user's key, ceilings of the context, a key in `runtime_env`, what does not pickle."""
    model = ray_model(server)
    with as_user(KEY), pytest.raises(errors.BatchError, match="in `as_user` too"):
        run(ray_model(server, api_key=current_user), ["x"], engine="ray", **quiet)
    with CostLimit(1), pytest.raises(errors.BatchError, match="use `max_cost=`"):
        run(model, ["x"], engine="ray", **quiet)
    for variables in ({"OPENROUTER_API_KEY": "x"}, {"OTHER": KEY}):
        with pytest.raises(errors.BatchError, match="`runtime_env` has an API key"):
            RayEngine(options={"runtime_env": {"env_vars": variables}})
    lock = threading.Lock()
    with pytest.raises(errors.BatchError, match="cannot be sent to workers"):
        run(RunnableLambda(lambda x: (lock, x)) | model, ["x"], engine="ray", **quiet)
    assert not server.seen


def test_a_users_run_is_carried_by_a_callable(serve, ray_model):
    """`as_user(key_from_env(...))`: the key and the id are the user's."""
    server = serve(echo)
    model = ray_model(server, api_key=current_user)
    with as_user(key_from_env("TEAM_KEY"), user="ann"):
        result = run(model, rows_of(3), prompt="{text}", engine=RayEngine(workers=1), **quiet)

    assert result.done == 3
    assert {(seen.key, seen.body["user"]) for seen in server.seen} == {(KEYS["TEAM_KEY"], "ann")}


def test_one_budget_and_one_rate(serve, ray_model, tmp_path):
    """`max_cost` holds over all workers and can be raised; a 429 slows all of them."""
    live, most, lock = [0], [0], threading.Lock()

    def reply(seen):
        with lock:
            live[0] += 1
            is_full = live[0] > 6
        time.sleep(0.02)
        with lock:
            live[0] -= 1
            most[0] += is_full
        if is_full:
            error = {"code": 429, "message": "slow down"}
            return Reply({"error": error}, status=429, headers={"retry-after": "0.2"})
        return echo(seen)

    server = serve(reply)
    options = {"prompt": "{text}", "output": tmp_path / "o.jsonl", "engine": "ray", **quiet}
    first = run(ray_model(server), rows_of(120), max_cost=0.0405, **options)
    assert (first.done, first.stopped) == (40, "max_cost")
    assert first.spent == pytest.approx(0.04)
    rest = run(ray_model(server), rows_of(120), max_cost=1, **options)

    assert (rest.done, rest.failed, rest.stopped) == (120, 0, None)
    assert rest.spent == pytest.approx(0.12)
    assert [row["output"] for row in lines_of(tmp_path / "o.jsonl")] == [r["text"] for r in rows_of(120)]  # fmt: skip
    assert most[0] < 60


def test_no_key_on_the_workers_is_the_same_error_as_here(server, ray_model):
    """Raised by `run`, with its type."""
    model = ray_model(server, api_key=key_from_env("NO_SUCH_KEY"))
    with pytest.raises(errors.AuthenticationError, match="NO_SUCH_KEY is not set here"):
        run(model, rows_of(3), prompt="{text}", engine=RayEngine(workers=1), **quiet)
    assert not server.seen


def test_workers_that_cannot_start_end_the_batch(server, ray_model):
    """As where the package, or a module of the schema, is not installed there."""
    broken = RunnableLambda(_Unloadable()) | ray_model(server)
    with pytest.raises(
        errors.BatchError, match=r"no worker of Ray can be started: ModuleNotFoundError"
    ):
        run(broken, rows_of(3), prompt="{text}", engine=RayEngine(workers=1), **quiet)


class _Unloadable:
    """Pickles, and cannot be loaded."""

    def __call__(self, value):
        return value

    def __reduce__(self):
        return __import__, ("a_module_of_the_driver",)


def test_a_row_that_kills_its_worker(serve, ray_model):
    """Has an error, after some attempts; the others have their results."""
    server = serve(echo)
    deadly = RunnableLambda(lambda text: os._exit(1) if text == "row-1" else text)
    result = run(
        deadly | ray_model(server), rows_of(4), prompt="{text}",
        engine=RayEngine(1, workers=1), **quiet,
    )  # fmt: skip
    rows = list(result)

    assert [row.output for row in rows] == ["row-0", None, "row-2", "row-3"]
    assert (rows[1].error_type, rows[1].is_retryable) == ("WorkerDiedError", True)


# --- map_batches ------------------------------------------------------------------------------


def test_a_step_of_a_pipeline(serve, ray_model):
    """Each row keeps its columns; a schema makes a struct; one budget, though its actor dies."""
    from ray import data as ray_data

    def reply(seen):
        if "row-7 " in text_of(seen):
            return Reply({"error": {"code": 400, "message": "bad"}}, status=400)
        time.sleep(0.02)
        return Reply({**whole('{"label": "good", "score": 1}'), "usage": {**whole()["usage"], "cost": 0.001}})  # fmt: skip

    server = serve(reply)
    labels = map_batches(ray_model(server), prompt="Label: {text} ", schema=Label, max_cost=0.1505)
    actor = ray.get_actor(labels.name, namespace="langchain_openrouter")

    def kill():
        wait_for(server, 50, 120)
        ray.kill(actor, no_restart=False)

    killer = threading.Thread(target=kill)
    killer.start()
    dataset = ray_data.from_items(rows_of(400), override_num_blocks=4)
    pool = ray_data.ActorPoolStrategy(size=2)
    rows = dataset.map_batches(labels, batch_size=25, compute=pool).take_all()
    killer.join()

    assert sorted(row["text"] for row in rows) == sorted(row["text"] for row in rows_of(400))
    kinds = collections.Counter(row["error_type"] for row in rows)
    bad = [row for row in rows if row["error_type"] == "InvalidRequestError"]
    # 150; the row that is refused for nothing lowers the mean, and may let one more begin.
    assert 150 <= kinds[None] <= 150 + len(bad), kinds
    assert kinds["CostLimitError"] == 400 - kinds[None] - len(bad)
    done = next(row for row in rows if row["error_type"] is None)
    assert done["output"] == {"label": "good", "score": 1.0}
    assert (done["cost"], done["provider"], done["input_tokens"]) == (0.001, "OpenAI", 10)
    state = labels.state()
    assert state["spent"] == pytest.approx(0.001 * kinds[None])
    assert (state["in_flight"], state["ended"].error_type) == (0, "CostLimitError")


@pytest.mark.parametrize("batch_format", ["default", "pandas", "pyarrow"])
def test_every_format_of_batches(cluster, batch_format):
    """Ray's own formats, and a name that is taken."""
    import asyncio

    from ray import data as ray_data

    class Rows:
        """Keeps batches."""

        def __call__(self, batch):
            return batch

    from langchain_openrouter.batch import _ray_map

    dataset = ray_data.from_items([{"text": "a", "n": 1}, {"text": "b", "n": None}])
    batch = next(iter(dataset.iter_batches(batch_format=batch_format)))
    table = _ray_map._to_table(batch)
    assert table.column("text").to_pylist() == ["a", "b"]
    step = map_batches(OpenRouterEmbeddings(model="a/b"), prefix="te", name="shared")
    assert map_batches(OpenRouterEmbeddings(model="a/b"), name="shared").name == step.name
    if batch_format == "pyarrow":
        table = table.rename_columns(["model", "n"])
        step = map_batches(ChatOpenRouter(model="a/b"))()
        with pytest.raises(ValueError, match=r"columns of the results, model: pass `prefix=`"):
            asyncio.run(step.answer(table))


@pytest.mark.off_spec("embeddings, which the contract of chat does not describe")
def test_a_data_set_of_ray_as_rows(serve, ray_model):
    """In its order, so that indices are keys; embeddings share requests, on the workers too."""
    from ray import data as ray_data

    def reply(seen):
        inputs = seen.body["input"]
        data = [{"object": "embedding", "index": i, "embedding": [float(len(text))]} for i, text in enumerate(inputs)]  # fmt: skip
        return Reply({"object": "list", "model": "a/b", "data": data, "usage": {"prompt_tokens": 3, "total_tokens": 3, "cost": 0.001}})  # fmt: skip

    server = serve(reply)
    model = OpenRouterEmbeddings(model="a/b", base_url=server.url, chunk_size=10)
    dataset = ray_data.range(40, override_num_blocks=4).map(
        lambda row: {"text": "x" * int(row["id"])}
    )
    result = run(model, dataset, prompt="{text}!", engine="ray", **quiet)

    assert [row.output for row in result] == [[n + 1.0] for n in range(40)]
    assert len(server.seen) == 4


def test_the_command_on_a_cluster(serve, cluster, tmp_path, monkeypatch):
    """Each worker reads the key from its environment; without one, what to do is said."""
    server, rows = serve(lambda seen: Reply(whole("yes"))), tmp_path / "rows.jsonl"
    rows.write_text('{"text": "a"}\n{"text": "b"}\n')
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    monkeypatch.setenv("OPENROUTER_BASE_URL", server.url)
    command = [sys.executable, "-W", "ignore", "-m", "langchain_openrouter", "batch", str(rows),
               "--prompt", "{text}", "--output", str(tmp_path / "o.jsonl"), "--engine", "ray"]  # fmt: skip

    def run_command():
        return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)

    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    refused = run_command()
    assert refused.returncode == 2
    assert "set OPENROUTER_API_KEY" in " ".join(refused.stderr.split())
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-or-v1-of-the-driver")
    done = run_command()
    assert "2 of 2 rows done" in done.stdout, done.stderr
    assert {seen.key for seen in server.seen} == {KEYS["OPENROUTER_API_KEY"]}
    assert "sk-or-v1" not in done.stdout + done.stderr
