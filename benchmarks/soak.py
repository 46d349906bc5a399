"""Long runs of everything: in a row, at once, with random options, kills and broken files.

    python benchmarks/soak.py [--in-a-row 500] [--at-once 10] [--minutes 60] [--jobs 200]
        [--models 10000] [--csvs 10000] [--seed 0] [--limit 300]

- ``--in-a-row`` evaluations of iris, then ``--at-once`` of them: each prints the same block.
- For ``--minutes`` random options over random cuts of iris, with one of the runs killed a minute:
  what the others count is what the rows say, and no run takes more than ``--limit`` seconds.
- ``--jobs`` evaluations in one session: the driver's memory stays flat.
- ``--models`` mutated model files and ``--csvs`` mutated CSVs through the opening and parsing code,
  in processes of their own: no crash, no memory over a bound, always one of the four errors. A
  mutation is made from its number alone, which is printed where it fails.
"""

import argparse
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from endings import EVALUATE, IRIS, ROOT, Ended, Place, Run

sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "spark")]

BLOCK = "Examples labeled as 0 classified by model as 0: 50 times"
CHUNK = 100
MEMORY_BYTES = 1 << 30  # more than a process had before its chunk of mutations


def say(text: str) -> None:
    """Print a line with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def check(ended: Ended, limit: float, expected: str = BLOCK) -> str:
    """Say what is wrong with a run that has to be good; empty: nothing."""
    if ended.code != 0 or expected not in ended.output or ended.left or ended.seconds > limit:
        return f"code {ended.code}, {ended.seconds:.0f} s, {ended.left}\n{ended.output}"
    return ""


def in_a_row(place: Place, count: int, limit: float) -> int:
    """Run iris ``count`` times, and give how many failed."""
    bad = 0
    for number in range(count):
        if wrong := check(place.start(*EVALUATE).finish(limit), limit):
            bad += 1
            say(f"run {number + 1} in a row: {wrong}")
    say(f"{count} runs in a row, {bad} bad")
    return bad


def at_once(place: Place, count: int, limit: float) -> int:
    """Run iris ``count`` times at once, and give how many failed."""
    with ThreadPoolExecutor(max(count, 1)) as pool:
        runs = [place.start(*EVALUATE) for _ in range(count)]
        wrong = [check(ended, limit) for ended in pool.map(lambda run: run.finish(limit), runs)]
    bad = sum(map(bool, wrong))
    say(f"{count} runs at once, {bad} bad {''.join(wrong)}")
    return bad


def random_job(number: int, seed: int, folder: Path) -> tuple[list[str], str]:
    """Make a job from its number: rows of iris, options; and a line that its output must hold."""
    dice = random.Random(f"{seed} {number}")
    rows = IRIS.read_text().split()
    rows = dice.sample(rows, dice.randint(1, len(rows)))
    name = f"data-{number}.csv"
    delimiter = dice.choice([",", ";", "\t"])
    header = dice.choice(["", delimiter.join("abcde") + "\n"])
    ending = dice.choice(["\n", "\r\n"])
    text = header.replace("\n", ending) + "".join(
        row.replace(",", delimiter) + ending for row in rows
    )
    (folder / name).write_bytes(text.encode())
    words = [*EVALUATE[:-1], name, "-delimiter", {"\t": "tab"}.get(delimiter, delimiter)]
    words += ["-header", str(bool(header)).lower(), "-badRows", dice.choice(["fail", "skip"])]
    words += ["-batchSizePerWorker", str(dice.choice([1, 15, 1000]))]
    words += ["-fastWorkers", dice.choice(["true", "true", "false"])]
    if dice.random() < 0.3:
        words += ["-outputPath", f"out-{number}", "-predictions", "true"]
    num_zeros = sum(row.endswith(",0") for row in rows)
    expected = f"Examples labeled as 0 classified by model as 0: {num_zeros} times"
    return words, expected if num_zeros else "==Scores=="


def mixed(place: Place, minutes: float, seed: int, limit: float) -> int:
    """Run random jobs, two at a time, and kill one a minute; give how many were wrong."""
    dice = random.Random(seed)
    deadline, next_kill = time.monotonic() + 60 * minutes, time.monotonic() + 60
    bad = number = num_killed = 0
    while time.monotonic() < deadline:
        jobs = [random_job(n, seed, place.folder) for n in (number, number + 1)]
        number += len(jobs)
        runs = [place.start(*words) for words, _ in jobs]
        killed: Run | None = None
        if time.monotonic() > next_kill:
            next_kill += 60
            num_killed += 1
            killed = dice.choice(runs)
            time.sleep(dice.uniform(0.2, 8))
            dice.choice([killed.process.kill, killed.process.terminate, killed.interrupt])()
        for run, (words, expected) in zip(runs, jobs, strict=True):
            ended = run.finish(limit)
            wrong = str(ended.left or "") if run is killed else check(ended, limit, expected)
            if wrong:
                bad += 1
                say(f"{' '.join(words)}: {wrong}")
        for path in place.folder.glob("*-[0-9]*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    say(f"{number} runs in {minutes} minutes, {num_killed} of them killed, {bad} bad")
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


def mutate(content: bytes, dice: random.Random) -> bytes:
    """Change some bytes, cut, repeat or move a part."""
    data = bytearray(content)
    for _ in range(dice.choice([1, 1, 2, 5, 20])):
        if not data:
            break
        at, size = dice.randrange(len(data)), dice.choice([1, 2, 4, 8, 64, 1000])
        kind = dice.randrange(6)
        if kind == 0:
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 1:
            data[at : at + size] = dice.randbytes(size)
        elif kind == 2:
            del data[at : at + size]
        elif kind == 3:
            data[at:at] = data[at : at + size] * dice.choice([1, 2, 100])
        elif kind == 4:
            data[at : at + size] = dice.choice([b"\xff", b"\0", b"\x7f", b"9", b'"']) * size
        else:
            del data[at:]
    return bytes(data)


def open_models(folder: Path) -> Callable[[random.Random], None]:
    """Make what opens one mutated model."""
    from irisspark.model import loading
    from irisspark.startup.imports import import_tensorflow

    import_tensorflow()
    files = sorted((ROOT / "tests" / "models" / "files").glob("*/*.*"), key=str)
    files = [file for file in files if file.suffix in (".h5", ".keras")]

    def open_one(dice: random.Random) -> None:
        import keras

        original = dice.choice(files)
        path = folder / f"mutated{original.suffix}"
        path.write_bytes(mutate(original.read_bytes(), dice))
        try:
            loading.open_network(str(path))
        finally:
            keras.utils.clear_session()

    return open_one


def read_csvs(folder: Path) -> Callable[[random.Random], None]:
    """Make what evaluates the sample model on one mutated CSV, in this process."""
    from in_process import InProcessSession

    from irisspark.data.dataset import open_dataset
    from irisspark.evaluation.evaluating import evaluate
    from irisspark.model import loading
    from irisspark.options import parse
    from irisspark.settings import data_settings, evaluate_settings

    path = str(folder / "m.h5")
    model = loading.load(path, loss=None, trust=False, num_classes=None, training_seed=None)
    session = InProcessSession(2)
    data = folder / "mutated.csv"

    def read_one(dice: random.Random) -> None:
        data.write_bytes(mutate(IRIS.read_bytes(), dice))
        bad_rows = dice.choice(["fail", "skip"])
        multi_line = dice.choice(["true", "false"])
        words = ["-modelPath", path, "-dataPath", str(data), "-labelIndex", "4"]
        options = parse([*words, "-badRows", bad_rows, "-multiLine", multi_line])
        dataset = open_dataset(session, data_settings(options), model.spec)
        evaluate(session, model, dataset, evaluate_settings(options))

    return read_one


KINDS = {"models": open_models, "csvs": read_csvs}


def try_chunk(kind: str, first: int, count: int, seed: int, folder: Path) -> None:
    """Try mutations in this process, and say which is not answered by one of the four errors."""
    from irisspark.errors import IrissparkError

    act = KINDS[kind](folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    for number in range(first, first + count):
        (folder / "number").write_text(str(number))
        began = time.monotonic()
        try:
            act(random.Random(f"{seed} {kind} {number}"))
        except IrissparkError as error:
            if not str(error).strip():
                print(f"{kind} {number}: an empty message")
        except Exception as error:
            print(f"{kind} {number}: {type(error).__name__}: {str(error)[:200]!r}")
        if (seconds := time.monotonic() - began) > 30:
            print(f"{kind} {number}: took {seconds:.0f} s")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        if peak - before > MEMORY_BYTES:
            print(f"{kind} {number}: took {peak - before >> 20} MB")
            before = peak


def mutated(kind: str, count: int, seed: int, model: Path, limit: float) -> int:
    """Try mutations in processes of their own, and give how many were not answered well."""
    bad = 0
    for first in range(0, count, CHUNK):
        with tempfile.TemporaryDirectory() as name:
            shutil.copy(model, Path(name) / "m.h5")
            size = min(CHUNK, count - first)
            command = [sys.executable, __file__, "--try", kind, str(first), str(size), name]
            try:
                done = subprocess.run(
                    [*command, "--seed", str(seed)],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    timeout=limit,
                )
                lines, code = done.stdout.splitlines(), done.returncode
            except subprocess.TimeoutExpired:
                lines, code = [], -1
            if code:
                at = Path(name) / "number"
                number = at.read_text() if at.exists() else f"{first}, before it"
                lines.append(f"{kind} {number}: the process ended with {code}")
        bad += len(lines)
        for line in lines:
            say(line)
    say(f"{count} mutated {kind}, {bad} not answered well")
    return bad


def main() -> int:
    """Do what the options say, and give 1 where anything was not as it must be."""
    parser = argparse.ArgumentParser()
    numbers = {"in-a-row": 500, "at-once": 10, "jobs": 200, "models": 10000, "csvs": 10000}
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--limit", type=float, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--try", nargs=4, dest="chunk", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.chunk:
        kind, first, count, folder = args.chunk
        try_chunk(kind, int(first), int(count), args.seed, Path(folder))
        return 0
    with tempfile.TemporaryDirectory() as root:
        model = Path(root) / "model.h5"
        command = [sys.executable, "-m", "irisspark.samples.train_model", str(model)]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        place = Place(Path(root), ROOT / "submit.sh", model)
        before = place.files()
        bad = in_a_row(place, args.in_a_row, args.limit)
        bad += at_once(place, args.at_once, args.limit)
        bad += mixed(place, args.minutes, args.seed, args.limit)
        bad += jobs_of_one_session(place, args.jobs)
        bad += bool(check(place.start(*EVALUATE).finish(args.limit), args.limit))
        left = sorted(place.files() - before)
        say(f"left: {left or 'no file'}")
        for kind in KINDS:
            bad += mutated(kind, getattr(args, kind), args.seed, model, 20 * args.limit)
    return int(bool(bad or left))


if __name__ == "__main__":
    sys.exit(main())
