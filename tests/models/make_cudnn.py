# ruff: noqa - these scripts run on Python 3.6 and 3.7, under libraries of their time
"""Makes the files of CuDNN layers, which need a GPU to run, out of layers that need none.

Keras's own converter (`_convert_rnn_weights` of keras==2.2.4) turns the arrays of an LSTM, and of a GRU
that resets after, into those of the CuDNN layer; the predictions are the LSTM's and the GRU's.

    KERAS_BACKEND=tensorflow old/bin/python make_cudnn.py FOLDER     (keras==2.2.4, tensorflow==1.15.5)
"""

import json
import os
import sys

import h5py
from keras import layers as L
from keras.engine.saving import _convert_rnn_weights
from keras.models import Sequential
from saving import Recorder


def _stub(kind, like):
    stub = type("CuDNN" + kind, (), {})()
    stub.units = like.units
    return stub


def _arrays(layer, kind):
    if isinstance(layer, L.Bidirectional):
        return _arrays(layer.forward_layer, kind) + _arrays(layer.backward_layer, kind)
    return _convert_rnn_weights(_stub(kind, layer), layer.get_weights())


def _rewrite(path, model, kind):
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"].decode())
        for entry in config["config"]["layers"]:
            inner = entry["config"].get("layer", entry)
            if inner["class_name"] == kind:
                inner["class_name"] = "CuDNN" + kind
                for key in ("activation", "recurrent_activation", "use_bias", "dropout",
                            "recurrent_dropout", "implementation", "unroll", "reset_after"):
                    inner["config"].pop(key, None)
        file.attrs["model_config"] = json.dumps(config).encode()
        for layer in model.layers[:-1]:
            group = file["model_weights"][layer.name]
            for name, array in zip(group.attrs["weight_names"], _arrays(layer, kind)):
                del group[name]
                group[name] = array


def main():
    """Make the files."""
    recorder = Recorder(sys.argv[1])
    for kind, options in (("LSTM", {}), ("GRU", {"reset_after": True})):
        layer = getattr(L, kind)
        made = []

        def build():
            model = Sequential()
            model.add(layer(3, input_shape=(5, 4), return_sequences=True, recurrent_activation="sigmoid", **options))
            model.add(L.Bidirectional(layer(2, recurrent_activation="sigmoid", **options)))
            model.add(L.Dense(2))
            made.append(model)
            return model

        name = "cudnn_" + kind.lower()
        recorder.add(name, build)
        _rewrite(os.path.join(sys.argv[1], name + ".h5"), made[0], kind)
    recorder.close()


main()
