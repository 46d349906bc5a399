# ruff: noqa - these scripts run on Python 3.6 and 3.7, under libraries of their time
"""Shared by the scripts that make fixtures: random weights, a file, and its Keras's predictions.

Runs on Python 3.6 and later, under any Keras.
"""

import os
import sys

import numpy as np

ROWS = 3


def randomise(model, random):
    """Give every array of `model` random values that keep its predictions moderate."""
    for layer in model.layers:
        if getattr(layer, "layers", None) and not hasattr(layer, "cell"):
            randomise(layer, random)
            continue
        arrays = []
        for old, variable in zip(layer.get_weights(), layer.weights):
            old = np.asarray(old)
            name = str(getattr(variable, "name", variable))
            new = random.normal(0.0, 0.4, old.shape)
            if "variance" in name or "running_std" in name:
                new = random.uniform(0.5, 1.5, old.shape)
            arrays.append(np.asarray(old if old.dtype.kind in "iu" else new, dtype=old.dtype))
        if arrays:
            layer.set_weights(arrays)


def inputs_for(model, random, integers):
    """Random inputs of the shapes that `model` takes; whole numbers below `integers` if given."""
    shapes = model.input_shape
    shapes = shapes if isinstance(shapes, list) else [shapes]
    inputs = []
    for shape in shapes:
        size = [ROWS if shape[0] is None else shape[0]] + [5 if n is None else n for n in shape[1:]]
        if integers:
            inputs.append(random.randint(0, integers, size).astype("float32"))
        else:
            inputs.append(random.uniform(-1.0, 1.0, size).astype("float32"))
    return inputs


class Recorder:
    """Writes `folder/name.h5` for each model, and all inputs and predictions to `folder.npz`."""

    def __init__(self, folder, only=()):
        """Start the folder; `only` restricts what is made to some names."""
        self.folder, self.arrays, self.failed, self.only = folder, {}, [], only
        if not os.path.isdir(folder):
            os.makedirs(folder)

    def add(self, name, build, integers=0, suffix=".h5", weights=True, fit=False):
        """Build, randomise, predict and save one model; what its Keras cannot do is reported."""
        if self.only and name not in self.only:
            return
        random = np.random.RandomState(sum(map(ord, name)))
        np.random.seed(7)
        try:
            model = build()
            if weights:
                randomise(model, random)
            inputs = inputs_for(model, random, integers)
            if fit:
                targets = np.random.rand(ROWS, model.output_shape[-1])
                model.fit(inputs[0], targets / targets.sum(axis=1, keepdims=True), verbose=0)
            outputs = model.predict(inputs if len(inputs) > 1 else inputs[0], batch_size=ROWS)
            model.save(os.path.join(self.folder, name + suffix))
        except Exception as error:
            self.failed.append("%s: %s: %s" % (name, type(error).__name__, str(error)[:200]))
            return
        outputs = outputs if isinstance(outputs, list) else [outputs]
        for kind, arrays in (("x", inputs), ("y", outputs)):
            for i, array in enumerate(arrays):
                self.arrays["%s/%s%d" % (name, kind, i)] = np.asarray(array)

    def close(self):
        """Write the predictions, and say what could not be made."""
        np.savez_compressed(self.folder + ".npz", **self.arrays)
        for line in self.failed:
            sys.stderr.write("NOT MADE %s: %s\n" % (self.folder, line))
