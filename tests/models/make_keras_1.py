# ruff: noqa - these scripts run on Python 3.6 and 3.7, under libraries of their time
"""Makes the Keras 1 fixtures with the real old library.

    python3.7 -m venv old && old/bin/pip install keras==1.2.2 tensorflow==1.15.5 "h5py<3" \
        "protobuf<3.21" "numpy<1.19" "scipy<1.6" theano==1.0.5
    KERAS_BACKEND=tensorflow OLD_NAMES=1 old/bin/python make_keras_1.py FOLDER [tf|th]

Also with keras==1.0.8 and 1.1.2, and with KERAS_BACKEND=theano.
"""

import os
import sys

if "OLD_NAMES" in os.environ:  # for Keras 1.0 and 1.1 on TensorFlow
    import tensorflow_0

    tensorflow_0.install()

import keras
from keras import backend as K
from keras.layers import *
from keras.layers import advanced_activations, convolutional, local, noise, wrappers
from keras.models import Model, Sequential
import random_models
from saving import Recorder

ORDER = sys.argv[2] if len(sys.argv) > 2 else "tf"
K.set_image_dim_ordering(ORDER)
AXIS = 1 if ORDER == "th" else -1


def image(rows, columns, channels):
    """The shape of an image in the ordering in use."""
    return (channels, rows, columns) if ORDER == "th" else (rows, columns, channels)


def stack(*layers):
    """A Sequential model of the layers."""
    model = Sequential()
    for layer in layers:
        model.add(layer)
    return model


def functional(inputs, outputs):
    """A functional model."""
    return Model(input=inputs, output=outputs)


def mlp():
    model = stack(
        Dense(10, input_dim=4, activation="relu", W_regularizer="l2"),
        Dropout(0.2),
        Dense(8, activation="hard_sigmoid", init="normal"),
        Dense(3),
        Activation("softmax"),
    )
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


def lenet():
    return stack(
        Convolution2D(4, 3, 3, activation="relu", input_shape=image(10, 12, 2)),
        MaxPooling2D((2, 2)),
        Convolution2D(5, 3, 2, border_mode="same"),
        Activation("tanh"),
        MaxPooling2D((2, 2)),
        Dropout(0.25),
        Flatten(),
        Dense(6, activation="relu"),
        Dense(3, activation="softmax"),
    )


def vgg():
    return stack(
        ZeroPadding2D((1, 1), input_shape=image(9, 8, 3)),
        Convolution2D(4, 3, 3, activation="relu", name="conv1_1"),
        ZeroPadding2D((1, 1)),
        Convolution2D(4, 3, 3, activation="relu", name="conv1_2"),
        BatchNormalization(axis=AXIS),
        MaxPooling2D((2, 2), strides=(2, 2)),
        Flatten(),
        Dense(4, activation="softmax"),
    )


def resnet_block():
    x = Input(image(8, 6, 3))
    y = Convolution2D(4, 3, 3, border_mode="same", subsample=(2, 2))(x)
    y = BatchNormalization(axis=AXIS)(y)
    y = Activation("relu")(y)
    y = Convolution2D(4, 3, 3, border_mode="same", bias=False)(y)
    short = Convolution2D(4, 1, 1, subsample=(2, 2))(x)
    z = merge([y, short], mode="sum")
    z = Activation("relu")(z)
    z = AveragePooling2D((2, 2))(z)
    return functional(x, Dense(3)(Flatten()(z)))


def inception_block():
    x = Input(image(7, 7, 2))
    towers = [
        Convolution2D(2, 1, 1, activation="relu")(x),
        Convolution2D(3, 3, 3, border_mode="same")(x),
        MaxPooling2D((3, 3), strides=(1, 1), border_mode="same")(x),
    ]
    y = merge(towers, mode="concat", concat_axis=AXIS)
    return functional(x, GlobalAveragePooling2D()(y))


def unet():
    x = Input(image(8, 8, 2))
    down = Convolution2D(3, 3, 3, activation="relu", border_mode="same")(x)
    low = Convolution2D(4, 3, 3, activation="relu", border_mode="same")(MaxPooling2D()(down))
    up = UpSampling2D((2, 2))(low)
    y = merge([up, down], mode="concat", concat_axis=AXIS)
    return functional(x, Convolution2D(1, 1, 1, activation="sigmoid")(y))


def deconvolution():
    shape = (None, 3, 9, 9) if ORDER == "th" else (None, 9, 9, 3)
    return stack(
        Deconvolution2D(3, 3, 3, shape, subsample=(2, 2), input_shape=image(4, 4, 2)),
        Activation("tanh"),
    )


def two_branches():
    left = stack(Dense(3, input_dim=4), Activation("tanh"))
    right = stack(Dense(3, input_dim=5, activation="relu"))
    return stack(Merge([left, right], mode="concat"), Dense(2, activation="softmax"))


def merges(mode):
    def build():
        a, b = Input((4,)), Input((4,))
        options = {"dot_axes": 1} if mode in ("dot", "cos") else {}
        y = merge([Dense(4)(a), Dense(4)(b)], mode=mode, **options)
        return functional([a, b], Dense(2)(Flatten()(y) if mode == "cos" else y))

    return build


def siamese():
    tower = stack(Dense(5, input_dim=4, activation="relu"), Dense(3))
    a, b = Input((4,)), Input((4,))
    return functional([a, b], Dense(1)(merge([tower(a), tower(b)], mode="concat")))


def shared_layer():
    layer = Dense(4, activation="tanh")
    a, b = Input((4,)), Input((4,))
    return functional([a, b], [merge([layer(a), layer(b)], mode="mul"), layer(layer(a))])


def nested():
    x = Input((4,))
    inner = functional(x, BatchNormalization()(Dense(3)(x)))
    y = Input((4,))
    return functional(y, Dense(2)(stack(Dense(4, input_dim=3), BatchNormalization())(inner(y))))


def text_cnn():
    return stack(
        Embedding(11, 6, input_length=9),
        Convolution1D(5, 3, activation="relu"),
        MaxPooling1D(2),
        Convolution1D(4, 2, border_mode="same", subsample_length=2),
        GlobalMaxPooling1D(),
        Dense(2, activation="softmax"),
    )


def recurrent(kind, **options):
    def build():
        return stack(
            kind(4, input_shape=(5, 3), return_sequences=True, **options),
            kind(3, **options),
            Dense(2),
        )

    return build


def masked_lstm():
    return stack(Embedding(9, 4, mask_zero=True, input_length=6), LSTM(4), Dense(2))


def bidirectional(mode):
    def build():
        return stack(
            Bidirectional(LSTM(3, return_sequences=True), merge_mode=mode, input_shape=(5, 3)),
            Bidirectional(GRU(2)),
            Dense(2),
        )

    return build


def time_distributed():
    return stack(
        TimeDistributed(Convolution2D(2, 3, 3), input_shape=(3,) + image(5, 5, 1)),
        TimeDistributed(Flatten()),
        TimeDistributed(Dense(4)),
        LSTM(3, activation="relu", inner_activation="sigmoid"),
    )


def activations():
    return stack(
        Dense(6, input_dim=4),
        advanced_activations.LeakyReLU(0.2),
        Dense(6),
        advanced_activations.PReLU(),
        Dense(6),
        advanced_activations.ELU(0.7),
        Dense(6),
        advanced_activations.ThresholdedReLU(0.3),
        Dense(6, activation="softplus"),
        Dense(6, activation="softsign"),
    )


SINGLE = {
    "atrous_2d": lambda: stack(
        AtrousConvolution2D(3, 3, 3, atrous_rate=(2, 2), input_shape=image(9, 9, 2))
    ),
    "atrous_1d": lambda: stack(AtrousConvolution1D(3, 3, atrous_rate=2, input_shape=(9, 2))),
    "average_pooling_same": lambda: stack(
        Convolution2D(2, 1, 1, input_shape=image(7, 7, 2)), AveragePooling2D((2, 2), border_mode="same")
    ),
    "conv_3d": lambda: stack(
        Convolution3D(2, 2, 3, 2, input_shape=(2, 5, 6, 5) if ORDER == "th" else (5, 6, 5, 2)),
        MaxPooling3D((2, 2, 2)),
        Flatten(),
        Dense(2),
    ),
    "conv_lstm": lambda: stack(
        ConvLSTM2D(2, 3, 3, border_mode="same", input_shape=(3,) + image(5, 6, 2)),
    ),
    "even_kernel_same": lambda: stack(
        Convolution2D(2, 2, 4, border_mode="same", input_shape=image(6, 7, 2)),
        Convolution2D(2, 3, 3, border_mode="same", subsample=(2, 2)),
    ),
    "cropping": lambda: stack(
        Convolution2D(2, 1, 1, input_shape=image(6, 6, 2)), Cropping2D(((1, 2), (0, 1))), Flatten()
    ),
    "cropping_1d": lambda: stack(Cropping1D((1, 2), input_shape=(8, 2))),
    "gaussian": lambda: stack(
        GaussianNoise(0.3, input_shape=(4,)), noise.GaussianDropout(0.2), Dense(2)
    ),
    "global_pooling": lambda: stack(
        Convolution2D(3, 3, 3, input_shape=image(6, 6, 2)), GlobalMaxPooling2D(), Dense(2)
    ),
    "highway": lambda: stack(Highway(input_dim=4, activation="tanh"), Dense(2)),
    "locally_connected_1d": lambda: stack(
        local.LocallyConnected1D(3, 3, input_shape=(7, 2)), Flatten(), Dense(2)
    ),
    "locally_connected_2d": lambda: stack(
        local.LocallyConnected2D(3, 3, 2, activation="relu", input_shape=image(6, 5, 2)),
        Flatten(),
        Dense(2),
    ),
    "masking": lambda: stack(Masking(0.0, input_shape=(5, 3)), LSTM(3)),
    "maxout": lambda: stack(MaxoutDense(3, nb_feature=4, input_dim=5), Dense(2)),
    "padding_1d": lambda: stack(ZeroPadding1D(2, input_shape=(5, 2)), UpSampling1D(2)),
    "permute": lambda: stack(Permute((2, 1), input_shape=(3, 4)), Reshape((6, 2)), Flatten()),
    "repeat": lambda: stack(
        Dense(3, input_dim=4), RepeatVector(4), SimpleRNN(3, return_sequences=True)
    ),
    "separable": lambda: stack(
        SeparableConvolution2D(4, 3, 3, depth_multiplier=2, input_shape=image(6, 6, 2))
    ),
    "spatial_dropout": lambda: stack(
        SpatialDropout2D(0.3, input_shape=image(4, 4, 2)), Flatten(), Dense(2)
    ),
    "time_distributed_dense": lambda: stack(TimeDistributedDense(3, input_shape=(4, 2)), Flatten()),
    "stateful": lambda: stack(
        LSTM(3, stateful=True, batch_input_shape=(3, 4, 2), return_sequences=True), LSTM(2)
    ),
}
IMAGES = (
    "lenet vgg resnet_block inception_block unet deconvolution atrous_2d conv_3d conv_lstm "
    "even_kernel_same cropping global_pooling locally_connected_2d separable average_pooling_same "
    "time_distributed spatial_dropout".split()
)


def terms():
    """Keras 1's terms for `random_models`."""
    modes = {"add": "sum", "mul": "mul", "concat": "concat", "max": "max"}
    return {
        "input": Input,
        "model": functional,
        "dense": lambda n, act: Dense(n, activation=act),
        "batch_normalization": BatchNormalization,
        "dropout": Dropout,
        "merge": lambda tensors, mode: merge(tensors, mode=modes[mode]),
        "conv": lambda n, k, pad, s, act: Convolution2D(
            n, k[0], k[1], border_mode=pad, subsample=(s, s), activation=act
        ),
        "max_pooling": lambda pad: MaxPooling2D((2, 2), border_mode=pad),
        "upsampling": UpSampling2D,
        "flatten": Flatten,
        "conv_1d": lambda n, k, pad, act: Convolution1D(n, k, border_mode=pad, activation=act),
        "lstm": lambda n, seq, act: LSTM(n, return_sequences=seq, activation=act),
        "gru": lambda n, seq, act: GRU(n, return_sequences=seq, activation=act),
        "rnn": lambda n, seq, act: SimpleRNN(n, return_sequences=seq, activation=act),
        "both": lambda n, seq, act: Bidirectional(LSTM(n, return_sequences=seq, activation=act)),
    }


def main():
    """Make every fixture of the Keras that is installed."""
    every = {
        "mlp": mlp,
        "lenet": lenet,
        "vgg": vgg,
        "resnet_block": resnet_block,
        "inception_block": inception_block,
        "unet": unet,
        "deconvolution": deconvolution,
        "two_branches": two_branches,
        "siamese": siamese,
        "shared_layer": shared_layer,
        "nested": nested,
        "text_cnn": text_cnn,
        "masked_lstm": masked_lstm,
        "time_distributed": time_distributed,
        "activations": activations,
        "simple_rnn": recurrent(SimpleRNN),
        "gru": recurrent(GRU),
        "lstm": recurrent(LSTM),
        "lstm_gpu": recurrent(LSTM, consume_less="gpu", go_backwards=True),
        "gru_gpu": recurrent(GRU, consume_less="gpu", inner_activation="sigmoid"),
        "lstm_mem": recurrent(LSTM, consume_less="mem", unroll=True),
    }
    every.update(
        {"merge_" + mode: merges(mode) for mode in "sum mul ave max concat dot cos".split()}
    )
    every.update(
        {"bidirectional_" + str(mode): bidirectional(mode) for mode in "concat sum ave".split()}
    )
    every.update(SINGLE)
    recorder = Recorder(sys.argv[1])
    for name in sorted(every):
        if hasattr(K, "clear_session"):
            K.clear_session()
        if (
            ORDER == "tf"
            and K.backend() == "tensorflow"
            or name in IMAGES
            or K.backend() == "theano"
            and name in ("text_cnn", "lstm", "mlp")
        ):
            recorder.add(
                name,
                every[name],
                9 if name in ("text_cnn", "masked_lstm") else 0,
                fit=name == "mlp",
            )
    for seed in range(random_models.COUNT):
        if ORDER == "tf" and K.backend() == "tensorflow":
            K.clear_session()
            recorder.add("random_%02d" % seed, lambda seed=seed: random_models.build(seed, terms()))
    recorder.close()


main()
