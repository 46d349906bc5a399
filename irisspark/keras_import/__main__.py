"""``python -m irisspark.keras_import FILE [-o out.keras]``: says what a model is, converts it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator

from irisspark.errors import IrissparkError
from irisspark.keras_import import ImportedModel, file_version, read
from irisspark.model import keras_private
from irisspark.model.loading import opening_deadline
from irisspark.startup.descriptors import leading
from irisspark.startup.imports import import_tensorflow


def main(argv: list[str]) -> int:
    """Print what a file is and, with ``-o``, write it as a Keras 3 file; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m irisspark.keras_import",
        description="Says what a Keras model file is, and writes it as a Keras 3 file.",
    )
    parser.add_argument("file", help="a model file, or model.json,weights.h5")
    parser.add_argument(
        "-o", "--output", metavar="out.keras", help="where to write the Keras 3 file"
    )
    parser.add_argument(
        "--trust", action="store_true", help="allow Lambda layers to run their code"
    )
    options = parser.parse_args(argv)
    if options.output and not options.output.endswith(".keras"):
        parser.error(f"-o {options.output}: the name of a Keras 3 file ends in .keras")
    try:
        with opening_deadline(options.file):
            lines = list(_describe(options.file, options.trust, options.output))
        print("\n".join(lines))
    except IrissparkError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def _describe(path: str, trust: bool, output: str | None) -> Iterator[str]:
    version = file_version(path)
    imported = None if version and version.startswith("3") else read(path, trust=trust)
    era = imported.era if imported else "Keras 3"
    backend = f", {imported.backend} backend" if imported and imported.backend else ""
    yield f"{path}: {era} (saved by {version or 'an unknown version'}{backend})"
    import_tensorflow()
    with leading(2):
        from irisspark.model.from_file import open_model

        # With the optimizer, which a converted file keeps; its seed serves no purpose here.
        opened = open_model(path, trust=trust, training_seed=0)
    yield from _layers(opened.model)
    yield from _conversions(imported)
    yield from (f"note: {note}" for note in opened.notes)
    yield "compiled: " + ("yes" if opened.model.compiled else "no training configuration")
    if output:
        with leading(2):
            _save(opened.model, output)
        yield f"written: {output}"


def _layers(model: object) -> Iterator[str]:
    import keras

    assert isinstance(model, keras.Model)
    size = f"{model.count_params():,} numbers"
    yield f"input {model.input_shape} -> output {model.output_shape}, {size}"
    for layer in model.layers:
        shape = next((tensor.shape for tensor in keras_private.outputs_of(layer)), None)
        kind, size = type(layer).__name__, layer.count_params()
        yield f"  {layer.name:<32} {kind:<24} {shape or ''!s:<20} {size:>10,}"


def _conversions(imported: ImportedModel | None) -> Iterator[str]:
    if imported:
        yield from (f"converted: {what}" for what in imported.conversions)


def _save(model: object, output: str) -> None:
    import keras

    assert isinstance(model, keras.Model)
    temporary = f"{output}.part.keras"
    model.save(temporary)
    os.replace(temporary, output)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
