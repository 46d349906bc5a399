# ruff: noqa - these scripts run on Python 3.6 and 3.7, under libraries of their time
"""Random models out of a few kinds of layers, the same for every Keras: seeded, so repeatable."""

import numpy as np

ACTIVATIONS = "relu tanh sigmoid softmax softplus softsign linear hard_sigmoid".split()
COUNT = 24


def build(seed, make):
    """The model number `seed`; `make` gives each kind of layer in the terms of its Keras."""
    random = np.random.RandomState(1000 + seed)
    body = (_dense, _image, _sequence)[seed % 3]
    inputs, tensor = body(random, make)
    return make["model"](inputs, make["dense"](int(random.randint(1, 5)), _pick(random))(tensor))


def _pick(random, choices=ACTIVATIONS):
    return choices[random.randint(len(choices))]


def _dense(random, make):
    inputs = make["input"]((int(random.randint(1, 7)),))
    tensor = inputs
    for _ in range(random.randint(1, 5)):
        width = int(random.randint(2, 9))
        side = make["dense"](width, _pick(random))(tensor)
        step = random.randint(4)
        if step == 0:
            side = make["batch_normalization"]()(side)
        elif step == 1:
            side = make["dropout"](0.3)(side)
        elif step == 2:
            other = make["dense"](width, _pick(random))(tensor)
            side = make["merge"]([side, other], _pick(random, ["add", "mul", "concat", "max"]))
        tensor = side
    return inputs, tensor


def _image(random, make):
    inputs = make["input"]((int(random.randint(7, 12)), int(random.randint(7, 12)), int(random.randint(1, 4))))
    tensor = inputs
    for _ in range(random.randint(1, 4)):
        kernel = (int(random.randint(1, 4)), int(random.randint(1, 4)))
        stride = int(random.randint(1, 3))
        tensor = make["conv"](int(random.randint(1, 5)), kernel, "same", stride, _pick(random))(tensor)
        step = random.randint(4)
        if step == 0:
            tensor = make["batch_normalization"]()(tensor)
        elif step == 1:
            tensor = make["max_pooling"]("same")(tensor)
        elif step == 2:
            tensor = make["upsampling"]()(tensor)
    return inputs, make["flatten"]()(tensor)


def _sequence(random, make):
    inputs = make["input"]((int(random.randint(3, 7)), int(random.randint(1, 4))))
    tensor = inputs
    for _ in range(random.randint(0, 3)):
        kind = _pick(random, ["lstm", "gru", "rnn", "conv_1d", "both"])
        width = int(random.randint(2, 5))
        if kind == "conv_1d":
            tensor = make["conv_1d"](width, int(random.randint(1, 4)), "same", _pick(random))(tensor)
        else:
            tensor = make[kind](width, True, _pick(random, ["tanh", "relu", "sigmoid"]))(tensor)
    return inputs, make[_pick(random, ["lstm", "gru", "rnn"])](int(random.randint(2, 5)), False, "tanh")(tensor)
