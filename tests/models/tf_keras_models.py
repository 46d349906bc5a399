# ruff: noqa - these scripts run on Python 3.6 and 3.7, under libraries of their time
"""Models of what only tf.keras has; a version that lacks a layer does not make the model."""

import tensorflow as tf
from tensorflow import keras

L = keras.layers


def _operations():
    x = keras.Input((4,))
    y = L.Dense(4)(x)
    z = tf.nn.relu(y * 2.0 + 1.0) - x / 4.0
    z = tf.concat([z, tf.sigmoid(y)], axis=-1)
    return keras.Model(x, L.Dense(2)(z))


def _reductions():
    x = keras.Input((5, 4))
    y = L.Conv1D(3, 2)(x)
    a = tf.reduce_mean(y, axis=1)
    b = tf.reduce_max(y, axis=[1])
    c = tf.math.reduce_sum(tf.abs(y), axis=1)
    d = tf.reshape(y, [-1, 12])[:, 2:9]
    return keras.Model(x, L.Dense(2)(L.concatenate([a, b, c, d])))


def _slices():
    x = keras.Input((6, 4))
    y = L.Dense(3)(x)
    last = y[:, -1, :]
    wide = tf.expand_dims(last, 1)
    thin = tf.squeeze(wide, axis=1)
    turned = tf.transpose(y, [0, 2, 1])[..., 0]
    return keras.Model(x, L.Dense(2)(tf.concat([last, thin, turned], 1)))


def _arithmetic():
    a, b = keras.Input((4,)), keras.Input((4,))
    y = tf.math.multiply(a, b) + tf.math.subtract(a, b) - tf.maximum(a, b) ** 2
    z = tf.exp(-tf.square(y)) + tf.sqrt(tf.abs(a)) + tf.matmul(a, b, transpose_b=True)[:, :1] * 0.5
    return keras.Model([a, b], L.Dense(2)(1.0 - z))


def _attention():
    x = keras.Input((5, 4))
    y = L.MultiHeadAttention(2, 3)(x, x)
    y = L.LayerNormalization(epsilon=1e-6)(L.Add()([x, y]))
    z = L.Dense(4, activation="gelu")(y)
    return keras.Model(x, L.GlobalAveragePooling1D()(z + y))


def _dot_attention():
    a, b = keras.Input((5, 4)), keras.Input((3, 4))
    y = L.Attention(use_scale=True)([a, b])
    z = L.AdditiveAttention()([a, b])
    return keras.Model([a, b], L.Dense(2)(L.concatenate([y, z])))


def _augmented():
    return keras.Sequential(
        [
            L.InputLayer((8, 8, 3)),
            L.RandomFlip("horizontal"),
            L.RandomRotation(0.1),
            L.RandomZoom(0.1),
            L.Rescaling(1.0 / 255, offset=-0.5),
            L.Conv2D(4, 3, activation="relu"),
            L.Flatten(),
            L.Dense(2),
        ]
    )


def _augmented_nested():
    augmentation = keras.Sequential([L.RandomFlip("horizontal"), L.RandomRotation(0.1)])
    x = keras.Input((8, 8, 3))
    y = L.Rescaling(1.0 / 127.5, offset=-1)(augmentation(x))
    y = L.Conv2D(4, 3, activation="swish")(y)
    return keras.Model(x, L.Dense(2)(L.GlobalAveragePooling2D()(y)))


def _experimental():
    E = L.experimental.preprocessing
    return keras.Sequential(
        [
            E.Rescaling(1.0 / 255, input_shape=(6, 6, 1)),
            E.RandomFlip("horizontal"),
            L.Flatten(),
            L.Dense(3),
        ]
    )


def _normalization():
    layer = getattr(L, "Normalization", None) or L.experimental.preprocessing.Normalization
    return keras.Sequential([layer(input_shape=(4,)), L.Dense(3)])


def _slashes():
    x = keras.Input((6, 6, 2), name="in")
    y = L.Conv2D(3, 3, name="conv1/conv")(x)
    y = L.BatchNormalization(name="conv1/bn")(y)
    return keras.Model(x, L.GlobalAveragePooling2D()(L.Activation("relu", name="conv1/relu")(y)))


def _groups():
    return keras.Sequential(
        [L.Conv2D(4, 3, groups=2, input_shape=(6, 6, 4)), L.Flatten(), L.Dense(2)]
    )


def _late():
    model = keras.Sequential([L.Dense(5, activation="relu"), L.BatchNormalization(), L.Dense(3)])
    model.build((None, 4))
    return model


def _late_images():
    model = keras.Sequential([L.Conv2D(3, 3, activation="relu"), L.Flatten(), L.Dense(3)])
    model.build((None, 6, 6, 1))
    return model


def _layer_activation():
    return keras.Sequential(
        [
            L.Dense(5, input_shape=(4,), activation=L.LeakyReLU(0.1)),
            L.Dense(4, activation="swish"),
            L.Dense(4, activation="exponential"),
            L.Dense(3, activation=tf.nn.softmax),
        ]
    )


def _custom_backward():
    return keras.Sequential(
        [
            L.Bidirectional(
                L.LSTM(3, return_sequences=True),
                backward_layer=L.LSTM(3, return_sequences=True, go_backwards=True),
                input_shape=(5, 3),
            ),
            L.GRU(3),
        ]
    )


def _layer_norms():
    x = keras.Input((4, 6))
    y = L.LayerNormalization(axis=[1, 2])(x)
    y = L.LayerNormalization(scale=False)(y)
    y = L.UnitNormalization()(y)
    return keras.Model(x, L.Dense(2)(y))


def _mobilenet_v2_like():
    x = keras.Input((8, 8, 3))
    y = L.ZeroPadding2D(((0, 1), (0, 1)))(x)
    y = L.DepthwiseConv2D(3, strides=2, use_bias=False)(y)
    y = L.ReLU(6.0)(L.BatchNormalization(epsilon=1e-3, momentum=0.999)(y))
    gate = L.GlobalAveragePooling2D(keepdims=True)(y)
    gate = L.Conv2D(3, 1, activation="hard_sigmoid")(gate)
    y = L.Multiply()([y, gate])
    return keras.Model(x, L.GlobalMaxPooling2D()(y))


def _bilinear():
    return keras.Sequential([L.UpSampling2D(2, interpolation="bilinear", input_shape=(4, 5, 2))])


def _compiled():
    model = keras.Sequential([L.Dense(6, input_shape=(4,), activation="relu"), L.Dense(3)])
    model.compile(
        keras.optimizers.Adam(0.003, beta_1=0.8),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2)],
    )
    return model


def _scheduled():
    model = keras.Sequential([L.Dense(6, input_shape=(4,), activation="relu"), L.Dense(3)])
    rate = keras.optimizers.schedules.ExponentialDecay(0.01, 100, 0.9)
    model.compile(keras.optimizers.SGD(rate), keras.losses.Huber(), metrics=[keras.metrics.AUC()])
    return model


def _mixed_dtypes():
    x = keras.Input((6,), dtype="int32")
    y = L.Embedding(9, 3)(x)
    return keras.Model(x, L.Dense(2, dtype="float64")(L.Flatten()(y)))


def _two_inputs_two_outputs():
    a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
    y = L.concatenate([L.Dense(3)(a), b])
    return keras.Model(
        inputs={"a": a, "b": b}, outputs=[L.Dense(2, name="p")(y), L.Dense(1, name="q")(y)]
    )


def _preprocessing(name):
    return getattr(L, name, None) or getattr(L.experimental.preprocessing, name)


def _cropping_3d():
    return keras.Sequential(
        [
            L.Cropping3D(((1, 0), (0, 1), (1, 1)), input_shape=(5, 6, 6, 2)),
            L.Conv3D(3, 2),
            L.Cropping3D(1),
            L.Flatten(),
            L.Dense(2),
        ]
    )


def _backward_of_its_own(mode):
    forward = L.ConvLSTM2D(2, 2, return_sequences=True)
    backward = L.ConvLSTM2D(2, 2, return_sequences=True, go_backwards=True, activation="relu")
    both = L.Bidirectional(forward, merge_mode=mode, backward_layer=backward)
    x = keras.Input((3, 5, 5, 2))
    return keras.Model(x, L.Dense(2)(L.Flatten()(both(x))))


def _backward_images():
    return _backward_of_its_own("concat")


def _backward_images_summed():
    return _backward_of_its_own("sum")


def _only_while_training():
    return keras.Sequential(
        [
            L.InputLayer((6, 6, 2)),
            _preprocessing("RandomHeight")(0.2),
            _preprocessing("RandomWidth")(0.2),
            L.Conv2D(3, 3),
            L.BatchNormalization(renorm=True, scale=False),
            L.BatchNormalization(renorm=True),
            L.Dense(2),
        ]
    )


def _bins():
    layer = _preprocessing("Discretization")
    try:
        made = layer(bins=[-0.3, 0.4])
    except TypeError:
        made = layer(bin_boundaries=[-0.3, 0.4])
    return keras.Sequential([L.InputLayer((4,)), made])


def _categories():
    layer = _preprocessing("CategoryEncoding")
    try:
        made = layer(max_tokens=9, output_mode="binary")
    except TypeError:
        made = layer(num_tokens=9, output_mode="multi_hot")
    return keras.Sequential([L.InputLayer((5,)), made, L.Dense(2)])


def _hashed():
    x = keras.Input((5,), dtype="int64")
    return keras.Model(x, _preprocessing("Hashing")(7)(x))


def _looked_up():
    x = keras.Input((5,), dtype="int64")
    return keras.Model(x, L.IntegerLookup(vocabulary=[1, 3, 8], output_mode="multi_hot")(x))


def _cropped_at_random():
    return keras.Sequential([L.InputLayer((6, 5, 2)), L.RandomCrop(3, 4), L.Flatten(), L.Dense(2)])


def models():
    """All models by name."""
    return {
        name.lstrip("_"): build
        for name, build in globals().items()
        if name.startswith("_")
        and not name.startswith(("__", "_preprocessing", "_backward_of"))
        and callable(build)
    }
