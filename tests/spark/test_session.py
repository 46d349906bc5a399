"""Sessions on a context of somebody else's, and the one place where jobs run."""

import os
import signal
from pathlib import Path

import pytest

from irisspark.data.dataset import open_dataset
from irisspark.errors import IrissparkError
from irisspark.evaluation.evaluating import evaluate
from irisspark.model import loading
from irisspark.options import parse
from irisspark.settings import data_settings, evaluate_settings
from irisspark.startup.session import Session

pytestmark = pytest.mark.spark

ROOT = Path(__file__).parents[2]


def look(context) -> dict[str, object]:
    """What a session could change of a context, and of this process."""
    log4j = context._jvm.org.apache.logging.log4j
    return {
        "conf": sorted(context.getConf().getAll()),
        "environment": sorted(
            map(str, context._jvm.org.apache.spark.SparkEnv.get().conf().getAll())
        ),
        "level": log4j.LogManager.getRootLogger().getLevel().toString(),
        "properties": sorted(context._conf.getAll()),
        "python files": list(context._python_includes),
        "description": context.getLocalProperty("spark.job.description"),
        "environ": dict(os.environ),
        "folder": os.getcwd(),
    }


def test_a_session_on_a_context_changes_nothing_of_it(spark, tmp_path):
    import keras

    context = spark.context
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")]).save(
        tmp_path / "m.keras"
    )
    before = look(context)
    data = str(ROOT / "irisspark" / "samples" / "iris.txt")
    options = parse(["-modelPath", str(tmp_path / "m.keras"), "-dataPath", data])
    session = Session.attach(context)
    model = loading.load(options.model_path)
    result = evaluate(
        session,
        model,
        open_dataset(session, data_settings(options), model.spec),
        evaluate_settings(options),
    )
    session.wait_for_workers()
    del session
    assert result.num_rows == 150
    assert look(context) == before
    assert context.parallelize([1, 2], 2).sum() == 3


def test_a_model_in_memory_is_copied_and_stays_as_it_is(spark, tmp_path):
    import keras
    import numpy as np

    iris = np.loadtxt(ROOT / "irisspark" / "samples" / "iris.txt", delimiter=",")
    options = parse(["-dataPath", str(ROOT / "irisspark" / "samples" / "iris.txt")])
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    for compiled in (False, True):
        if compiled:
            network.compile("sgd", "sparse_categorical_crossentropy")
        optimizer, weights = getattr(network, "optimizer", None), network.get_weights()
        model = loading.load_network(network)
        assert model.network is not network
        assert (network.compiled, getattr(network, "optimizer", None)) == (compiled, optimizer)
        result = evaluate(
            spark,
            model,
            open_dataset(spark, data_settings(options), model.spec),
            evaluate_settings(options),
        )
        model.network.set_weights([0 * array for array in weights])
        assert all(map(np.array_equal, network.get_weights(), weights))
        predicted = network.predict(iris[:, :4], verbose=0).argmax(axis=1)
        assert result.scores.accuracy == (predicted == iris[:, 4]).mean()
    assert result.scores.loss == pytest.approx(network.evaluate(iris[:, :4], iris[:, 4], verbose=0))
    assert model.sha256 == loading.load_network(network).sha256


def dies(folder, times: int):
    """Make a task that kills its worker so many times, in as many jobs."""

    def act(rows):
        rows = list(rows)
        deaths = len(list(folder.iterdir()))
        if rows == [2] and deaths < times:
            (folder / str(deaths)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        yield sum(rows)

    return act


def test_a_job_whose_worker_dies_is_run_again(spark, tmp_path, capfd):
    job = spark.spread([1, 2]).mapPartitions(dies(tmp_path, 3)).collect
    assert spark.run(job, "count") == [1, 2]
    assert capfd.readouterr().err.count("a worker's process died; its job is run again") == 3


@pytest.mark.parametrize(("again", "attempts"), [(True, 4), (False, 1)])
def test_a_job_whose_worker_dies_again_and_again_is_one_line(spark, tmp_path, again, attempts):
    job = spark.spread([1, 2]).mapPartitions(dies(tmp_path, 99)).collect
    with pytest.raises(IrissparkError, match=r"too little memory.* --master local\[1\]"):
        spark.run(job, "die", again=again)
    assert len(list(tmp_path.iterdir())) == attempts
    assert spark.run(lambda: spark.spread([1, 2]).map(lambda n: n + 1).collect(), "add") == [2, 3]


def test_an_error_of_the_jobs_own_is_let_through_at_once(spark):
    seen = []

    def job():
        seen.append(1)
        raise RuntimeError("Python worker exited unexpectedly (crashed)")  # as no Spark says it

    with pytest.raises(RuntimeError, match="crashed"):
        spark.run(job, "fail")
    assert seen == [1]
