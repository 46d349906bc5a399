"""A folder of results takes the place of another: whatever stops it, whatever fails."""

import os
import stat
import sys
import time
from pathlib import Path

import pytest

from irisspark.errors import IrissparkError
from irisspark.storage import staging as staging_module
from irisspark.storage.staging import Staging, check_output

FILES = {"metrics.json": b"new", "predictions/part-0": b"rows"}
SYSCALLS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.listdir", "os.scandir"}


@pytest.fixture
def target(tmp_path) -> Path:
    return make_target(tmp_path / "parent")


def make_target(parent: Path) -> Path:
    """A folder with old results."""
    target = parent / "out"
    (target / "deep").mkdir(parents=True)
    for name in ("metrics.json", "deep/file"):
        (target / name).write_bytes(b"old")
    return target


def run(target: Path, *, fails: bool = False) -> tuple[str, ...]:
    notes = check_output(str(target), overwrite=True)
    staging = Staging(str(target), overwrite=True)
    try:
        Path(staging.folder.path, "early").write_bytes(b"new")
        Path(staging.folder.path, "metrics.json").write_bytes(b"new")
        if not fails:
            staging.publish(FILES)
    finally:
        staging.discard()
    return notes


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


OLD = {"metrics.json": b"old", "deep/file": b"old"}
NEW = {**FILES, "early": b"new"}


def run_until(step: int, target: Path, *, fails: bool = False) -> bool:
    """Run in a process that ends before its system call number ``step``; True: it ended there."""
    pid = os.fork()
    if pid == 0:
        left = [step]

        def stop(event: str, _: object) -> None:
            if event in SYSCALLS:
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)

        sys.addaudithook(stop)
        try:
            run(target, fails=fails)
            os._exit(0)
        finally:
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, 9)
    return code == 9


def hidden(target: Path) -> list[Path]:
    return sorted(path for path in target.parent.iterdir() if path.name.startswith("."))


def test_a_run_that_is_stopped_at_any_step_loses_nothing_and_the_next_one_says_where_it_is(
    tmp_path,
):
    step = 0
    while stop_and_run_again(make_target(tmp_path / str(step)), step):
        step += 1
    assert step > 15, "each system call is a step"


def stop_and_run_again(target: Path, step: int) -> bool:
    stopped = run_until(step, target)
    whole = [content(folder) for folder in (target, *hidden(target)) if folder.exists()]
    assert NEW in whole or OLD in whole
    assert content(target) == NEW or OLD in whole, "the old ones go after the new ones stand"
    before = [(folder, content(folder)) for folder in hidden(target)]

    notes = run(target)

    assert content(target) == NEW
    for folder, held in before:
        said = any(str(folder) in note for note in notes)
        assert said == (held in (OLD, NEW) and "-removed-" not in folder.name), notes
        assert not said or content(folder) == held
    assert [folder for folder in hidden(target) if not any(str(folder) in n for n in notes)] == []
    return stopped


def test_a_failed_run_that_is_stopped_at_any_step_leaves_nothing_that_looks_whole(tmp_path):
    step = 0
    target = make_target(tmp_path)
    while run_until(step, target, fails=True):
        assert content(target) == OLD
        assert run(target) == ()
        assert hidden(target) == []
        target = make_target(tmp_path / str(step))
        step += 1
    assert step > 10


@pytest.mark.parametrize("failing", [{1}, {2}, {3}, {1, 2}, {2, 3}, {1, 2, 3}])
def test_renames_that_fail_leave_old_and_new_results_where_the_message_says(
    target, failing, monkeypatch
):
    real, calls = os.rename, []

    def rename(*args: object) -> None:
        calls.append(args)
        if len(calls) in failing:
            raise OSError(5, "Input/output error")
        real(*args)

    monkeypatch.setattr(staging_module.os, "rename", rename)
    message = ""
    try:
        run(target)
    except IrissparkError as error:
        message = str(error)
    monkeypatch.undo()
    if failing.isdisjoint({1, 2}):
        assert (message, content(target)) == ("", NEW)
        return
    assert "Input/output error" in message
    new = next(folder for folder in hidden(target) if content(folder) == NEW)
    assert str(new) in message
    old = target if target.exists() else next(f for f in hidden(target) if content(f) == OLD)
    assert content(old) == OLD
    assert target.exists() or str(old) in message
    notes = run(target)
    assert any(str(new) in note for note in notes)
    assert old == target or any(str(old) in note for note in notes)
    assert content(new) == NEW


def test_ctrl_c_between_the_renames_puts_the_old_results_back(target, monkeypatch):
    real = os.rename

    def rename(source: Path, to: Path) -> None:
        real(source, to)
        if source == target:
            raise KeyboardInterrupt

    monkeypatch.setattr(staging_module.os, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        run(target)
    monkeypatch.undo()
    assert content(target) == OLD
    (new,) = hidden(target)
    assert any(str(new) in note for note in run(target))


def test_a_folder_that_another_run_works_on_is_left_alone(target):
    other = Staging(str(target), overwrite=True)
    Path(other.folder.path, "early").write_bytes(b"new")
    assert run(target) == ()
    other.publish(FILES)
    assert content(target) == NEW
    assert hidden(target) == []


@pytest.mark.parametrize("days", [6, 8])
def test_a_folder_of_another_machine_is_left_alone_for_a_week(target, days, monkeypatch):
    """The locks of some storages hold on one machine only: its run may be at work."""
    monkeypatch.setattr(staging_module, "machine", lambda: "012345")
    other = Staging(str(target), overwrite=True)
    working = Path(other.folder.path)
    monkeypatch.undo()
    other._unlock()  # as this machine sees it
    made = working.with_name(f".out-new-543210{'0' * 6}")  # and its lock is on the way
    made.mkdir()
    for folder in (working, made):
        os.utime(folder, (time.time() - days * 24 * 3600,) * 2)
    assert run(target) == ()
    assert hidden(target) == ([working, made] if days < 7 else [])
    if days < 7:
        other.publish(FILES)
        assert content(target) == FILES


def test_a_run_that_fails_leaves_nothing_of_its_own(target):
    staging = Staging(str(target), overwrite=True)
    Path(staging.folder.path, "early").write_bytes(b"new")
    staging.discard()
    assert hidden(target) == []
    assert content(target) == OLD


@pytest.mark.parametrize("make", [Path.write_text, Path.symlink_to])
def test_a_file_or_a_link_is_replaced_and_what_it_leads_to_stays(target, make, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    replaced = target.with_name("other")
    make(replaced, str(elsewhere))
    run(replaced)
    assert content(replaced) == NEW
    assert not replaced.is_symlink()
    assert elsewhere.is_dir()
    assert hidden(target) == []


def test_a_folder_that_comes_up_meanwhile_is_kept_and_so_are_the_results(tmp_path):
    target = tmp_path / "out"
    staging = Staging(str(target), overwrite=False)
    assert staging.folder.exists
    target.mkdir()
    (target / "theirs").write_bytes(b"theirs")
    with pytest.raises(IrissparkError, match=r"exists now.* new results are in .*-new-"):
        staging.publish(FILES)
    staging.discard()
    assert content(target) == {"theirs": b"theirs"}
    assert [content(folder) for folder in hidden(target)] == [FILES]


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o002])
def test_the_folder_may_be_read_as_any_new_one_and_the_umask_is_never_touched(
    tmp_path, mask, monkeypatch
):
    before = os.umask(mask)
    try:
        monkeypatch.setattr(os, "umask", lambda _: pytest.fail("another thread would see it"))
        run(tmp_path / "out")
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o777 & ~mask


def test_a_name_that_is_too_long_is_said_before_the_work(tmp_path):
    with pytest.raises(IrissparkError, match="too long"):
        check_output(str(tmp_path / ("x" * 250)), overwrite=False)


def test_folders_of_others_are_not_taken_for_ours(target):
    for name in (
        ".out-new-notes",
        ".out-old-12345678123",
        ".outer-removed-123456781234",
        ".out-1234",
    ):
        (target.parent / name).mkdir()
    assert run(target) == ()
    assert len(hidden(target)) == 4


def test_runs_that_begin_at_once_do_not_clear_each_other(tmp_path):
    """Each makes its folder while the others look for what killed runs have left."""
    target = tmp_path / "out"
    pids = []
    until = time.monotonic() + 1.0
    for _ in range(4):
        pids.append(os.fork())
        if pids[-1] == 0:
            try:
                while time.monotonic() < until:
                    check_output(str(target), overwrite=True)
                    staging = Staging(str(target), overwrite=True)
                    Path(staging.folder.path, "early").write_bytes(b"new")
                    staging.discard()
                os._exit(0)
            finally:
                os._exit(1)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 4
    assert hidden(target) == []
