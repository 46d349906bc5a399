"""The page that ``-help`` prints."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from irisspark.options import checks as option_checks
from irisspark.options.table import BY_FIELD, SECTIONS, Option

_USAGE = """\
Usage: spark-submit [Spark's options] irisspark.zip [-option value ...]

Evaluates or trains a saved Keras model on CSV files over a Spark cluster. Options have one dash or
two, and a value after a space or an equals sign: -train false, --train false, -train=false. A value
that is also the name of an option goes after an equals sign.
"""
_EXAMPLES = """\
Examples
  Evaluate a model on the last column of a file:
    spark-submit --files iris.txt,my_model.h5 irisspark.zip -modelPath my_model.h5 \\
        -dataPath iris.txt

  A file with a header, semicolons and an id:
    spark-submit --files iris.csv,my_model.h5 irisspark.zip -modelPath my_model.h5 \\
        -dataPath iris.csv -header true -delimiter ';' -labelIndex species -keepColumns id

  Train, keep what was learned, and fail where it is not good enough:
    spark-submit --files iris.txt,my_model.h5 irisspark.zip -modelPath my_model.h5 \\
        -dataPath iris.txt -train true -epochs 20 -outputPath trained -require accuracy:0.9

Exit codes
  0  done
  1  the run failed: the model, the data or the training; one message says why
  2  the command line is wrong; Spark was not started
  3  -require was not met
"""
_WIDTH = 100
_OPTION_WIDTH = 31
_DEFAULT_WIDTH = 15


def help_text() -> str:
    """Write the help page: at most 100 columns, the options in sections, ends with a line break."""
    sections = (f"{title}\n{_rows(options)}" for title, options in SECTIONS.items())
    return "\n".join((_USAGE, *sections, *_not_available_yet(), _EXAMPLES))


def _rows(options: tuple[Option, ...]) -> str:
    return "".join(f"{line}\n" for option in options for line in _row(option))


def _row(option: Option) -> Iterator[str]:
    also = f" (also {', '.join(option.aliases)})" if option.aliases else ""
    margin = 2 + _OPTION_WIDTH + _DEFAULT_WIDTH
    lines = textwrap.wrap(option.help + also, _WIDTH - margin, break_on_hyphens=False)
    label = f"{option.name} {option.metavar}".strip()
    yield f"  {label:<{_OPTION_WIDTH}}{_default(option):<{_DEFAULT_WIDTH}}{lines[0]}"
    for line in lines[1:]:
        yield " " * margin + line


def _default(option: Option) -> str:
    if option.default_shown or not option.metavar:
        return option.default_shown
    is_bool = isinstance(option.default, bool)
    return str(option.default).lower() if is_bool else f"{option.default}"


def _not_available_yet() -> Iterator[str]:
    """Give one paragraph, or none where everything is built."""
    by_capability: dict[str, list[str]] = {}
    for missing in option_checks.NOT_AVAILABLE_YET:
        names = by_capability.setdefault(missing.capability, [])
        names.append(BY_FIELD[missing.field].name)
    if by_capability:
        listed = (f"  {what} ({', '.join(names)})\n" for what, names in by_capability.items())
        yield f"Not available yet\n{''.join(listed)}"
