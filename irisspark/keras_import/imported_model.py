"""What an import hands over: everything that Keras 3 needs to build the model of an old file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from irisspark.keras_import.building.network import Array, Config


@dataclass(frozen=True)
class ImportedModel:
    """An old model in Keras 3's terms.

    Attributes:
        config: what ``keras.saving.deserialize_keras_object`` builds the model from.
        weights: every layer's arrays by its path (``outer/inner`` in a nested model), in the order
            of Keras 3's ``layer.weights``; layers without arrays are left out.
        training_config: ``optimizer``, ``loss``, ``metrics`` and ``loss_weights`` as Keras 3's
            ``model.compile`` takes them after ``deserialize_keras_object``; None where the file
            has none.
        optimizer_weights: the optimizer's arrays in Keras 3's order of ``optimizer.variables``, or
            empty where they do not fit.
        keras_version: as stored (``1.2.2``), or None where the file does not say.
        backend: ``tensorflow``, ``theano``, ``cntk``, or None where the file does not say.
        era: ``Keras 1``, ``Keras 2`` or ``tf.keras``.
        conversions: what was converted, one text each.
        notes: what was left out, and what to know about it.
    """

    config: Config
    weights: Mapping[str, tuple[Array, ...]]
    training_config: Config | None
    optimizer_weights: tuple[Array, ...]
    keras_version: str | None
    backend: str | None
    era: str
    conversions: tuple[str, ...]
    notes: tuple[str, ...]
