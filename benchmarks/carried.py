"""Evaluation of files that workers open, beside the same files read by Spark's executors for them.

    python benchmarks/carried.py [--runs N] [--rows N]

Prints the medians of warm jobs inside one application. Hadoop reads this disk, by a mount table.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

from evaluation import NARROW, save_model, write_data
from measure import ROOT

sys.path.insert(0, str(ROOT))

from irisspark.data.dataset import open_dataset
from irisspark.evaluation.evaluating import evaluate
from irisspark.model import loading
from irisspark.options import parse
from irisspark.settings import data_settings, evaluate_settings
from irisspark.startup.session import open_session


def main() -> int:
    """Measure both ways in turn, and print their medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--rows", type=int, default=2_000_000)
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder, open_session(use_local=True) as session:
        write_data(Path(folder, "data.csv"), arguments.rows, NARROW)
        save_model(Path(folder, "model.keras"), NARROW)
        session.hadoop[1].set("fs.viewfs.mounttable.disk.link./data", Path(folder).as_uri())
        seconds = {f"{folder}/data.csv": [], "viewfs://disk/data/data.csv": []}
        for run in range(arguments.runs + 1):
            for path, taken in seconds.items():
                options = parse(["-modelPath", f"{folder}/model.keras", "-dataPath", path])
                model = loading.load(options.model_path)
                dataset = open_dataset(session, data_settings(options), model.spec)
                result = evaluate(session, model, dataset, evaluate_settings(options))
                if run:  # the first one starts the workers
                    taken.append(result.job_seconds)
    opened, carried = (statistics.median(taken) for taken in seconds.values())
    print(f"opened by workers {opened:.2f} s, carried by Spark {carried:.2f} s")
    print(f"ratio {carried / opened:.2f} (reported, no goal)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
