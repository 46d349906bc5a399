"""Long runs of everything: in a row, at once, with random options, files and kills.

    python benchmarks/soak.py [--in-a-row 500] [--at-once 10] [--minutes 60] [--jobs 200]
        [--seed 0] [--limit 300]

- ``--in-a-row`` evaluations of iris, then ``--at-once`` of them: each prints the same block.
- For ``--minutes`` random options over random files, two runs at a time, one of which is killed,
  terminated or interrupted every minute. What the others count is what plain Keras predicts for
  the rows that were written, and what a trained model predicts that plain Keras opens; each ends
  with the code that it must, and within ``--limit`` seconds.
- ``--jobs`` evaluations in one session: the driver's memory stays flat.

After each run no process of it is left, and after all of them no file.
"""

import argparse
import csv
import gzip
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from endings import EVALUATE, ROOT, Ended, Place, Run

BLOCK = "Examples labeled as 0 classified by model as 0: 50 times"
COUNT = re.compile(r"Examples labeled as (\S+) classified by model as (\S+): (\d+) times")
TIE = 1e-5  # predictions that differ by less may come out either way
KILL_SECONDS = 60.0
MASTERS = ["local[1]", "local[2]", "local[2]", "local[4]", "local-cluster[2,1,1024]"]
# How a run may end that was told to, beside being done before it was.
ENDS = {"kill": {-9}, "terminate": {143, -15}, "interrupt": {130, -2}}


def say(text: str) -> None:
    """Print a line with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def check(ended: Ended, limit: float) -> str:
    """Say what is wrong with a run of iris that has to be good; empty: nothing."""
    if ended.code != 0 or BLOCK not in ended.output or ended.left or ended.seconds > limit:
        return f"code {ended.code}, {ended.seconds:.0f} s, {ended.left}\n{ended.output}"
    return ""


def in_a_row(place: Place, count: int, limit: float) -> int:
    """Run iris ``count`` times, and give how many failed."""
    bad, seconds = 0, []
    for number in range(count):
        ended = place.start(*EVALUATE).finish(limit)
        seconds.append(ended.seconds)
        if wrong := check(ended, limit):
            bad += 1
            say(f"run {number + 1} in a row: {wrong}")
        if not (number + 1) % 50:
            say(f"{number + 1} in a row so far, {bad} bad")
    if count:
        say(f"{count} runs in a row, {bad} bad; {spread(seconds)}")
    return bad


def spread(seconds: list[float]) -> str:
    """Say how long runs took."""
    return f"{statistics.median(seconds):.1f} s at the median, {max(seconds):.1f} s at most"


def at_once(place: Place, count: int, limit: float) -> int:
    """Run iris ``count`` times at once, and give how many failed."""
    if not count:
        return 0
    with ThreadPoolExecutor(count) as pool:
        runs = [place.start(*EVALUATE) for _ in range(count)]
        ended = list(pool.map(lambda run: run.finish(limit), runs))
    wrong = [check(one, limit) for one in ended]
    bad = sum(map(bool, wrong))
    say(f"{count} runs at once, {bad} bad; {spread([one.seconds for one in ended])}")
    say("".join(wrong)) if bad else None
    return bad


@dataclass(frozen=True)
class Data:
    """A CSV and what was written into it.

    Attributes:
        name: The file, in the place's folder.
        words: The options that describe it.
        features: Of its good rows.
        labels: Of these, as classes.
        names: The classes, in the order of the model's outputs.
        num_bad: Its rows that are bad.
    """

    name: str
    words: list[str]
    features: np.ndarray
    labels: np.ndarray
    names: list[str]
    num_bad: int


def write_data(folder: Path, number: int, shape: tuple[int, int], dice: random.Random) -> Data:
    """Write random rows in a random dialect."""
    num_features, num_classes = shape
    num_rows = dice.choice([1, 7, 150, 150, 2000, 20000])
    draw = np.random.default_rng(dice.randrange(1 << 30))
    features = draw.normal(3, 2, (num_rows, num_features)).round(3)
    labels = np.arange(num_rows) % num_classes
    draw.shuffle(labels)
    is_text = num_rows >= num_classes and dice.random() < 0.3
    names = [("class-" if is_text else "") + str(label) for label in range(num_classes)]
    lines = [[*map(str, row), names[label]] for row, label in zip(features, labels, strict=True)]
    at = dice.choice([0, num_features])
    for line in lines:
        line.insert(at, line.pop())
    num_bad = dice.choice([0, 0, 0, 1, 13])
    for _ in range(num_bad):  # not the first line, which says how many columns there are
        broken = list(lines[0])
        broken[1 - at // num_features] = "x"
        lines.insert(dice.randint(1, len(lines)), broken if dice.random() < 0.5 else broken[:-1])
    delimiter, header = dice.choice([",", ";", "\t", "|"]), dice.random() < 0.5
    name = f"data-{number}.csv{dice.choice(['', '', '.gz'])}"
    opened = gzip.open if name.endswith(".gz") else open
    with opened(folder / name, "wt", newline="") as file:
        quoting = dice.choice([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
        ending = dice.choice(["\n", "\r\n"])
        writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator=ending)
        writer.writerows([[f"c{n}" for n in range(num_features + 1)]] * header + lines)
    words = ["-dataPath", name, "-labelIndex", str(at), "-header", str(header).lower()]
    words += ["-delimiter", {"\t": "tab"}.get(delimiter, delimiter)]
    return Data(name, words, features.astype("float32"), labels, names, num_bad)


SHAPES = {"iris.h5": (4, 3), "wide.keras": (30, 5), "sigmoid.keras": (4, 2)}


def write_models(folder: Path, sample: Path) -> None:
    """Write the models of the random runs, all of which learn a little when they are trained."""
    import keras

    keras.utils.set_random_seed(0)
    shutil.copy(sample, folder / "iris.h5")
    layers = keras.layers
    wide = [layers.Dense(40, "relu"), layers.BatchNormalization(), layers.Dropout(0.3)]
    for name, hidden, output in [
        ("wide.keras", wide, layers.Dense(5, "softmax")),
        ("sigmoid.keras", [layers.Dense(8, "tanh")], layers.Dense(1, "sigmoid")),
    ]:
        model = keras.Sequential([keras.Input((SHAPES[name][0],)), *hidden, output])
        loss = "binary_crossentropy" if name[0] == "s" else "sparse_categorical_crossentropy"
        model.compile("adam", loss)
        model.save(folder / name)


def open_model(path: Path) -> Any:
    """Open a model with plain Keras."""
    import keras

    return keras.models.load_model(path, compile=False)


@dataclass(frozen=True)
class Expected:
    """What plain Keras says of a model and rows.

    Attributes:
        counts: Rows by the label's class and the predicted one.
        num_ties: Rows that may be predicted either way.
        loss: What ``evaluate`` says.
    """

    counts: np.ndarray
    num_ties: int
    loss: float

    def allows(self, counts: np.ndarray) -> bool:
        """Tell whether counts are these, but for ties."""
        same = counts.shape == self.counts.shape and counts.sum() == self.counts.sum()
        return bool(same and np.abs(counts - self.counts).sum() <= 2 * self.num_ties)


def expect(model: Any, data: Data) -> Expected:
    """Predict rows with plain Keras, and count."""
    outputs = model.predict(data.features, verbose=0, batch_size=512).astype("float64")
    if outputs.shape[1] == 1:
        outputs = np.hstack([1 - outputs, outputs])
    num_classes = len(data.names)
    counts = np.zeros((num_classes, num_classes), int)
    np.add.at(counts, (data.labels, outputs.argmax(axis=1)), 1)
    two = np.sort(outputs, axis=1)[:, -2:]
    binary = model.output_shape[-1] == 1
    model.compile(loss="binary_crossentropy" if binary else "sparse_categorical_crossentropy")
    loss = model.evaluate(data.features, data.labels, verbose=0, batch_size=512)
    return Expected(counts, int((two[:, 1] - two[:, 0] < TIE).sum()), float(loss))


@dataclass(frozen=True)
class Job:
    """A run and how it has to end.

    Attributes:
        model: Its model.
        data: Its data.
        words: Its command line.
        code: Its exit code.
        out: Where its results are to be, None: nowhere.
        trains: Whether it trains first.
    """

    model: Path
    data: Data
    words: list[str]
    code: int
    out: Path | None
    trains: bool


class Jobs:
    """Makes jobs of files that are written once."""

    def __init__(self, place: Place, sample: Path, seed: int) -> None:
        """Write models and data."""
        self._folder, self._dice = place.folder, random.Random(seed)
        write_models(self._folder, sample)
        shapes = [shape for shape in SHAPES.values() for _ in range(8)]
        self._data = [write_data(self._folder, *job, self._dice) for job in enumerate(shapes)]
        self._expected: dict[tuple[Path, str], Expected] = {}

    def one(self, slot: int) -> Job:
        """Make a job; of two at once each has results of its own."""
        dice = self._dice
        data = dice.choice(self._data)
        shape = (data.features.shape[1], len(data.names))
        name = next(name for name, theirs in SHAPES.items() if theirs == shape)
        skips = dice.random() < 0.7
        master = dice.choice(MASTERS) if dice.random() < 0.5 else "local[2]"
        words = ["--master", master, "--", "-modelPath", name, *data.words]
        words += ["-badRows", "skip" if skips else "fail"]
        words += ["-batchSizePerWorker", str(dice.choice([1, 15, 1000]))]
        words += ["-fastWorkers", dice.choice(["true", "true", "true", "false"])]
        trains = len(data.labels) >= 150 and dice.random() < 0.25
        out = self._folder / f"out-{slot}" if trains or dice.random() < 0.4 else None
        if out is not None:
            words += ["-outputPath", out.name, "-overwrite", "true"]
            words += ["-predictions", dice.choice(["true", "false"])] * (not trains)
        code = 1 if data.num_bad and not skips else 0
        if trains:
            words += ["-train", "true", "-epochs", "2", "-workers", str(dice.choice([1, 2]))]
            words[words.index("-batchSizePerWorker") + 1] = "15"
        elif dice.random() < 0.3:
            least = dice.choice([0.1, 0.9])
            counts = self.expected_of(self._folder / name, data).counts
            code = code or 3 * bool(np.trace(counts) / counts.sum() < least)
            words += ["-require", f"accuracy>={least}"]
        if dice.random() < 0.05:
            words, code = [*words, "-bachSize", "3"], 2
        return Job(self._folder / name, data, words, code, out, trains)

    def expected_of(self, model: Path, data: Data) -> Expected:
        """Give what plain Keras says, computed once."""
        key = (model, data.name)
        if key not in self._expected:
            self._expected[key] = expect(open_model(model), data)
        return self._expected[key]

    def judge(self, job: Job, ended: Ended, limit: float) -> str:
        """Say what is wrong with the end of a job; empty: nothing."""
        if ended.code != job.code or ended.left or ended.seconds > limit:
            return f"code {ended.code} and not {job.code}, {ended.seconds:.0f} s, {ended.left}"
        if ended.code not in (0, 3):
            told = [line for line in ended.output.splitlines() if line.startswith("irisspark: ")]
            return "" if told and "Traceback" not in ended.output else "no message, or a trace"
        if job.trains and job.out is not None:
            expected = expect(open_model(job.out / "model.keras"), job.data)
        else:
            expected = self.expected_of(job.model, job.data)
        counts = np.zeros_like(expected.counts)
        for label, predicted, count in COUNT.findall(ended.output):
            counts[job.data.names.index(label), job.data.names.index(predicted)] = int(count)
        if not expected.allows(counts):
            return f"{counts.tolist()} and not {expected.counts.tolist()}"
        return judge_results(job, expected) if job.out is not None else ""


def judge_results(job: Job, expected: Expected) -> str:
    """Say what is wrong with the files of a job; empty: nothing."""
    import pyarrow.parquet

    document = json.loads((job.out / "metrics.json").read_text())
    if not expected.allows(np.array(document["confusion_matrix"])):
        return f"metrics.json has {document['confusion_matrix']}"
    if abs(document["loss"] - expected.loss) > 1e-4 * (1 + expected.loss):
        return f"a loss of {document['loss']} and not {expected.loss}"
    if (job.out / "predictions").exists():
        table = pyarrow.parquet.read_table(job.out / "predictions")
        if len(table) != len(job.data.labels):
            return f"{len(table)} rows of predictions and not {len(job.data.labels)}"
    return ""


class Killer:
    """Ends one run a minute, in one of three ways."""

    def __init__(self, seed: int) -> None:
        """Begin in a minute."""
        self._dice = random.Random(seed)
        self._next = time.monotonic() + KILL_SECONDS
        self.num_killed = 0

    def act(self, runs: list[Run]) -> tuple[Run | None, set[int]]:
        """End one of the runs, if it is time; give it, and the codes that it may end with."""
        if time.monotonic() < self._next:
            return None, set()
        self._next += KILL_SECONDS
        self.num_killed += 1
        run, way = self._dice.choice(runs), self._dice.choice(sorted(ENDS))
        time.sleep(self._dice.uniform(0.2, 10))
        if way == "interrupt":
            run.interrupt()
        else:
            getattr(run.process, way)()
        return run, ENDS[way]


def judge_killed(job: Job, ended: Ended, codes: set[int]) -> str:
    """Say what is wrong with the end of a run that was told to end; empty: nothing."""
    if ended.code not in codes | {job.code}:
        return f"code {ended.code} after it was told to end"
    if ended.left or "Traceback" in ended.output:
        return f"a trace, or {ended.left}"
    if job.out and job.out.exists() and not (job.out / "metrics.json").exists():
        return "half of its results"
    return ""


def mixed(place: Place, sample: Path, minutes: float, seed: int, limit: float) -> int:
    """Run random jobs, two at a time, and end one a minute; give how many were wrong."""
    if not minutes:
        return 0
    jobs, killer = Jobs(place, sample, seed), Killer(seed)
    deadline, bad = time.monotonic() + 60 * minutes, 0
    seconds: list[float] = []
    while time.monotonic() < deadline:
        pair = [jobs.one(slot) for slot in (0, 1)]
        runs = [place.start(*job.words) for job in pair]
        began = time.monotonic()
        killed, codes = killer.act(runs)
        for job, run in zip(pair, runs, strict=True):
            ended = run.finish(limit)
            seconds.append(time.monotonic() - began)
            if run is killed:
                wrong = judge_killed(job, ended, codes)
            else:
                wrong = jobs.judge(job, ended, limit)
            if wrong:
                bad += 1
                say(f"{' '.join(job.words)}: {wrong}\n{ended.output}")
        if not len(seconds) % 50:
            say(f"{len(seconds)} random runs so far, {bad} bad")
    say(f"{len(seconds)} random runs in {minutes:g} minutes, {killer.num_killed} of them ended")
    say(f"{bad} of them bad; {spread(seconds)}")
    for name in [*SHAPES, *(data.name for data in jobs._data), "out-0", "out-1"]:
        path = place.folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return bad


SESSION = """
import sys
from pathlib import Path
from irisspark.data.dataset import open_dataset
from irisspark.evaluation.evaluating import evaluate
from irisspark.model import loading
from irisspark.options import parse
from irisspark.settings import data_settings, evaluate_settings
from irisspark.startup.session import open_session

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

options = parse(sys.argv[2:])
with open_session(use_local=True) as session:
    model = loading.load(options.model_path, loss=None, trust=False, num_classes=None,
                         training_seed=None)
    for number in range(int(sys.argv[1])):
        dataset = open_dataset(session, data_settings(options), model.spec)
        assert evaluate(session, model, dataset, evaluate_settings(options)).scores.rows == 150
        print(resident(), flush=True)
"""


def jobs_of_one_session(place: Place, count: int) -> int:
    """Evaluate again and again in one session; give 1 where the driver's memory grows."""
    if count < 20:
        return 0
    done = subprocess.run(
        [sys.executable, "-c", SESSION, str(count), *EVALUATE],
        cwd=place.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        say(f"{count} jobs of one session: {done.stderr}")
        return 1
    megabytes = [int(line) for line in done.stdout.split()]
    early, late = max(megabytes[5 : count // 2]), max(megabytes[count // 2 :])
    say(f"{count} jobs of one session: {early} MB in the first half, {late} MB in the second")
    return int(late > 1.05 * early + 10)


def main() -> int:
    """Do what the options say, and give 1 where anything was not as it must be."""
    parser = argparse.ArgumentParser()
    for name, default in {"in-a-row": 500, "at-once": 10, "jobs": 200}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--limit", type=float, default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        sample = Path(root) / "model.h5"
        command = [sys.executable, "-m", "irisspark.samples.train_model", str(sample)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        place = Place(Path(root), ROOT / "submit.sh", sample)
        before = place.files()
        bad = mixed(place, sample, args.minutes, args.seed, args.limit)
        bad += in_a_row(place, args.in_a_row, args.limit)
        bad += at_once(place, args.at_once, args.limit)
        bad += jobs_of_one_session(place, args.jobs)
        bad += bool(check(place.start(*EVALUATE).finish(args.limit), args.limit))
        left = sorted(place.files() - before)
        say(f"left: {left or 'no file'}")
    return int(bool(bad or left))


if __name__ == "__main__":
    sys.exit(main())
