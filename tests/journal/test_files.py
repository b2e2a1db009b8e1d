"""The file of a journal on a real disk that is full, at a limit, or not its owner's alone."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline import ExecutionContext, Processor, step, to_inputs
from pipeline.errors import JournalError, RunFailed
from pipeline.journal import SqliteJournal

ran: list[tuple[str, int]] = []
SIZES = [0, 1, 511, 512, 4_095, 4_096, 16_383, 16_384, 32_768, 65_536, *(33_000 * part for part in range(1, 31))]
"""Forty sizes of the largest file that the system lets be written, in bytes; the run needs more than a million."""


@step("double")
def double(value: int) -> int:
    ran.append(("double", value))
    return value * 2


@step("add")
def add(value: int) -> int:
    ran.append(("add", value // 2))
    return value + 1


def numbers(journal: Any) -> Processor[int, int, list[int]]:
    return Processor(name="numbers", pipeline=double >> add, journal=journal)


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """``ulimit -f`` in bytes, for this process and a while; Python has SIGXFSZ ignored, so that writes fail."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], check=False, capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("only root can mount a small disk")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)  # also where a test that failed still has a file open


def until_it_fails(journal: SqliteJournal) -> tuple[list[int], str]:
    """The inputs whose outcomes were handed out, and what was said when no more could be."""
    ran.clear()
    handed: list[int] = []
    journal.group_s, journal.is_shared = 0.0, False  # no heartbeat meets the limit before the run does
    try:
        for outcome in numbers(journal).stream(to_inputs(range(25), key=str)):
            handed.append(int(outcome.input_id))
    except (JournalError, RunFailed) as error:
        return handed, str(error)
    finally:
        journal.close()
    return handed, ""


def check_the_rest(journal: SqliteJournal, handed: list[int]) -> None:
    """Now there is space: the batch comes to its end, and what was handed out does not run again."""
    ran.clear()
    found = journal.find("numbers")
    context = None if found is None else ExecutionContext(previous_run_id=found.run_id)

    again = numbers(journal).execute(to_inputs(range(25), key=str), context)
    journal.close()

    assert again.output == [2 * value + 1 for value in range(25)]
    assert not {value for _, value in ran} & set(handed)


@pytest.mark.parametrize("size", SIZES)
def test_at_a_limit_of_the_files_size_what_was_finished_stays_finished(tmp_path: Path, size: int) -> None:
    journal = SqliteJournal(tmp_path / "runs.db")
    with no_file_larger_than(size):
        handed, said = until_it_fails(journal)

    assert "runs.db" in said
    assert "(SQLITE_IOERR_" in said
    assert "the system cannot write" in said
    check_the_rest(journal, handed)


def test_on_a_full_disk_what_was_finished_stays_finished(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    for kilobytes in (1_000, 900, 700, 400, 100):
        for file in small_disk.iterdir():
            file.unlink()
        ballast.write_bytes(bytes(kilobytes * 1_024))
        journal = SqliteJournal(small_disk / "runs.db")
        handed, said = until_it_fails(journal)
        subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)

        assert "runs.db" in said
        assert "the disk is full: free some space and resume" in said or "(SQLITE_IOERR_SHMSIZE); the system" in said
        check_the_rest(journal, handed)
        ballast.unlink()
        for file in small_disk.iterdir():
            file.unlink()
        subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)


def test_dead_letters_that_find_no_space_name_path_and_cause_and_leave_the_earlier_file(tmp_path: Path) -> None:
    fails = Processor(name="fails", pipeline=step("fail")(divide))
    result = fails.execute(to_inputs([0, 0, 0]))
    path = tmp_path / "letters.jsonl"
    result.write_failures(path)
    before = path.read_bytes()

    with no_file_larger_than(100), pytest.raises(OSError, match=r"\[Errno 27\] .*letters\.jsonl"):
        result.write_failures(path)

    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_dead_letters_are_written_to_a_device_and_not_in_its_place(tmp_path: Path) -> None:
    fails = Processor(name="fails", pipeline=step("fail")(divide))
    result = fails.execute(to_inputs([0]))
    full = tmp_path / "full"
    full.symlink_to("/dev/full")

    with pytest.raises(OSError, match=r"\[Errno 28\] No space left on device: .*full"):
        result.write_failures(full)

    assert full.is_char_device()
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def divide(value: int) -> float:
    return 1 / value


# whose it is


def beside(folder: Path) -> list[Path]:
    return [folder / f"runs.db{suffix}" for suffix in ("", "-wal", "-shm", "-journal")]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777], ids=oct)
def test_each_file_is_for_its_owner_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        journal = SqliteJournal(tmp_path / "runs.db")
        result = numbers(journal).execute(to_inputs(range(2)))
        Processor(name="fails", pipeline=step("fail")(divide)).execute(to_inputs([0])).write_failures(tmp_path / "dead")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        journal.close()
    finally:
        os.umask(before)

    assert result.success
    assert modes == dict.fromkeys(["runs.db", "runs.db-wal", "runs.db-shm", "dead"], 0o600)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("target", ["there", "nowhere"])
def test_a_symbolic_link_in_its_place_or_beside_it_is_refused(tmp_path: Path, place: int, target: str) -> None:
    (tmp_path / "there").write_bytes(b"theirs")
    link = beside(tmp_path)[place]
    link.symlink_to(tmp_path / target)

    with pytest.raises(JournalError, match=rf"{link.name} is a symbolic link"):
        numbers(SqliteJournal(tmp_path / "runs.db")).execute(to_inputs([1]))

    assert (tmp_path / "there").read_bytes() == b"theirs"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("place", range(4))
def test_a_folder_or_a_pipe_in_its_place_is_refused(tmp_path: Path, place: int) -> None:
    path = beside(tmp_path)[place]
    for make in (os.mkdir, os.mkfifo):
        make(path)
        with pytest.raises(JournalError, match=rf"{path.name} is not a file"):
            numbers(SqliteJournal(tmp_path / "runs.db")).execute(to_inputs([1]))
        path.rmdir() if path.is_dir() else path.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("place", range(4))
def test_a_file_of_somebody_else_in_its_place_or_beside_it_is_refused(tmp_path: Path, place: int) -> None:
    path = beside(tmp_path)[place]
    path.touch()
    os.chown(path, 12345, 12345)

    with pytest.raises(JournalError, match=rf"{path.name} belongs to user 12345"):
        numbers(SqliteJournal(tmp_path / "runs.db")).execute(to_inputs([1]))


def move_away(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))


@pytest.mark.parametrize("durability", ["input", "step"])
@pytest.mark.parametrize("remove", [Path.unlink, move_away])
def test_a_file_that_goes_away_while_it_is_open_ends_the_run(
    tmp_path: Path, remove: Callable[[Path], None], durability: Any
) -> None:
    path = tmp_path / "runs.db"

    @step("work")
    def work(value: int) -> int:
        if value == 2:
            remove(path)
        return value

    given: list[object] = []
    with pytest.raises(RunFailed, match="deleted or replaced while a run was in progress"):
        given.extend(Processor(pipeline=work, journal=SqliteJournal(path, durability)).stream(to_inputs(range(1000))))

    assert len(given) <= 2


def test_a_journal_whose_file_was_deleted_between_two_runs_makes_another(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "runs.db")
    numbers(journal).execute(to_inputs([1]))
    for file in tmp_path.iterdir():
        file.unlink()

    numbers(journal).execute(to_inputs([2, 3]))

    assert numbers(SqliteJournal(tmp_path / "runs.db")).resume().output == [5, 7]
