# ruff: noqa - these scripts run on Python 3.6 and 3.7, under libraries of their time
"""Makes fixtures of rare settings, in the environment of `make_keras_1.py`.

    old/bin/python make_more.py keras-1.2.2-more          # with Keras 1.2.2
    old/bin/python make_more.py tf.keras-1.15.5-more tf   # with TensorFlow 1.15.5
"""

import sys

from saving import Recorder

if len(sys.argv) > 2:
    from tensorflow.keras import backend as K, layers as L
    from tensorflow.keras.models import Model, Sequential
else:
    from keras import backend as K, layers as L
    from keras.layers import advanced_activations, local
    from keras.models import Sequential

FIRST = "channels_first"


def stack(*layers):
    """A Sequential model of the layers."""
    model = Sequential()
    for layer in layers:
        model.add(layer)
    return model


def headed(*layers):
    return stack(*layers + (L.Flatten(), L.Dense(2)))


def masked(join):
    """Two embeddings of the same words, of which one masks."""
    words = L.Input((6,))
    pair = [L.Embedding(9, 3, mask_zero=zero)(words) for zero in (False, True)]
    return Model(words, L.LSTM(2)(join(*pair)))


def two_masks():
    """Steps of which some are masked once, and others once more."""
    steps = L.Input((6, 1))
    both = L.Add()([L.Masking(0.0)(steps), L.Masking(1.0)(steps)])
    return Model(steps, L.GRU(2)(both))


def apart():
    """Both ways of a Bidirectional layer as two tensors."""
    steps = L.Input((5, 3))
    pair = L.Bidirectional(L.LSTM(2), merge_mode=None)(steps)
    return Model(steps, L.Dense(2)(L.Subtract()(pair)))


def of_keras_1():
    """What Keras 1.2 has, and stores in part."""
    conv = lambda: L.Convolution2D(3, 2, 2, input_shape=(5, 5, 2))
    return {
        "embedding_dropout": lambda: headed(L.Embedding(9, 4, input_length=5, dropout=0.2)),
        "prelu_shared": lambda: headed(conv(), advanced_activations.PReLU(shared_axes=[1, 2])),
        "prelu_shared_3": lambda: headed(conv(), advanced_activations.PReLU(shared_axes=[3])),
        "upsampling_alone": lambda: headed(L.UpSampling2D((2, 3), input_shape=(3, 4, 2))),
        "local_unbiased": lambda: headed(
            local.LocallyConnected2D(3, 2, 3, subsample=(2, 1), bias=False, input_shape=(6, 7, 2))
        ),
    }


def of_tensorflow():
    """Locally connected layers of all three implementations, in either order of the data."""
    models = {}
    for implementation in (1, 2, 3):
        for padding in ("valid", "same")[: 1 + (implementation > 1)]:
            for bias in (True, False)[: 1 + (implementation == 3)]:
                end = "%d_%s%s" % (implementation, padding, "" if bias else "_unbiased")
                how = {"implementation": implementation, "padding": padding, "use_bias": bias}
                last = dict(how, activation="softmax")
                first = dict(how, activation="tanh", data_format=FIRST)
                models["local_1d_" + end] = lambda k=last: headed(
                    L.LocallyConnected1D(3, 2, strides=2, input_shape=(7, 2), **k)
                )
                models["local_2d_" + end] = lambda k=last: headed(
                    L.LocallyConnected2D(3, (2, 3), strides=(2, 1), input_shape=(6, 7, 2), **k)
                )
                models["local_1d_first_" + end] = lambda k=first: headed(
                    L.LocallyConnected1D(3, 3, input_shape=(2, 7), **k)
                )
                models["local_2d_first_" + end] = lambda k=first: headed(
                    L.LocallyConnected2D(3, (2, 3), input_shape=(2, 4, 5), **k)
                )
    models["mask_of_one_added"] = lambda: masked(lambda kept, masked: L.Add()([kept, masked]))
    models["mask_of_one_joined"] = lambda: masked(
        lambda kept, masked: L.Dropout(0.1)(L.Concatenate(name="concatenate")([masked, kept]))
    )
    models["masks_joined_in_time"] = lambda: masked(
        lambda kept, masked: L.Concatenate(1, name="concatenate_1")([masked, masked])
    )
    models["masks_that_differ"] = two_masks
    models["bidirectional_from_behind"] = lambda: stack(
        L.Bidirectional(L.GRU(2, go_backwards=True), input_shape=(5, 3)), L.Dense(2)
    )
    models["bidirectional_apart"] = apart
    return models


recorder = Recorder(sys.argv[1])
models = of_tensorflow() if len(sys.argv) > 2 else of_keras_1()
for name in sorted(models):
    K.clear_session()
    recorder.add(name, models[name], 9 if name.startswith(("embedding", "mask")) else 0)
recorder.close()
