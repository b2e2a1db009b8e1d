"""Dask and Ray as runners: what a death costs there, whose it is, and how values and functions get there."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from runners import DaskRunner, RayRunner, Runner, RunnerError
from tests.runners import faults
from tests.runners.faults import Faulty
from tests.runners.processes import descendants, wait_until
from tests.runners.roster import CLUSTERS, cluster_runner, local_cluster
from tests.runners.test_byvalue import CAME, DATA
from tests.runners.test_executor import ENDED, STEPS, note_and_die
from tests.runners.test_process_faults import INPUTS, MATRIX, _Unimportable, inputs_with, split, squares

pytestmark = pytest.mark.cluster
ROOT = Path(__file__).parents[2]
HARMLESS = [
    fault for fault, expected in MATRIX.items() if expected.kind in ("error", "invalid") and fault != faults.hog
]
LARGE = b"x" * 1_000_000


@pytest.fixture(params=CLUSTERS)
def make(request: pytest.FixtureRequest) -> Callable[..., Runner]:
    return partial(cluster_runner, request)


@pytest.mark.parametrize("fault", HARMLESS, ids=lambda fault: fault.__name__)
def test_a_fault_costs_exactly_its_own_input(make: Any, fault: Any) -> None:
    results, crashes = split(make().stream(Faulty(fault), INPUTS))

    assert results == squares(7)
    assert {position: crash.kind for position, crash in crashes.items()} == {7: MATRIX[fault].kind}
    assert len(crashes[7].message) < 10_100


@pytest.mark.parametrize("deliver_each", [False, True])
def test_an_input_that_kills_its_workers_is_found_in_few_tries(make: Any, tmp_path: Path, deliver_each: bool) -> None:
    runner = make(deliver_each=deliver_each)
    results, crashes = split(runner.stream(partial(note_and_die, tmp_path), INPUTS))
    times = {int(file.name): file.stat().st_size for file in tmp_path.iterdir()}

    assert results == squares(7)
    assert {position: crash.kind for position, crash in crashes.items()} == {7: "crash"}
    assert max(times.values()) <= (2 if deliver_each else 3)
    assert runner.run(faults.square, INPUTS) == [value * value for value in INPUTS]


def test_two_inputs_that_kill_their_workers_are_both_found(make: Any) -> None:
    bad = frozenset({0, 450})
    results, crashes = split(make().stream(Faulty(faults.kill_itself, bad), iter(range(500))))

    assert {position: crash.kind for position, crash in crashes.items()} == dict.fromkeys(bad, "crash")
    assert results == {value: value * value for value in range(500) if value not in bad}


def tell_and_wait(folder: Path, value: int) -> int:
    """Say which process works."""
    (folder / f"{os.getpid()}").touch()
    time.sleep(0.05)
    return value


def test_a_worker_that_something_else_kills_costs_one_input_at_most(make: Any, tmp_path: Path) -> None:
    stream = make().stream(partial(tell_and_wait, tmp_path), iter(range(60)))
    ended = dict([next(stream) for _ in range(5)])
    os.kill(int(next(tmp_path.iterdir()).name), signal.SIGKILL)
    ended.update(stream)
    results, crashes = split(ended.items())

    assert sorted(ended) == list(range(60))
    assert len(crashes) <= 1
    assert results == {value: value for value in range(60) if value not in crashes}


def test_closing_a_stream_ends_what_it_has_in_flight(make: Any, tmp_path: Path) -> None:
    runner = make()
    stream = runner.stream(partial(faults.note_and_square, tmp_path), partial(slowly, 0.02)())
    next(stream)
    stream.close()
    again = runner.run(faults.square, INPUTS)
    begun = len(list(tmp_path.iterdir()))

    assert again == [value * value for value in INPUTS]
    assert not wait_until(lambda: len(list(tmp_path.iterdir())) > begun, 0.3)


def slowly(pause_s: float) -> Any:
    for number in range(1_000):
        time.sleep(pause_s)
        yield number


def length_with(data: bytes, text: str) -> int:
    return len(data) + len(text)


def test_a_large_function_and_large_values_cross(make: Any) -> None:
    assert make().run(partial(length_with, LARGE), ["a", "bc"]) == [1_000_001, 1_000_002]
    assert make().run(bytes.upper, [LARGE] * 20) == [LARGE.upper()] * 20


def test_an_input_that_cannot_be_pickled_is_that_inputs_failure(make: Any) -> None:
    results, crashes = split(make().stream(faults.identity, inputs_with(threading.Lock())))

    assert len(results) == 19
    assert crashes[7].kind == "invalid"
    assert crashes[7].message.startswith("a lock cannot be pickled, so it cannot go to a worker: ")


def test_a_function_that_cannot_be_pickled_is_an_error_at_once(make: Any) -> None:
    with pytest.raises(RunnerError, match="cannot be pickled, so it cannot go to a worker process"):
        make().stream(threading.Lock().acquire, [1])


def test_a_function_that_workers_cannot_import_is_an_error(make: Any) -> None:
    with pytest.raises(RunnerError, match=r"a worker cannot load the function: .*no_such_module"):
        list(make().stream(_Unimportable(), INPUTS))


def test_a_runner_is_its_settings(make: Any) -> None:
    runner = make(deliver_each=True)
    copy = pickle.loads(pickle.dumps(runner))

    assert runner == make(deliver_each=True) != make()
    assert hash(runner) == hash(make(deliver_each=True))
    assert copy.run(abs, [-1]) == [1]
    assert copy.crosses_processes
    assert repr(copy) == repr(runner)


def test_the_workers_are_counted(make: Any) -> None:
    runner = make()
    with runner:
        assert runner.workers == 2


SCRIPT = """
from runners import DaskRunner, RayRunner

class Page:
    def __init__(self, number):
        self.number = number

def turn(page):
    return Page(page.number + 1)

if __name__ == "__main__":
    pages = RUNNER.run(turn, [Page(1), Page(2)])
    print([page.number for page in pages])
"""


SCRIPTS = {"functions and classes": (SCRIPT, "[2, 3]\n"), "steps": (STEPS, ENDED), "data types": (DATA, CAME)}


@pytest.mark.parametrize(("script", "printed"), SCRIPTS.values(), ids=SCRIPTS.keys())
def test_what_a_script_defines_reaches_the_workers_and_comes_back(
    request: pytest.FixtureRequest, make: Any, script: str, printed: str, tmp_path: Path
) -> None:
    """The cluster is another process's, and its workers have never seen the script."""
    make()
    (tmp_path / "script.py").write_text(script.replace("RUNNER", told(request.node.callspec.params["make"], request)))

    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, cwd=tmp_path, check=False)

    assert done.stdout == printed, done.stderr


def told(name: str, request: pytest.FixtureRequest) -> str:
    """The runner as the script writes it."""
    if name == "dask":
        return f"DaskRunner({request.getfixturevalue('dask_cluster').scheduler_address!r})"
    import ray

    return f"RayRunner({ray.get_runtime_context().gcs_address!r})"


@pytest.mark.parametrize(("kind", "extra", "package"), [(DaskRunner, "dask", "distributed"), (RayRunner, "ray", "ray")])
def test_without_its_package_a_runner_names_the_extra(
    kind: Any, extra: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(RunnerError, match=rf"install stepslice\[{extra}\]"):
        kind("local")


# ---- Dask alone ---------------------------------------------------------------------------------


def connect(cluster: Any) -> Any:
    import distributed

    make: Any = distributed.Client
    return make(cluster, set_as_default=False)


def test_what_is_yours_stays_open_and_what_the_runner_made_does_not(dask_cluster: Any) -> None:
    made: list[Any] = []

    def make() -> Any:
        made.append(connect(dask_cluster))
        return made[-1]

    with connect(dask_cluster) as client:
        assert DaskRunner(client).run(abs, [-1]) == DaskRunner(dask_cluster.scheduler_address).run(abs, [-1]) == [1]
        assert client.status == "running"
        with DaskRunner(make) as runner, runner:
            assert runner.run(abs, [-1]) == runner.run(abs, [-1]) == [1]
            assert [one.status for one in made] == ["running"]

    assert [one.status for one in made] == ["closed"]


@pytest.mark.parametrize(("disturbed", "reached"), [(1, True), (100, False)])
def test_a_greeting_that_does_not_come_alone_is_asked_for_again(
    dask_cluster: Any, monkeypatch: pytest.MonkeyPatch, disturbed: int, reached: bool
) -> None:
    import distributed

    connections: list[Any] = []
    client: Any = distributed.Client

    class Disturbed(client):  # type: ignore[misc]
        def __init__(self, *args: Any, **settings: Any) -> None:
            connections.append(args)
            if len(connections) <= disturbed:
                raise AssertionError  # as distributed's client does
            super().__init__(*args, **settings)

    monkeypatch.setattr(distributed, "Client", Disturbed)
    runner = DaskRunner(dask_cluster.scheduler_address)

    if reached:
        assert runner.run(abs, [-1]) == [1]
        assert len(connections) == 2
    else:
        with pytest.raises(RunnerError, match=r"cannot reach tcp://\S+: AssertionError; is a scheduler running there"):
            runner.run(abs, [-1])
        assert 1 < len(connections) < 100


def test_a_worker_that_dies_with_its_nanny_costs_no_input(dask_cluster: Any, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "distributed.cli.dask_worker", dask_cluster.scheduler_address]
    settings = ["--nthreads", "1", "--host", "127.0.0.1", "--no-dashboard", "--local-directory", str(tmp_path / "dask")]
    nanny = subprocess.Popen([*command, *settings], stderr=subprocess.DEVNULL, cwd=ROOT, process_group=0)
    told = tmp_path / "told"
    told.mkdir()
    ended: dict[int, Any] = {}
    with DaskRunner(dask_cluster) as runner:
        assert wait_until(lambda: runner.workers == 3, 60.0)
        stream: Any = runner.stream(partial(tell_and_wait, told), iter(range(300)))
        while not descendants(nanny.pid) & {int(file.name) for file in told.iterdir()}:
            ended.update([next(stream)])
        os.killpg(nanny.pid, signal.SIGKILL)
        ended.update(stream)
    results, crashes = split(ended.items())
    nanny.wait()

    assert results == {value: value for value in range(300)}
    assert crashes == {}


def small_cluster(n_workers: int = 1) -> Any:
    return local_cluster(n_workers=n_workers, processes=False)


def test_a_cluster_without_workers_ends_the_stream() -> None:
    stream: Any = DaskRunner(partial(small_cluster, 0), wait_for_workers=0.2).stream(abs, [1])

    position, crash = next(stream)
    with pytest.raises(RunnerError, match=r"the Dask cluster had no worker for 0\.2 seconds"):
        next(stream)
    assert (position, crash.failure().kind) == (0, "crash")


def test_a_cluster_that_goes_ends_the_stream() -> None:
    with small_cluster() as cluster, connect(cluster) as client:
        stream: Any = DaskRunner(client).stream(abs, slowly(0.01))
        ended = [next(stream)]
        client.close()
        with pytest.raises(RunnerError, match="the Dask cluster is gone"):
            ended.extend(stream)

    assert sorted(position for position, _ in ended) == list(range(len(ended)))


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("is_up", [False, True], ids=["shut down", "another one"])
def test_ray_that_goes_ends_the_stream(monkeypatch: pytest.MonkeyPatch, is_up: bool) -> None:
    import ray

    stream: Any = RayRunner().stream(abs, slowly(0.01))
    next(stream)
    monkeypatch.setattr(ray, "is_initialized", lambda: is_up)
    monkeypatch.setattr("ray.remote_function.RemoteFunction._remote", None)  # what a task is sent with

    with pytest.raises(RunnerError, match=r"Ray is gone: .*; keep it up until the stream has ended"):
        list(stream)


def test_a_client_that_is_closed_is_refused_with_a_cure() -> None:
    with small_cluster() as cluster:
        client = connect(cluster)
        client.close()
        with pytest.raises(RunnerError, match="which is closed; give the address of its scheduler"):
            DaskRunner(client).run(abs, [1])


def test_what_is_cancelled_by_somebody_else_ends_as_cancelled() -> None:
    import distributed

    with small_cluster(0) as cluster, connect(cluster) as client:
        cancel = lambda: client.cancel([distributed.Future(key, client) for key in client.futures])  # noqa: E731
        threading.Timer(0.3, cancel).start()
        _, crashes = split(DaskRunner(client).stream(abs, [1]))

    assert crashes[0].kind == "cancelled"


def test_an_address_where_nobody_listens_is_an_error() -> None:
    import dask.config

    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.2s"}),
        pytest.raises(RunnerError, match=r"DaskRunner cannot reach tcp://127.0.0.1:9: .*is a scheduler running there"),
    ):
        DaskRunner("tcp://127.0.0.1:9").run(abs, [1])


@pytest.mark.parametrize(
    ("source", "settings"),
    [(3, {}), (None, {}), *(("tcp://there:1", {"wait_for_workers": time}) for time in (0.0, "3"))],
)
def test_settings_of_dask_that_make_no_sense_are_refused(source: Any, settings: Any) -> None:
    with pytest.raises(RunnerError, match="DaskRunner cannot use"):
        DaskRunner(source, **settings)


# ---- Ray alone ----------------------------------------------------------------------------------


def test_ray_runs_a_chunk_again_as_often_as_it_is_told(ray_session: None, tmp_path: Path) -> None:
    _, crashes = split(RayRunner(crash_retries=1).stream(partial(note_and_die, tmp_path), [7]))

    assert crashes[0].kind == "crash"
    assert (tmp_path / "7").stat().st_size == 2


@pytest.mark.parametrize(("start", "settings"), [(3, {}), (None, {"crash_retries": -1})])
def test_settings_of_ray_that_make_no_sense_are_refused(start: Any, settings: Any) -> None:
    with pytest.raises(RunnerError, match="RayRunner cannot use"):
        RayRunner(start, **settings)
