"""What outputs mean, held against EVALUATION's table and Keras's own functions."""

import numpy as np
import pytest

from irisspark.errors import ModelError
from irisspark.model.output import OutputMeaning, RegressionMeaning, resolve


@pytest.mark.parametrize(
    ("units", "activation", "loss", "from_logits", "kind", "probabilities"),
    [
        (3, "softmax", "categorical_crossentropy", False, "softmax", True),
        (3, "softmax", None, False, "softmax", True),
        (3, "linear", "sparse_categorical_crossentropy", True, "logits", True),
        (3, "sigmoid", "binary_crossentropy", False, "sigmoids", False),
        (3, "sigmoid", None, False, "sigmoids", False),
        (3, "linear", "categorical_hinge", False, "scores", False),
        (3, "tanh", "mean_squared_error", False, "scores", False),
        (1, "sigmoid", "binary_crossentropy", False, "sigmoid", True),
        (1, "sigmoid", None, False, "sigmoid", True),
        (1, "linear", "binary_crossentropy", True, "logit", True),
        (1, "linear", "hinge", False, "margin", False),
        (1, "tanh", "squared_hinge", False, "margin", False),
    ],
)
def test_each_row_of_the_table(units, activation, loss, from_logits, kind, probabilities):
    meaning = resolve(units, activation, loss, from_logits=from_logits)
    assert (meaning.kind, meaning.probabilities) == (kind, probabilities)
    assert meaning.num_classes == max(units, 2)


@pytest.mark.parametrize(
    ("activation", "loss"),
    [("linear", "mean_squared_error"), ("linear", "mean_absolute_error"), ("linear", None)],
)
def test_one_unbounded_unit_is_a_regression_unless_the_user_says_otherwise(activation, loss):
    meaning = resolve(1, activation, loss, from_logits=False)
    assert isinstance(meaning, RegressionMeaning)
    assert activation in meaning.why
    with pytest.raises(ModelError, match="no classifier"):
        resolve(1, activation, loss, from_logits=False, task="classification")


def test_what_the_user_says_is_a_regression_is_one():
    assert isinstance(resolve(1, "sigmoid", "mean_squared_error", from_logits=False), OutputMeaning)
    meaning = resolve(1, "sigmoid", "mean_squared_error", from_logits=False, task="regression")
    assert meaning == RegressionMeaning()
    with pytest.raises(ModelError, match="names one column, but the model puts out 3 numbers"):
        resolve(3, "linear", "mean_squared_error", from_logits=False, task="regression")


@pytest.mark.parametrize(
    ("activation", "loss", "task"),
    [
        ("softmax", None, "classification"),
        ("softmax", "mean_squared_error", "classification"),
        ("sigmoid", "categorical_crossentropy", "classification"),
        ("linear", "categorical_hinge", "classification"),
        ("sigmoid", "binary_crossentropy", "labels"),
        ("linear", "binary_crossentropy", "labels"),
        ("sigmoid", None, "labels"),
        ("sigmoid", "mean_squared_error", "regression"),
        ("linear", "huber", "regression"),
        ("linear", None, "regression"),
    ],
)
def test_as_many_columns_of_labels_as_units_are_told_by_loss_and_activation(activation, loss, task):
    from_logits = activation == "linear"
    meaning = resolve(3, activation, loss, from_logits=from_logits, num_labels=3)
    assert (meaning.task, meaning.num_units) == (task, 3)
    assert "3 columns of labels" in meaning.why
    for one_column in (0, 1):  # is what it always was
        found = resolve(3, activation, loss, from_logits=from_logits, num_labels=one_column)
        assert found.task == "classification"
        is_open = one_column == 0 and task != "classification"
        assert found.other_task == (task if is_open else None)
    with pytest.raises(ModelError, match="names 2 columns, but the model puts out 3 numbers"):
        resolve(3, activation, loss, from_logits=from_logits, num_labels=2)


def test_labels_need_what_tells_each_by_itself():
    for activation in ("softmax", "linear"):
        with pytest.raises(ModelError, match="a sigmoid for each"):
            resolve(
                3, activation, "mean_squared_error", from_logits=False, task="labels", num_labels=3
            )
    with pytest.raises(ModelError, match="one label of two classes"):
        resolve(1, "sigmoid", None, from_logits=False, task="labels")


def test_a_softmax_over_one_unit_is_refused():
    with pytest.raises(ModelError, match="1 for every row"):
        resolve(1, "softmax", "categorical_crossentropy", from_logits=False)


def test_one_sigmoid_unit_is_class_1_above_one_half_only():
    meaning = resolve(1, "sigmoid", None, from_logits=False)
    decoded = meaning.decode(np.array([[0.2], [0.5], [0.51]], dtype="float32"))
    assert decoded.y_pred.tolist() == [0, 0, 1]
    assert np.allclose(decoded.scores, [[0.8, 0.2], [0.5, 0.5], [0.49, 0.51]])


def test_one_logit_is_class_1_above_zero_with_a_sigmoid_as_probability():
    meaning = resolve(1, "linear", "binary_crossentropy", from_logits=True)
    decoded = meaning.decode(np.array([[-1000.0], [0.0], [2.0]], dtype="float32"))
    assert decoded.y_pred.tolist() == [0, 0, 1]
    assert np.allclose(decoded.scores[:, 1], [0, 0.5, 1 / (1 + np.exp(-2))])


def test_logits_become_a_softmax_without_overflow():
    meaning = resolve(2, "linear", "categorical_crossentropy", from_logits=True)
    decoded = meaning.decode(np.array([[1000.0, 0.0], [1.0, 2.0]], dtype="float32"))
    assert decoded.y_pred.tolist() == [0, 1]
    assert np.allclose(decoded.scores, [[1, 0], [1 / (1 + np.e), np.e / (1 + np.e)]])


def test_scores_keep_their_order_when_they_are_squashed():
    meaning = resolve(1, "linear", "hinge", from_logits=False)
    margins = np.array([[-50.0], [-1.0], [0.0], [0.1], [40.0]], dtype="float32")
    squashed = meaning.decode(margins).scores[:, 1]
    assert (np.diff(squashed) > 0).all()
    assert squashed.min() > 0
    assert squashed.max() < 1


def test_nan_stays_nan():
    for kind in ((3, "softmax"), (1, "sigmoid")):
        meaning = resolve(*kind, None, from_logits=False)
        output = np.full((1, kind[0]), np.nan, dtype="float32")
        assert np.isnan(meaning.decode(output).scores).all()
