"""What is PostgreSQL's own: the server that stops and comes back, its refusals, its schema, its connections."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from pipeline import ExecutionContext, PostgresJournal, Processor, ProcessorInput, step, to_inputs
from pipeline.errors import InvalidSetting, JournalDamaged, JournalError, RunFailed
from pipeline.journal import heartbeat, postgres
from pipeline.journal.statements import schema
from tests.journal.roster import InPostgres, Stores
from tests.journal.servers import Proxy, Server

pytestmark = pytest.mark.postgres

FORK = multiprocessing.get_context("fork")
SECRET = "geheim"
ran: list[int] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


@pytest.fixture
def place(make_store: Stores) -> Any:
    """A schema of its own on the server of the session."""
    return make_store("postgres")


def inputs(*values: int) -> list[ProcessorInput[int]]:
    return list(to_inputs(values, key=str))


def doubles(journal: Any, at: int = 0, then: Callable[[], object] = lambda: None) -> Processor[int, int, list[int]]:
    """A processor in whose step something happens the first time at one input."""

    def double(value: int) -> int:
        ran.append(value)
        if value == at and ran.count(value) == 1:
            then()
        return value * 2

    journal.group_s = 0.0
    return Processor(name="doubles", pipeline=step("double", version="1")(double), journal=journal)


# the server goes away


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_stops_during_a_run_keeps_what_was_committed(server: Server, mode: str) -> None:
    journal = PostgresJournal(server.dsn)
    handed: list[str] = []
    stream = doubles(journal, 4, lambda: server.stop(mode)).stream(inputs(1, 2, 3, 4, 5, 6))
    with pytest.raises(RunFailed) as failed:
        handed.extend(outcome.input_id for outcome in stream)
    with pytest.raises(JournalError, match="does the server run"):
        journal.runs()
    server.start()
    found = journal.find("doubles")
    again = ExecutionContext(previous_run_id=found and found.run_id)
    result = doubles(journal).execute(inputs(1, 2, 3, 4, 5, 6), context=again)
    journal.close()

    assert isinstance(failed.value.__cause__, JournalError)
    assert handed == ["1", "2", "3"]
    assert found is not None
    assert found.state == "died"
    assert result.output == [2, 4, 6, 8, 10, 12]
    assert ran == [1, 2, 3, 4, 4, 5, 6]


@pytest.mark.slow
def test_a_batch_that_lost_its_server_has_its_outcomes_in_the_error_and_is_resumed(server: Server) -> None:
    journal = PostgresJournal(server.dsn)
    with pytest.raises(RunFailed) as failed:
        doubles(journal, 3, lambda: server.stop("immediate")).execute(inputs(1, 2, 3, 4, 5))
    server.start()
    result = doubles(journal).resume()
    journal.close()

    left = failed.value.result
    assert left is not None
    assert [outcome.input_id for outcome in left.succeeded] == ["1", "2", "3"]
    assert [outcome.input_id for outcome in left.not_run] == ["4", "5"]
    assert result.output == [2, 4, 6, 8, 10]
    assert ran == [1, 2, 3, 3, 4, 5]


def test_a_connection_that_is_cut_during_a_run_ends_it_and_a_resume_is_exact(place: InPostgres, proxy: Proxy) -> None:
    journal = PostgresJournal(proxy.dsn, schema=place.schema)
    with pytest.raises(RunFailed):
        doubles(journal, 3, proxy.cut).execute(inputs(1, 2, 3, 4, 5))
    with pytest.raises(JournalError, match="does the server run"):
        doubles(journal).resume()
    proxy.mend()
    result = doubles(journal).resume()
    journal.close()

    assert result.output == [2, 4, 6, 8, 10]
    assert ran == [1, 2, 3, 3, 4, 5]


def test_a_connection_that_was_lost_while_idle_is_opened_again(
    place: InPostgres, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "IDLE_S", 0.0)
    journal = PostgresJournal(proxy.dsn, schema=place.schema)
    first = doubles(journal).execute(inputs(1, 2))
    proxy.cut_for_a_moment()
    second = doubles(journal, 5, proxy.cut_for_a_moment).execute(inputs(5, 6))
    runs = journal.runs()
    journal.close()

    assert first.success
    assert second.output == [10, 12]
    assert len(runs) == 2


def test_a_forked_child_does_not_keep_its_parents_connection_open(
    place: InPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "SILENT_S", 0)  # so that the server does not end it for being silent
    doubles(place()).execute(inputs(1))
    sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'stepslice' AND pid = {pid}"
    holder = FORK.Process(target=hold_a_transaction, args=(place, *(ends := FORK.Pipe())))
    holder.start()
    session, child = ends[0].recv()
    os.kill(holder.pid or 0, signal.SIGKILL)
    holder.join()
    try:
        while place.one(sessions.format(pid=session)):  # or the test times out: the child lives on
            time.sleep(0.01)
    finally:
        os.kill(child, signal.SIGKILL)

    assert doubles(place()).resume().output == [2]


def hold_a_transaction(place: InPostgres, ours: Any, theirs: Any) -> None:
    journal = place.journal("input")

    def held(connection: Any) -> None:
        connection.execute(f"SELECT FROM {place.schema}.batches FOR UPDATE")
        child = os.fork()
        if child == 0:
            time.sleep(600)
            os._exit(0)
        theirs.send((connection.info.backend_pid, child))
        signal.pause()

    journal._transact(held)


def test_a_transaction_whose_process_is_stopped_does_not_hold_up_the_others_for_ever(
    place: InPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "SILENT_S", 1)
    doubles(place()).execute(inputs(1))
    stopped = place()

    def held(connection: Any) -> None:
        connection.execute(f"SELECT FROM {place.schema}.batches FOR UPDATE")
        assert doubles(place()).resume().output == [2]

    with pytest.raises(JournalError, match="idle-in-transaction timeout"):
        stopped._transact(held)


def test_who_only_looks_does_not_wait_for_those_who_write(place: InPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    running = doubles(place()).stream(inputs(1, 2))
    next(running)
    monkeypatch.setattr(postgres, "BUSY_S", 1)
    with psycopg.connect(place.dsn) as writer:
        writer.execute(f"SELECT FROM {place.schema}.batches FOR UPDATE".encode())
        found = place().find("doubles")
    rest = list(running)

    assert found is not None
    assert (found.state, len(rest)) == ("started", 1)


def test_a_wait_for_a_lock_is_bounded(place: InPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "BUSY_S", 1)
    journal = place()
    result = doubles(journal).execute(inputs(1))
    with psycopg.connect(place.dsn) as other:
        other.execute(f'SELECT * FROM "{place.schema}".batches FOR UPDATE'.encode())
        with pytest.raises(JournalError, match="has been writing this batch"):
            doubles(place()).execute(inputs(1), context=ExecutionContext(previous_run_id=result.run_id))

    assert doubles(journal).resume().output == [2]


# what the server refuses


@pytest.mark.parametrize(
    ("state", "kind", "cure"),
    [
        ("53100", JournalError, "the server's disk is full: free some space and resume"),
        ("53200", JournalError, "out of memory"),
        ("57P01", JournalError, "stopping or starting"),
        ("25006", JournalError, "name the primary"),
        ("40P01", JournalError, "resume"),
        ("XX001", JournalDamaged, "restore the database from a copy"),
        ("22P02", JournalError, "SQLSTATE 22P02"),
    ],
)
def test_what_the_server_says_during_a_run_ends_it_with_a_cure(
    place: InPostgres, state: str, kind: type[Exception], cure: str
) -> None:
    journal = place()
    doubles(journal).execute([])
    place.execute(f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.id % 4294967296 >= 2 THEN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON outcomes FOR EACH ROW EXECUTE FUNCTION refuse()""")
    with pytest.raises(RunFailed, match=cure) as failed:
        doubles(journal).execute(inputs(1, 2, 3, 4))
    place.execute("DROP TRIGGER refuse ON outcomes")
    result = doubles(journal).resume()

    assert type(failed.value.__cause__) is kind
    assert result.output == [2, 4, 6, 8]
    assert ran == [1, 2, 3, 3, 4]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"port": 1}, "Connection refused"),
        ({"dbname": "nowhere"}, "does not exist"),
        ({"user": "nobody_at_all"}, "does not exist|authentication failed"),
    ],
)
def test_a_server_that_cannot_be_reached_is_told_with_a_cure(
    postgres_dsn: str, change: dict[str, Any], said: str
) -> None:
    journal = PostgresJournal(make_conninfo(postgres_dsn, **change))

    with pytest.raises(JournalError, match=rf"(?s)({said}).*are database, user and password right"):
        doubles(journal).execute(inputs(1))
    assert ran == []


def test_a_user_who_may_not_create_a_schema_is_told_what_to_ask_for(place: InPostgres) -> None:
    user = f"test_{uuid4().hex[:8]}"
    with psycopg.connect(place.dsn, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{SECRET}'".encode())
        theirs = make_conninfo(place.dsn, user=user, password=SECRET)
        try:
            with pytest.raises(JournalError, match="GRANT CREATE ON DATABASE") as refused:
                PostgresJournal(theirs, schema=place.schema).runs()
            admin.execute(
                f'CREATE SCHEMA "{place.schema}"; GRANT CREATE, USAGE ON SCHEMA "{place.schema}" TO {user}'.encode()
            )
            journal = PostgresJournal(theirs, schema=place.schema)
            result = doubles(journal).execute(inputs(1))
            journal.close()
        finally:
            admin.execute(f"DROP OWNED BY {user}; DROP ROLE {user}".encode())

    assert result.success
    assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_a_database_of_another_encoding_is_refused(place: InPostgres) -> None:
    name = f"test_{uuid4().hex}"
    with psycopg.connect(place.dsn, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0".encode())
        try:
            with pytest.raises(JournalError, match="encoding is LATIN1"):
                PostgresJournal(make_conninfo(place.dsn, dbname=name)).runs()
        finally:
            admin.execute(f"DROP DATABASE {name}".encode())


# the schema


def test_a_schema_with_tables_of_something_else_is_refused(place: InPostgres) -> None:
    with psycopg.connect(place.dsn, autocommit=True) as other:
        other.execute(f'CREATE SCHEMA "{place.schema}" CREATE TABLE runs (theirs TEXT)'.encode())

    with pytest.raises(JournalError, match="name one for the journal alone"):
        place().runs()


def test_a_newer_format_is_refused_with_its_version(place: InPostgres) -> None:
    doubles(place()).execute(inputs(1))
    place.execute("UPDATE format SET version = 99")

    with pytest.raises(JournalError, match="version 99"):
        doubles(place()).resume()


def test_a_journal_of_the_first_format_is_migrated(place: InPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "steps_of", lambda folder: schema(folder)[:1])
    place().runs()
    monkeypatch.undo()
    place.execute("INSERT INTO batches (processor) VALUES ('doubles')")

    assert place().runs() == []
    assert doubles(place()).execute(inputs(1)).success
    assert f"{(len(schema('postgres_schema')),)}".encode() in place.dump()


def test_journals_of_two_schemas_know_nothing_of_each_other(place: InPostgres, make_store: Stores) -> None:
    other = make_store("postgres")
    doubles(place()).execute(inputs(1))

    assert other().runs() == []


def test_many_may_make_the_schema_at_once(place: InPostgres) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda journal: journal.runs(), [place() for _ in range(8)]))

    assert found == [[]] * 8


# settings


@pytest.mark.parametrize(("sync", "expected"), [("power", "on"), ("process", "off")])
def test_the_level_of_safety_is_the_servers_synchronous_commit(place: InPostgres, sync: Any, expected: str) -> None:
    journal = PostgresJournal(place.dsn, schema=place.schema, sync=sync)
    (found,) = journal._use(lambda connection: connection.execute("SHOW synchronous_commit").fetchone())
    journal.close()

    assert found == expected


def test_what_pickles_are_the_settings(place: InPostgres) -> None:
    journal = place()
    doubles(journal).execute(inputs(1))

    twin: Any = pickle.loads(pickle.dumps(journal))

    assert [run.run_id for run in twin.runs()] == [run.run_id for run in journal.runs()]
    twin.close()


def test_no_message_shows_the_password() -> None:
    journal = PostgresJournal(f"postgresql://me:{SECRET}@127.0.0.1:1/runs")

    with pytest.raises(JournalError) as refused:
        journal.runs()
    with pytest.raises(InvalidSetting) as unreadable:
        PostgresJournal(f"postgresql://me:{SECRET}@[127.0.0.1/runs")

    for told in (refused.value, unreadable.value):
        assert SECRET not in "".join(traceback.format_exception(told))
    assert SECRET not in repr(journal)


@pytest.mark.parametrize("name", ["", "Runs", "my runs", 'x"; DROP TABLE runs; --', "é", "1st", "a" * 64])
def test_a_schema_has_a_plain_name(name: str) -> None:
    with pytest.raises(InvalidSetting, match="use up to 63 of"):
        PostgresJournal(schema=name)


def test_without_psycopg_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(ModuleNotFoundError, match=r"pip install 'stepslice\[postgres\]'"):
        PostgresJournal("postgresql://db.example.org/runs")


def test_a_pruned_schema_says_how_to_give_the_space_back(place: InPostgres) -> None:
    journal = place()
    doubles(journal).execute(inputs(1, 2))
    (advice,) = [journal.prune(older_than_s=0).advice.partition(": ")[2]]

    assert advice.startswith("VACUUM FULL")
    with psycopg.connect(place.dsn, autocommit=True) as owner:
        owner.execute(advice.encode())


# the heartbeat


def test_a_run_whose_step_takes_long_is_shown_to_live(place: InPostgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "BEAT_S", 0.02)
    monkeypatch.setattr("pipeline.journal.recorder.HEART", heartbeat.Heart())
    beats: list[Any] = []

    def until_it_has_beaten() -> None:
        while len({*beats}) < 4:  # or the test times out
            beats.append(place.one("SELECT heartbeat FROM batches"))

    assert doubles(place(), 1, until_it_has_beaten).execute(inputs(1)).success
    assert beats == sorted(beats)
