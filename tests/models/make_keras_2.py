# ruff: noqa - these scripts run on Python 3.6 and 3.7, under libraries of their time
"""Makes the Keras 2 and tf.keras fixtures with the real old libraries.

    python3.7 -m venv old && old/bin/pip install keras==2.2.4 tensorflow==1.15.5 "h5py<3" \
        "protobuf<3.21" "numpy<1.19" "scipy<1.6"
    KERAS_BACKEND=tensorflow old/bin/python make_keras_2.py FOLDER keras [channels_first]
    old/bin/python make_keras_2.py FOLDER tf.keras zip NAME ...    (.keras files, tf.keras 2.12 to 2.15)
    old/bin/python make_keras_2.py FOLDER tf.keras h5 NAME ...     (these alone; 2.2.3 too)

Also with keras==2.0.8, 2.1.6 and 2.3.1; and `make_keras_2.py FOLDER tf.keras` with tensorflow==1.15.5,
2.1.4, 2.3.4, 2.4.4 (h5py<3), 2.8.4, 2.13.1 and 2.15.1 (tf_keras too).
"""

import sys

if sys.argv[2] == "keras":
    import keras
    from keras import backend as K
else:
    from tensorflow import keras
    from tensorflow.keras import backend as K

import random_models
from saving import Recorder

L = keras.layers
Model, Sequential, Input = keras.models.Model, keras.models.Sequential, keras.layers.Input
SUFFIX = ".keras" if sys.argv[3:4] == ["zip"] else ".h5"
FIRST = len(sys.argv) > 3 and sys.argv[3] == "channels_first"
if FIRST:
    K.set_image_data_format("channels_first")
AXIS = 1 if FIRST else -1


def image(rows, columns, channels):
    """The shape of an image in the data format in use."""
    return (channels, rows, columns) if FIRST else (rows, columns, channels)


def stack(*layers):
    """A Sequential model of the layers."""
    model = Sequential()
    for layer in layers:
        model.add(layer)
    return model


def mlp():
    model = stack(
        L.Dense(10, input_dim=4, activation="relu", kernel_regularizer=keras.regularizers.l2(0.01)),
        L.Dropout(0.2),
        L.Dense(8, activation="hard_sigmoid", kernel_initializer="he_normal"),
        L.Dense(3),
        L.Activation("softmax"),
    )
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


def mlp_sgd():
    model = stack(L.Dense(5, input_shape=(4,), activation="tanh"), L.Dense(3, activation="sigmoid"))
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "binary_crossentropy", metrics=["acc"])
    return model


def mlp_rmsprop():
    model = stack(L.Dense(5, input_shape=(4,), activation="selu"), L.Dense(3, activation="softmax"))
    model.compile(keras.optimizers.RMSprop(0.002), "mse", metrics=["mae"])
    return model


def lenet():
    return stack(
        L.Conv2D(4, (3, 3), activation="relu", input_shape=image(10, 12, 2)),
        L.MaxPooling2D((2, 2)),
        L.Conv2D(5, (3, 2), padding="same"),
        L.Activation("tanh"),
        L.MaxPooling2D((2, 2)),
        L.Dropout(0.25),
        L.Flatten(),
        L.Dense(6, activation="relu"),
        L.Dense(3, activation="softmax"),
    )


def vgg():
    return stack(
        L.ZeroPadding2D((1, 1), input_shape=image(9, 8, 3)),
        L.Conv2D(4, (3, 3), activation="relu", name="conv1_1"),
        L.Conv2D(4, (3, 3), activation="relu", name="conv1_2", padding="same"),
        L.BatchNormalization(axis=AXIS),
        L.MaxPooling2D((2, 2), strides=(2, 2)),
        L.Flatten(),
        L.Dense(4, activation="softmax"),
    )


def resnet_block():
    x = Input(image(8, 6, 3))
    y = L.Conv2D(4, (3, 3), padding="same", strides=(2, 2))(x)
    y = L.BatchNormalization(axis=AXIS)(y)
    y = L.Activation("relu")(y)
    y = L.Conv2D(4, (3, 3), padding="same", use_bias=False)(y)
    y = L.BatchNormalization(axis=AXIS, scale=False)(y)
    short = L.Conv2D(4, (1, 1), strides=(2, 2))(x)
    z = L.Activation("relu")(L.add([y, short]))
    z = L.AveragePooling2D((2, 2))(z)
    return Model(x, L.Dense(3)(L.Flatten()(z)))


def inception_block():
    x = Input(image(7, 7, 2))
    towers = [
        L.Conv2D(2, (1, 1), activation="relu")(x),
        L.Conv2D(3, (3, 3), padding="same")(x),
        L.MaxPooling2D((3, 3), strides=(1, 1), padding="same")(x),
        L.AveragePooling2D((3, 3), strides=(1, 1), padding="same")(x),
    ]
    return Model(x, L.GlobalAveragePooling2D()(L.concatenate(towers, axis=AXIS)))


def mobilenet_block():
    depthwise = getattr(L, "DepthwiseConv2D", None) or keras.applications.mobilenet.DepthwiseConv2D
    x = Input(image(8, 8, 3))
    y = depthwise((3, 3), padding="same", strides=(1, 1), use_bias=False)(x)
    y = L.BatchNormalization(axis=AXIS)(y)
    y = L.Conv2D(6, (1, 1), padding="same", use_bias=False)(y)
    y = L.Activation("relu")(y)
    y = depthwise((3, 3), depth_multiplier=2)(y)
    y = L.GlobalAveragePooling2D()(y)
    y = L.Reshape((1, 1, 12))(y) if not FIRST else L.Reshape((12, 1, 1))(y)
    y = L.Conv2D(3, (1, 1))(y)
    return Model(x, L.Activation("softmax")(L.Reshape((3,))(y)))


def unet():
    x = Input(image(8, 8, 2))
    down = L.Conv2D(3, 3, activation="relu", padding="same")(x)
    low = L.Conv2D(4, 3, activation="relu", padding="same")(L.MaxPooling2D()(down))
    up = L.Conv2DTranspose(3, (2, 2), strides=(2, 2), padding="same")(low)
    y = L.concatenate([up, down, L.UpSampling2D((2, 2))(low)], axis=AXIS)
    return Model(x, L.Conv2D(1, 1, activation="sigmoid")(y))


def bilinear():
    return stack(
        L.UpSampling2D((2, 2), interpolation="bilinear", input_shape=image(4, 5, 2)),
        L.Conv2D(2, 1),
    )


def autoencoder():
    return stack(
        L.Conv2D(3, 3, strides=2, padding="same", activation="relu", input_shape=image(8, 8, 1)),
        L.Conv2DTranspose(2, 3, strides=2, padding="same", activation="relu"),
        L.Conv2DTranspose(1, 3, padding="valid"),
        L.Cropping2D(((1, 1), (2, 0))),
    )


def merges(kind):
    def build():
        a, b = Input((4,)), Input((4,))
        options = {"axes": 1} if kind == "dot" else {}
        return Model(
            [a, b], L.Dense(2)(getattr(L, kind)([L.Dense(4)(a), L.Dense(4)(b)], **options))
        )

    return build


def siamese():
    tower = stack(L.Dense(5, input_dim=4, activation="relu"), L.BatchNormalization(), L.Dense(3))
    a, b = Input((4,)), Input((4,))
    return Model([a, b], L.Dense(1)(L.concatenate([tower(a), tower(b)])))


def shared_layer():
    layer = L.Dense(4, activation="tanh")
    a, b = Input((4,)), Input((4,))
    return Model([a, b], [L.multiply([layer(a), layer(b)]), layer(layer(a))])


def nested():
    x = Input((4,))
    inner = Model(x, L.BatchNormalization()(L.Dense(3)(x)), name="inner")
    y = Input((4,))
    outer = stack(L.Dense(4, input_dim=3), L.BatchNormalization())
    return Model(y, L.Dense(2)(outer(inner(y))))


def nested_frozen():
    base = stack(
        L.Conv2D(3, 3, input_shape=image(6, 6, 2)), L.BatchNormalization(axis=AXIS), L.Conv2D(2, 2)
    )
    base.layers[0].trainable = False
    base.layers[1].trainable = False
    return stack(base, L.Flatten(), L.Dense(3, activation="softmax"))


def nested_first():
    x = Input(image(6, 6, 2))
    y = L.Conv2D(3, 3, name="block_conv")(x)
    base = Model(x, L.BatchNormalization(axis=AXIS, name="block_bn")(y), name="base")
    base.trainable = False
    return stack(base, L.GlobalMaxPooling2D(), L.Dense(3))


def text_cnn():
    return stack(
        L.Embedding(11, 6, input_length=9),
        L.Conv1D(5, 3, activation="relu"),
        L.MaxPooling1D(2),
        L.Conv1D(4, 2, padding="causal", dilation_rate=2),
        L.GlobalMaxPooling1D(),
        L.Dense(2, activation="softmax"),
    )


def text_average():
    return stack(L.Embedding(11, 6, input_length=9), L.GlobalAveragePooling1D(), L.Dense(2))


def recurrent(kind, **options):
    def build():
        layer = getattr(L, kind)
        return stack(
            layer(4, input_shape=(5, 3), return_sequences=True, **options),
            layer(3, **options),
            L.Dense(2),
        )

    return build


def masked(kind):
    def build():
        layer = getattr(L, kind)
        return stack(
            L.Embedding(9, 4, mask_zero=True, input_length=6),
            L.Dropout(0.1),
            layer(4, return_sequences=True),
            L.TimeDistributed(L.Dense(3)),
            L.Bidirectional(layer(3)),
            L.Dense(2),
        )

    return build


def bidirectional(mode):
    def build():
        return stack(
            L.Bidirectional(L.LSTM(3, return_sequences=True), merge_mode=mode, input_shape=(5, 3)),
            L.Bidirectional(L.GRU(2)),
            L.Dense(2),
        )

    return build


def seq2seq():
    a, b = Input((4, 3)), Input((5, 2))
    _, h, c = L.LSTM(4, return_state=True)(a)
    y = L.LSTM(4, return_sequences=True)(b, initial_state=[h, c])
    return Model([a, b], L.Dense(2, activation="softmax")(y))


def time_distributed():
    return stack(
        L.TimeDistributed(L.Conv2D(2, 3), input_shape=(3,) + image(5, 5, 1)),
        L.TimeDistributed(L.BatchNormalization(axis=AXIS)),
        L.TimeDistributed(L.MaxPooling2D()),
        L.TimeDistributed(L.Flatten()),
        L.TimeDistributed(L.Dense(4)),
        L.LSTM(3, activation="relu", recurrent_activation="sigmoid"),
    )


def time_distributed_model():
    inner = stack(
        L.Conv2D(2, 3, input_shape=image(5, 5, 1)), L.BatchNormalization(axis=AXIS), L.Flatten()
    )
    return stack(L.TimeDistributed(inner, input_shape=(3,) + image(5, 5, 1)), L.GRU(3))


def rnn_cells():
    cells = [L.LSTMCell(3), L.GRUCell(4), L.SimpleRNNCell(2)]
    return stack(L.RNN(cells, input_shape=(4, 3), return_sequences=True), L.RNN(L.LSTMCell(2)))


def activations():
    return stack(
        L.Dense(6, input_dim=4),
        L.LeakyReLU(0.2),
        L.Dense(6),
        L.PReLU(),
        L.Dense(6),
        L.ELU(0.7),
        L.Dense(6),
        L.ThresholdedReLU(0.3),
        L.Dense(6, activation="softplus"),
        L.Dense(6, activation="softsign"),
        L.Dense(6, activation="elu"),
        L.Dense(6, activation="selu"),
        L.Activation("hard_sigmoid"),
        L.AlphaDropout(0.1),
    )


def relu_layers():
    return stack(L.Dense(6, input_dim=4), L.ReLU(6.0), L.Dense(5), L.Softmax())


def image_prelu():
    return stack(
        L.Conv2D(3, 3, input_shape=image(6, 5, 2)),
        L.PReLU(shared_axes=[2, 3] if FIRST else [1, 2]),
        L.Conv2D(2, 2),
        L.PReLU(),
        L.SpatialDropout2D(0.3),
        L.Permute((2, 3, 1)),
        L.Flatten(),
        L.Dense(2),
    )


def locally_connected():
    return stack(
        L.LocallyConnected2D(3, (3, 2), activation="relu", input_shape=image(6, 5, 2)),
        L.Flatten(),
        L.Reshape((9, 4)) if False else L.Reshape((16, 3)),
        L.LocallyConnected1D(2, 3),
        L.Flatten(),
        L.Dense(2),
    )


def conv_3d():
    shape = (2, 5, 6, 5) if FIRST else (5, 6, 5, 2)
    return stack(
        L.Conv3D(2, (2, 3, 2), input_shape=shape),
        L.BatchNormalization(axis=AXIS),
        L.MaxPooling3D(),
        L.UpSampling3D(),
        L.ZeroPadding3D(1),
        L.Cropping3D(((1, 0), (0, 1), (1, 1))),
        L.Conv3DTranspose(2, 2),
        L.AveragePooling3D(),
        L.GlobalMaxPooling3D(),
        L.Dense(2),
    )


def single():
    """Small models of the layers that the compositions leave out."""
    return {
        "dilated": lambda: stack(L.Conv2D(3, 3, dilation_rate=2, input_shape=image(9, 9, 2))),
        "separable": lambda: stack(
            L.SeparableConv2D(4, 3, depth_multiplier=2, padding="same", input_shape=image(6, 6, 2))
        ),
        "separable_1d": lambda: stack(L.SeparableConv1D(4, 3, input_shape=(7, 2))),
        "conv_lstm": lambda: stack(
            L.ConvLSTM2D(
                2, 3, padding="same", return_sequences=True, input_shape=(3,) + image(5, 6, 2)
            ),
            L.BatchNormalization(axis=2 if FIRST else -1),
            L.ConvLSTM2D(2, 2),
        ),
        "gaussian": lambda: stack(
            L.GaussianNoise(0.3, input_shape=(4,)),
            L.GaussianDropout(0.2),
            L.ActivityRegularization(0.1, 0.2),
            L.Dense(2),
        ),
        "masking": lambda: stack(L.Masking(0.0, input_shape=(5, 3)), L.LSTM(3)),
        "sequence_1d": lambda: stack(
            L.ZeroPadding1D(2, input_shape=(5, 2)),
            L.UpSampling1D(2),
            L.Cropping1D((1, 2)),
            L.AveragePooling1D(2, padding="same"),
            L.SpatialDropout1D(0.2),
            L.GlobalAveragePooling1D(),
        ),
        "repeat": lambda: stack(
            L.Dense(3, input_dim=4), L.RepeatVector(4), L.SimpleRNN(3, return_sequences=True)
        ),
        "stateful": lambda: stack(
            L.LSTM(3, stateful=True, batch_input_shape=(3, 4, 2), return_sequences=True), L.LSTM(2)
        ),
        "constraints": lambda: stack(
            L.Dense(
                3,
                input_dim=4,
                kernel_constraint=keras.constraints.max_norm(2.0),
                bias_constraint="non_neg",
                kernel_initializer=keras.initializers.RandomNormal(0, 0.1),
            ),
            L.Dense(
                2, kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_in", "normal")
            ),
        ),
        "asymmetric_padding": lambda: stack(
            L.ZeroPadding2D(((0, 1), (2, 0)), input_shape=image(5, 5, 2)), L.Conv2D(2, 3, strides=2)
        ),
        "global_pooling": lambda: stack(
            L.Conv2D(3, 3, input_shape=image(6, 6, 2)), L.GlobalMaxPooling2D(), L.Dense(2)
        ),
    }


IMAGES = (
    "lenet vgg resnet_block inception_block mobilenet_block unet autoencoder nested_frozen nested_first "
    "time_distributed time_distributed_model image_prelu locally_connected conv_3d dilated separable "
    "conv_lstm asymmetric_padding global_pooling bilinear"
).split()
WORDS = ("categories", "hashed", "looked_up", "text_cnn", "text_average", "masked_lstm", "masked_gru")


def every_model():
    """All models by name."""
    models = {
        "mlp": mlp,
        "mlp_sgd": mlp_sgd,
        "mlp_rmsprop": mlp_rmsprop,
        "lenet": lenet,
        "vgg": vgg,
        "resnet_block": resnet_block,
        "inception_block": inception_block,
        "mobilenet_block": mobilenet_block,
        "unet": unet,
        "bilinear": bilinear,
        "autoencoder": autoencoder,
        "siamese": siamese,
        "shared_layer": shared_layer,
        "nested": nested,
        "nested_frozen": nested_frozen,
        "nested_first": nested_first,
        "text_cnn": text_cnn,
        "text_average": text_average,
        "masked_lstm": masked("LSTM"),
        "masked_gru": masked("GRU"),
        "seq2seq": seq2seq,
        "time_distributed": time_distributed,
        "time_distributed_model": time_distributed_model,
        "rnn_cells": rnn_cells,
        "activations": activations,
        "relu_layers": relu_layers,
        "image_prelu": image_prelu,
        "locally_connected": locally_connected,
        "conv_3d": conv_3d,
        "simple_rnn": recurrent("SimpleRNN"),
        "gru": recurrent("GRU"),
        "lstm": recurrent("LSTM"),
        "gru_reset_after": recurrent("GRU", reset_after=True),
        "gru_reset_before": recurrent("GRU", reset_after=False),
        "lstm_backwards": recurrent("LSTM", go_backwards=True, implementation=2, unroll=True),
        "lstm_hard": recurrent("LSTM", recurrent_activation="hard_sigmoid", use_bias=False),
    }
    for kind in (
        "add",
        "multiply",
        "average",
        "maximum",
        "concatenate",
        "dot",
        "subtract",
        "minimum",
    ):
        models["merge_" + kind] = merges(kind)
    for mode in ("concat", "sum", "ave", "mul"):
        models["bidirectional_" + mode] = bidirectional(mode)
    models.update(single())
    return models


def terms():
    """Keras 2's terms for `random_models`."""
    merges = {"add": "add", "mul": "multiply", "concat": "concatenate", "max": "maximum"}
    return {
        "input": Input,
        "model": Model,
        "dense": lambda n, act: L.Dense(n, activation=act),
        "batch_normalization": L.BatchNormalization,
        "dropout": L.Dropout,
        "merge": lambda tensors, mode: getattr(L, merges[mode])(tensors),
        "conv": lambda n, k, pad, s, act: L.Conv2D(n, k, padding=pad, strides=s, activation=act),
        "max_pooling": lambda pad: L.MaxPooling2D((2, 2), padding=pad),
        "upsampling": L.UpSampling2D,
        "flatten": L.Flatten,
        "conv_1d": lambda n, k, pad, act: L.Conv1D(n, k, padding=pad, activation=act),
        "lstm": lambda n, seq, act: L.LSTM(n, return_sequences=seq, activation=act),
        "gru": lambda n, seq, act: L.GRU(n, return_sequences=seq, activation=act),
        "rnn": lambda n, seq, act: L.SimpleRNN(n, return_sequences=seq, activation=act),
        "both": lambda n, seq, act: L.Bidirectional(L.LSTM(n, return_sequences=seq, activation=act)),
    }


def main():
    """Make every fixture of the Keras that is installed."""
    recorder = Recorder(sys.argv[1], only=sys.argv[4:])
    models = every_model()
    if sys.argv[2] != "keras":
        import tf_keras_models

        models.update(tf_keras_models.models())
    for name in sorted(models):
        if not FIRST or name in IMAGES:
            K.clear_session()
            recorder.add(name, models[name], 9 if name in WORDS else 0, suffix=SUFFIX, fit=name.startswith("mlp"))
    for seed in range(random_models.COUNT):
        if not FIRST:
            K.clear_session()
            recorder.add(
                "random_%02d" % seed,
                lambda seed=seed: random_models.build(seed, terms()),
                suffix=SUFFIX,
            )
    recorder.close()


main()
