"""Checkpoints on disk; no Spark, no TensorFlow."""

import os

import ml_dtypes
import numpy as np
import pytest

from irisspark.errors import TrainingError
from irisspark.storage.location import locate
from irisspark.training.checkpoints import FILE_NAME, Checkpoint, Checkpoints, check_folder
from irisspark.training.history import Best, EpochResult, epoch_line, history_row, seconds_left

MADE_WITH = {"-seed": 7, "optimizer": {"class_name": "Adam"}, "-validationSplit": 0.25}


def checkpoint() -> Checkpoint:
    rng = np.random.default_rng(0)
    variables = [
        rng.normal(size=(3, 4)).astype("float32"),
        rng.normal(size=2).astype(ml_dtypes.bfloat16),
        np.asarray(12, "int64"),
    ]
    history = [{"epoch": 1, "loss": 0.1 + 0.2, "seconds": 1.5}]
    return Checkpoint(variables, history, Best(1, 1 / 3, variables[:2]))


def test_what_is_saved_is_read_to_the_bit(tmp_path):
    saved = checkpoint()
    Checkpoints(locate(str(tmp_path / "c")), MADE_WITH).save(saved)
    read = Checkpoints(locate(str(tmp_path / "c")), MADE_WITH).load(saved.variables)
    for one, other in zip(read.variables, saved.variables, strict=True):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    for one, other in zip(read.best.weights, saved.best.weights, strict=True):
        assert one.dtype == other.dtype
        assert np.array_equal(one, other)
    assert (read.history, read.best.epoch, read.best.val_loss) == (saved.history, 1, 1 / 3)
    assert os.listdir(tmp_path / "c") == [FILE_NAME]


def test_before_the_first_best_epoch_there_is_none(tmp_path):
    saved = Checkpoint(checkpoint().variables, [], Best())
    Checkpoints(locate(str(tmp_path)), MADE_WITH).save(saved)
    best = Checkpoints(locate(str(tmp_path)), MADE_WITH).load(saved.variables).best
    assert (best.epoch, best.val_loss, best.weights) == (0, float("inf"), [])


def test_a_write_that_fails_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    checkpoints = Checkpoints(locate(str(tmp_path)), MADE_WITH)
    checkpoints.save(checkpoint())
    before = (tmp_path / FILE_NAME).read_bytes()

    def fail(stream, **_):
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    with pytest.raises(TrainingError, match="cannot be written: No space left"):
        checkpoints.save(checkpoint())
    assert (tmp_path / FILE_NAME).read_bytes() == before
    assert os.listdir(tmp_path) == [FILE_NAME]


@pytest.mark.parametrize("kept", [0, 10, 300])
def test_a_damaged_checkpoint_is_an_error(tmp_path, kept):
    checkpoints = Checkpoints(locate(str(tmp_path)), MADE_WITH)
    checkpoints.save(checkpoint())
    file = tmp_path / FILE_NAME
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(TrainingError, match="not a whole checkpoint"):
        checkpoints.load(checkpoint().variables)


def test_no_byte_that_is_changed_is_read_as_another_checkpoint(tmp_path):
    checkpoints, saved = Checkpoints(locate(str(tmp_path)), MADE_WITH), checkpoint()
    checkpoints.save(saved)
    file = tmp_path / FILE_NAME
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            read = checkpoints.load(saved.variables)
        except TrainingError:
            continue
        assert [a.tobytes() for a in read.variables] == [a.tobytes() for a in saved.variables]
        assert read.history == saved.history


def test_another_kind_of_numpys_files_is_no_checkpoint(tmp_path):
    with (tmp_path / FILE_NAME).open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(TrainingError, match="not a whole checkpoint"):
        Checkpoints(locate(str(tmp_path)), MADE_WITH).load(checkpoint().variables)


@pytest.mark.parametrize("name", MADE_WITH)
def test_a_checkpoint_of_another_training_is_refused_by_name(tmp_path, name):
    Checkpoints(locate(str(tmp_path)), MADE_WITH).save(checkpoint())
    with pytest.raises(TrainingError, match=f"its {name} is "):
        Checkpoints(locate(str(tmp_path)), MADE_WITH | {name: "other"}).load(checkpoint().variables)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    checkpoints = Checkpoints(locate(str(tmp_path)), MADE_WITH)
    checkpoints.save(checkpoint())
    with pytest.raises(TrainingError, match="another model"):
        checkpoints.load([np.zeros((4, 3), "float32"), np.asarray(0, "int64")])


def test_a_folder_that_cannot_be_written_is_found_before_training(tmp_path):
    check_folder(str(tmp_path / "new" / "folder"), locate)
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "folder"):
        with pytest.raises(TrainingError, match="not a folder that may be written"):
            check_folder(str(path), locate)


def test_the_line_of_an_epoch_names_what_was_measured_and_what_is_left():
    row = history_row(3, EpochResult(0.5, 0.25, 0.75, 0.125), 0.01, 1.25)
    assert epoch_line(row, 20, 20.4) == (
        "epoch 3/20  loss 0.5000  accuracy 0.2500  val_loss 0.7500  val_accuracy 0.1250  "
        "1.2 s, 20 s left"
    )
    plain = history_row(3, EpochResult(0.5, 0.25), 0.01, 1.25)
    assert "val" not in epoch_line(plain, 20, 200)
    assert epoch_line(plain, 20, 200).endswith("3 min 20 s left")
    assert epoch_line(plain, 20, 7300.0).endswith("2 h 1 min left")


def test_the_first_epoch_does_not_count_for_the_time_left():
    rows = [{"seconds": 9.0}, {"seconds": 1.0}, {"seconds": 2.0}]
    assert seconds_left(rows, 5) == 3.0
    assert seconds_left(rows[:1], 5) == 36.0
