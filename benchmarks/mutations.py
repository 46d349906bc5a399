"""Mutated model files and CSVs: each is opened and read, or is answered by one of the four errors.

    python benchmarks/mutations.py [--models 10000] [--csvs 10000] [--first 0] [--seed 0]

They go through the code that opens models and parses data, in processes of their own whose address
space is limited: no process crashes or waits without end, none takes more than a bound. A mutation
is made from its number and the seed alone; a number that is answered badly is printed.
"""

import argparse
import gc
import gzip
import io
import json
import os
import random
import resource
import select
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
IRIS = ROOT / "irisspark" / "samples" / "iris.txt"
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "spark")]

CHUNK = 250  # numbers a process
MEMORY_BYTES = 1 << 30  # more than a process takes that has opened one model
SECONDS = 30.0
START_SECONDS = 600.0  # to import TensorFlow on a machine that is busy
SILENT_SECONDS = 100.0  # after the product's own limit, at which it ends the process with a line
# What is said where HDF5 loops, or crashes.
ENDED = ("could not be read within", "the process ended while it read")

Act = Callable[[random.Random], str]


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
        elif dice.random() < 0.2:
            del data[at:]
    return bytes(data)


ODD: list[Any] = [-1, 0, 1, 2**31, 2**63, 10**30, 1e308, float("nan"), None, True, "", "x", [], {}]
ODD += [[10**9] * 3, "a" * 10000, "Lambda", "__lambda__", "../../x", "keras.src.layers", ["a", 1]]


def mutate_json(value: Any, dice: random.Random) -> Any:
    """Change a few values somewhere in what a configuration holds, or leave them out."""
    places = list(_places(value))
    for _ in range(dice.choice([1, 1, 1, 3])):
        holder, key = dice.choice(places)
        try:
            if dice.random() < 0.2:
                del holder[key]
            elif dice.random() < 0.2:
                holder[key] = dice.choice(places)[0]
                json.dumps(value)
            else:
                holder[key] = dice.choice(ODD)
        except (IndexError, KeyError):  # another change has taken it away
            continue
        except (ValueError, RecursionError):  # a circle, which JSON does not hold
            holder[key] = None
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


def mutate_zip(content: bytes, dice: random.Random) -> bytes:
    """Change what a zip holds, so that its checksums are right again."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    name = dice.choice(sorted(members))
    if name.endswith(".json") and dice.random() < 0.8:
        members[name] = json.dumps(mutate_json(json.loads(members[name]), dice)).encode()
    elif dice.random() < 0.1:
        members[dice.choice(["x", "../x", name * 50])] = members.pop(name)
    else:
        members[name] = mutate(members[name], dice)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", dice.choice([0, zipfile.ZIP_DEFLATED])) as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return packed.getvalue()


def mutate_h5(content: bytes, dice: random.Random) -> bytes:
    """Change an HDF5 file's configuration, or a dataset's shape, so that the file is whole."""
    import h5py

    held = io.BytesIO(content)
    with h5py.File(held, "r+") as file:
        datasets: list[str] = []
        file.visititems(
            lambda name, item: datasets.append(name) if hasattr(item, "shape") else None
        )
        if datasets and dice.random() < 0.3:
            name = dice.choice(datasets)
            shape = dice.choice([(), (0,), (3,), (2, 2, 2), (1 << 40,)])
            del file[name]
            if dice.random() < 0.8:
                file.create_dataset(name, shape, dice.choice(["f4", "f8", "i8", "S3", "c8"]))
        elif names := [name for name in ("model_config", "training_config") if name in file.attrs]:
            name = dice.choice(names)
            text = file.attrs[name]
            config = json.loads(text if isinstance(text, str) else text.decode())
            file.attrs[name] = json.dumps(mutate_json(config, dice))[:60000].encode()
    return held.getvalue()


def open_models(folder: Path) -> Act:
    """Make what opens one mutated model."""
    from irisspark.model import loading
    from irisspark.startup.imports import import_tensorflow

    import_tensorflow()
    import keras

    files = [*_new_models(folder), *sorted((ROOT / "tests" / "models" / "files").glob("*/*.*"))]
    files = [file for file in files if file.suffix in (".h5", ".keras")]
    loading.load(str(files[0]))

    def open_one(dice: random.Random) -> str:
        original = dice.choice(files[:3]) if dice.random() < 0.2 else dice.choice(files)
        content, path = original.read_bytes(), folder / f"mutated{original.suffix}"
        whole = mutate_zip if zipfile.is_zipfile(original) else mutate_h5
        path.write_bytes((whole if dice.random() < 0.6 else mutate)(content, dice))
        try:
            loading.load(str(path), training_seed=dice.choice([None, 7]))
        finally:
            keras.utils.clear_session()
        return "opened"

    return open_one


def _new_models(folder: Path) -> list[Path]:
    import keras
    import numpy as np

    dense = keras.layers.Dense(3, "softmax")
    model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization(), dense])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.fit(np.ones((3, 4)), np.eye(3), verbose=0)
    paths = [folder / name for name in ("model.keras", "model.h5", "functional.keras")]
    for path in paths[:2]:
        model.save(path)
    inputs = keras.Input((8, 8, 1))
    hidden = keras.layers.Flatten()(keras.layers.Conv2D(2, 3)(inputs))
    keras.Model(inputs, keras.layers.Dense(2, "softmax")(hidden)).save(paths[2])
    return paths


def texts(iris: bytes) -> list[tuple[list[str], bytes]]:
    """Make CSVs of several dialects, each with the options that describe it."""
    rows = [line.split(",") for line in iris.decode().split()]
    named = "\r\n".join(";".join([*row[:4], f'"kind ""{row[4]}"""']) for row in rows)
    broken = "\n".join(",".join([*row, f'"a\nb{n}"']) for n, row in enumerate(rows))
    return [
        ([], iris),
        (
            ["-header", "true", "-delimiter", ";", "-labelIndex", "e"],
            f"a;b;c;d;e\n{named}".encode(),
        ),
        (["-multiLine", "true", "-keepColumns", "5"], broken.encode()),
        (["-delimiter", "|"], iris.replace(b",", b"|").replace(b"\n", b"\r")),
        (["-delimiter", "tab"], b"\xef\xbb\xbf" + iris.replace(b",", b"\t")),
    ]


def read_csvs(folder: Path) -> Act:
    """Make what evaluates a model on one mutated CSV."""
    from in_process import InProcessSession

    from irisspark.data.dataset import open_dataset
    from irisspark.evaluation.evaluating import evaluate
    from irisspark.model import loading
    from irisspark.options import parse
    from irisspark.settings import data_settings, evaluate_settings
    from irisspark.startup.imports import import_tensorflow

    import_tensorflow()
    path = str(_new_models(folder)[0])
    model = loading.load(path)
    session = InProcessSession(2)
    sources = texts(IRIS.read_bytes())

    def evaluate_one(words: list[str], data: Path) -> None:
        options = parse(["-modelPath", path, "-dataPath", str(data), "-labelIndex", "4", *words])
        dataset = open_dataset(session, data_settings(options), model.spec)
        evaluate(session, model, dataset, evaluate_settings(options))

    def read_one(dice: random.Random) -> str:
        words, content = dice.choice(sources)
        content = mutate(content, dice)
        data = folder / f"mutated.csv{dice.choice(['', '', '', '.gz'])}"
        if data.suffix == ".gz":
            content = gzip.compress(content, mtime=0)
            content = mutate(content, dice) if dice.random() < 0.2 else content
        data.write_bytes(content)
        evaluate_one(["-badRows", dice.choice(["fail", "skip"]), *words], data)
        return "read"

    evaluate_one([], IRIS)  # what is kept between files is no file's
    return read_one


KINDS = {"models": open_models, "csvs": read_csvs}


def limit_memory() -> None:
    """Let this process have no more than ``MEMORY_BYTES`` more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def try_chunk(kind: str, first: int, count: int, seed: int, folder: Path) -> None:
    """Try mutations in this process, and print of each how it was answered."""
    from irisspark.errors import IrissparkError

    act = KINDS[kind](folder)
    gc.collect()
    gc.freeze()  # to collect what TensorFlow's modules are made of takes most of the time
    limit_memory()
    for number in range(first, first + count):
        print(json.dumps([number, "begun"]), flush=True)
        began = time.monotonic()
        try:
            answer = act(random.Random(f"{seed} {kind} {number}"))
        except IrissparkError as error:
            answer = type(error).__name__ if str(error).strip() else "bad: an empty message"
            answer = "bad: several lines" if "\n" in str(error) else answer
        except Exception as error:
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(frame.filename).name}:{frame.lineno}"
            answer = f"bad: {where} {type(error).__name__}: {str(error)[:300]!r}"
        if (seconds := time.monotonic() - began) > SECONDS:
            answer = f"bad: it took {seconds:.0f} s"
        print(json.dumps([number, answer]), flush=True)


def answers(kind: str, first: int, count: int, seed: int) -> Iterator[tuple[int, str]]:
    """Try mutations in a process of their own, and in another one after each that ends it."""
    last = first + count
    while first < last:
        with tempfile.TemporaryDirectory() as name, open(Path(name, "errors"), "w+b") as errors:
            words = ["--try", kind, str(first), str(last - first), name, "--seed", str(seed)]
            command = [sys.executable, __file__, *words]
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
            ended = yield from _read_answers(child)
            errors.seek(0)
            said = errors.read().decode(errors="replace")
        if ended is None:
            return
        number, problem = ended
        if number is None:
            raise RuntimeError(f"it did not come to its first: {said}")
        if any(line in said for line in ENDED):
            problem = "ended with a line"
        elif child.returncode:
            problem = f"bad: {problem} {child.returncode}: {said[-500:]!r}"
        yield number, problem
        first = number + 1


def _read_answers(
    child: subprocess.Popen[bytes],
) -> Generator[tuple[int, str], None, tuple[int | None, str] | None]:
    """Give answers as they come; return the number that ended the process, None: none did."""
    begun: int | None = None
    assert child.stdout is not None
    buffer = b""
    problem = "the process ended with"
    limit = START_SECONDS
    while True:
        if not select.select([child.stdout], [], [], limit)[0]:
            child.kill()
            problem = "no answer, killed:"
            break
        part = os.read(child.stdout.fileno(), 1 << 16)
        if not part:
            break
        limit = SILENT_SECONDS
        *lines, buffer = (buffer + part).split(b"\n")
        for line in lines:
            number, answer = json.loads(line)
            begun = number if answer == "begun" else None
            if answer != "begun":
                yield number, answer
    if child.wait() == 0:
        return None
    return begun, problem


def tried(kind: str, count: int, seed: int, first: int = 0) -> Counter[str]:
    """Try mutations, print those that are answered badly, and count how they were answered."""
    counts: Counter[str] = Counter()
    for start in range(first, first + count, CHUNK):
        for number, answer in answers(kind, start, min(CHUNK, first + count - start), seed):
            counts[answer.split(":")[0]] += 1
            if answer.startswith("bad"):
                print(f"{kind} {number}: {answer[5:]}", flush=True)
    return counts


def main() -> int:
    """Do what the options say, and give 1 where anything was not as it must be."""
    parser = argparse.ArgumentParser()
    for kind in KINDS:
        parser.add_argument(f"--{kind}", type=int, default=10000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--try", nargs=4, dest="chunk", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.chunk:
        kind, first, count, folder = args.chunk
        try_chunk(kind, int(first), int(count), args.seed, Path(folder))
        return 0
    bad = 0
    for kind in KINDS:
        counts = tried(kind, getattr(args, kind), args.seed, args.first)
        bad += counts["bad"]
        print(f"{kind}: {counts.total()} mutated, {dict(counts.most_common())}", flush=True)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
