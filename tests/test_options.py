"""The command line: what it gives, what it refuses, and that it says everything at once."""

import dataclasses
import json
import pickle
import shlex
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irisspark.errors import OptionsError
from irisspark.options import Requirement, as_mapping, help_text, notes, parse
from irisspark.options import checks as option_checks
from irisspark.options.parsing import split_words
from irisspark.options.table import BY_NAME, OPTIONS, Options


@pytest.fixture
def all_built(monkeypatch):
    """Every capability is there, as it will be once the table of missing ones is empty."""
    monkeypatch.setattr(option_checks, "NOT_AVAILABLE_YET", ())


def problems(command_line: str) -> list[str]:
    with pytest.raises(OptionsError) as caught:
        parse(shlex.split(command_line))
    return str(caught.value).split("\n")


def problem(command_line: str) -> str:
    found = problems(command_line)
    assert len(found) == 1, found
    return found[0]


# What is accepted


def test_no_options_give_the_defaults_of_the_runner():
    options = parse([])
    assert (options.model_path, options.data_path) == ("model.h5", "data.csv")
    assert (options.label_index, options.num_classes, options.train) == (-1, None, False)
    assert (options.batch_size_per_worker, options.epochs) == (10, 10)
    assert (options.load_data, options.use_spark_local) == (True, False)
    assert (options.feature_indices, options.keep_columns) == (None, ())
    assert (options.require, options.seed, options.stats) == ((), 7, "0.9")


def test_table_and_dataclass_have_the_same_fields_in_the_same_order():
    assert [o.field for o in OPTIONS] == [f.name for f in dataclasses.fields(Options)]


def test_no_name_is_used_twice():
    assert len(BY_NAME) == sum(1 + len(option.aliases) for option in OPTIONS)


def test_course_command_reads_as_meant():
    options = parse(
        shlex.split(
            "-batchSizePerWorker 15 -train false -indexLabel 4 -numClasses 3 "
            "-modelFileName my_model.h5 -dataFileName iris.txt"
        )
    )
    assert (options.batch_size_per_worker, options.train) == (15, False)
    assert (options.label_index, options.num_classes) == (4, 3)
    assert (options.model_path, options.data_path) == ("my_model.h5", "iris.txt")
    assert notes(options) == ()


@pytest.mark.parametrize("words", ["-epochs 3", "--epochs 3", "-epochs=3", "--epochs=3"])
def test_dashes_and_equals_sign_are_a_matter_of_taste(words):
    assert parse(words.split()).epochs == 3


@pytest.mark.parametrize("text", ["true", "TRUE", "True", "tRuE"])
def test_booleans_are_read_in_any_case(text):
    assert parse(["-verbose", text]).verbose is True


def test_value_may_begin_with_a_dash():
    assert parse(["-labelIndex", "-2"]).label_index == -2
    assert parse(["-dataPath", "-odd name.csv"]).data_path == "-odd name.csv"
    assert parse(["-keepColumns", "-2,-1", "-labelIndex", "0"]).keep_columns == (-2, -1)


def test_value_that_is_an_option_goes_after_an_equals_sign():
    assert parse(["-header=true", "-labelIndex=-train"]).label_index == "-train"
    assert parse(["-dataPath=a=b.csv"]).data_path == "a=b.csv"


def test_line_ends_and_quotes_of_scripts_are_no_part_of_a_value():
    options = parse(["-modelPath", "m.h5\r", "-dataPath", "a.csv\n", "-header", "true\r\n"])
    assert (options.model_path, options.data_path, options.header) == ("m.h5", "a.csv", True)
    assert parse(['-modelPath "my model.h5"']).model_path == "my model.h5"
    assert parse(["-dataPath 'my data.csv'"]).data_path == "my data.csv"
    assert parse(['-labelIndex "3"', "-header true"]).label_index == "3"  # a name


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [("tab", "\t"), ("TAB", "\t"), ("\\t", "\t"), ("\t", "\t"), (";", ";"), (" ", " "), ("|", "|"),
     ("\\001", "\x01"), ("\\u0001", "\x01"), ("\\X01", "\x01"), ("\x01", "\x01")],
)  # fmt: skip
def test_delimiters_that_can_part_fields_are_taken(text, delimiter):
    assert parse(["-delimiter", text]).delimiter == delimiter


@pytest.mark.parametrize(
    ("text", "label"),
    [("4", 4), ("-1", -1), ("+2", 2), ("species", "species"), ('"2019"', "2019"),
     ('"none"', "none"), ('"a ""b"""', 'a "b"'), ('"4-6"', "4-6"), ('"a,b"', "a,b"),
     ("4-6", ((4, 6),)), ("4-4", 4), ("4-6,-1", ((4, 6), -1)), ("price, sold", ("price", "sold")),
     ('price,"a,b"', ("price", "a,b"))],
)  # fmt: skip
def test_label_is_an_index_or_a_header_name_or_several(text, label):
    assert parse(["-header", "true", "-labelIndex", text]).label_index == label


@pytest.mark.parametrize("text", ["none", "None", "NONE"])
def test_label_none_only_predicts(all_built, text):
    argv = ["-labelIndex", text, "-predictions", "true", "-outputPath", "o"]
    assert parse(argv).label_index is None


def test_columns_are_indices_ranges_and_names():
    options = parse(["-header", "true", "-featureIndices", '0-3, 7 ,x y,"a,b","0-3","5"'])
    assert options.feature_indices == ((0, 3), 7, "x y", "a,b", "0-3", "5")


def test_class_names_may_hold_commas_and_quotes():
    names = parse(["-classNames", 'a, b c,"d,e","say ""hi""",5" pipe'])
    assert names.class_names == ("a", "b c", "d,e", 'say "hi"', '5" pipe')


def test_a_requirement_may_name_a_class_with_spaces():
    (requirement,) = parse(["-require", "per_class.Iris setosa.f1 >= 0.9"]).require
    assert requirement == Requirement("per_class.Iris setosa.f1", ">=", 0.9)


def test_requirements_are_read_with_every_comparison():
    options = parse(["-require", "accuracy>=0.8,loss<1e-1,f1>0.75, macro.f1<=1 ,recall:0.5"])
    assert options.require == (
        Requirement("accuracy", ">=", 0.8),
        Requirement("loss", "<", 0.1),
        Requirement("f1", ">", 0.75),
        Requirement("macro.f1", "<=", 1.0),
        Requirement("recall", ">=", 0.5),
    )


def test_numbers_are_read_at_their_limits(all_built):
    options = parse(
        shlex.split("-train true -seed 2147483647 -validationSplit .999 -learningRate 1e-3")
    )
    assert (options.seed, options.validation_split) == (2**31 - 1, 0.999)
    assert options.learning_rate == 0.001


def test_options_can_be_pickled_and_not_changed():
    options = parse(["-require", "f1:0.5"])
    assert pickle.loads(pickle.dumps(options)) == options
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.train = True


# Help and version


@pytest.mark.parametrize("word", ["-help", "--help", "-h"])
def test_help_wins_over_every_problem(word):
    options = parse(["-epochs", "x", "stray", "-train", word, "-foo"])
    assert options.help and options == dataclasses.replace(parse([]), help=True)


@pytest.mark.parametrize("word", ["-version", "--version"])
def test_version_wins_over_every_problem(word):
    assert parse([word, "-epochs", "x"]).version


def test_help_after_an_equals_sign_is_a_value():
    assert parse(["-dataPath=-help"]).help is False


def test_help_page_shows_every_option_within_100_columns():
    page = help_text()
    assert max(map(len, page.splitlines())) <= 100
    for name in BY_NAME:
        assert name in page
    for expected in ("Usage:", "Exit codes", "Examples"):
        assert expected in page


def test_help_page_lists_what_is_not_available_only_where_something_is_not(monkeypatch):
    missing = option_checks.Missing("train", _is(True), "distributed training")
    monkeypatch.setattr(option_checks, "NOT_AVAILABLE_YET", (missing,))
    assert "Not available yet\n  distributed training (-train)\n" in help_text()
    monkeypatch.setattr(option_checks, "NOT_AVAILABLE_YET", ())
    assert "Not available yet" not in help_text()


def test_help_page_shows_the_defaults():
    rows = {line.split()[0]: line for line in help_text().splitlines() if line.startswith("  -")}
    for option in OPTIONS:
        if isinstance(option.default, bool) and option.metavar:
            assert str(option.default).lower() in rows[option.name].split()[2:3]
        elif option.default not in (None, (), 0.0) and option.metavar:
            assert rows[option.name].split()[2] == str(option.default)


# Single problems


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [("-epochz 3", "-epochs"), ("-modelpath x", "-modelPath"), ("-TRAIN true", "-train"),
     ("-labelIdx 4", "-labelIndex"), ("-modelFilename x", "-modelFileName"), ("-batch 3",
     "-batchSizePerWorker"), ("--validation-split 0.1", "-validationSplit"),
     ("-feature_indices 0-3", "-featureIndices"), ("\u2013train true", "-train"),
     ("-Help", "-help"),
     ("-trian true", "-train")],
)  # fmt: skip
def test_misspelt_option_is_told_the_nearest_name(line, suggestion):
    found = problem(line)
    assert found.startswith(line.split()[0])
    assert found.endswith(f"unknown option; did you mean {suggestion}?")


def test_option_like_no_other_gets_no_suggestion():
    assert problem("-zzzzz 3") == "-zzzzz '3': unknown option"


@pytest.mark.parametrize("line", ["--master yarn", "-master yarn", "--driver-memory=4g"])
def test_options_of_spark_are_sent_to_their_place(line):
    assert "Spark's own options stand before irisspark.zip" in problem(line)


@pytest.mark.parametrize(
    "line", ["-train -epochs 5", "-train --epochs=5", "-epochs 5 -train", "-modelPath -train false"]
)
def test_known_option_is_not_a_value(line):
    assert "needs a value" in problem(line)


def test_misspelt_option_is_not_the_value_of_a_boolean():
    assert problems("-train -epochz 5") == [
        "-train: needs a value: true|false",
        "-epochz '5': unknown option; did you mean -epochs?",
    ]


def test_option_in_the_wrong_case_is_not_a_path():
    assert problems("-modelPath -datapath x")[0].startswith("-modelPath: needs a value")


@pytest.mark.parametrize(
    "line",
    ["-labelIndex 4 -labelIndex 3", "-labelIndex 4 -indexLabel 3", "-labelIndex=4 --labelIndex 3"],
)
def test_repeated_option_is_refused_also_by_another_name(line):
    found = problem(line)
    assert "given 2 times" in found and "'4'" in found and "'3'" in found


def test_stray_words_are_named_with_the_option_before():
    found = problem("-dataPath a.csv b.csv c.csv -train false")
    assert "'b.csv', 'c.csv'" in found and "-dataPath 'a.csv'" in found


def test_many_stray_words_of_a_glob_stay_on_one_line():
    found = problem("-dataPath " + " ".join(f"{i}.csv" for i in range(400)))
    assert found.count(".csv'") == 6 and "394 more" in found


@pytest.mark.parametrize("line", ["train false", "--", "- x", "-5", "''"])
def test_words_without_an_option_are_stray(line):
    assert "stray word" in problem(line)


@pytest.mark.parametrize(
    "line",
    [
        "-epochs 1e3", "-epochs 0", "-epochs 1_0", "-epochs ''", "-epochs 3.0", "-epochs '1 0'",
        "-epochs \u0663", "-epochs 99999999999", "-batchSizePerWorker 0", "-numClasses 1",
        "-seed -1", "-seed 2147483648", "-workers 0", "-patience -1", "-topN 0",
        "-averagingFrequency -1", "-validationSplit 1", "-validationSplit -0.1",
        "-validationSplit nan", "-learningRate inf", "-learningRate 0", "-learningRate 1e999",
        "-train yes", "-verbose 1", "-badRows Skip", "-stats 1", "-mode sync",
        "-optimizer adma", "-loss crossentropy", "-modelPath ''", "-outputPath ' '",
        "-delimiter ''", "-delimiter '||'", "-delimiter '\"'", "-delimiter '\n'", "-delimiter t",
        "-delimiter 5", "-delimiter \u00a7", "-featureIndices 3-0", "-featureIndices 0,,1",
        "-featureIndices 0-3,2", "-featureIndices 1.5", "-featureIndices 0-1-2",
        "-featureIndices '0 - 3'", "-featureIndices ''", "-keepColumns 0,0",
        "-keepColumns 99999999999", "-labelIndex 99999999999", "-labelIndex ''",
        "-classNames a", "-classNames a,a", "-classNames 1,1.0", "-classNames 0,-0",
        "-classNames a,", "-classNames '\"a,b'", "-classNames '\"a\"b,c'",
        "-require accuracy", "-require 'accuracy>='", "-require 'accuracy=0.8'",
        "-require 'accuracy==0.8'", "-require 'accuracy>=nan'", "-require 'accuracy>=x'",
        "-require 'accuracy>=80'", "-require 'f1<-0.1'", "-require ''", "-require 'f1:0.5,'",
    ],
)  # fmt: skip
def test_wrong_value_is_refused_with_its_option_and_itself(line):
    name, value = shlex.split(line)
    assert problem(line).startswith(f"{name} {value!r}: ")


def test_nothing_after_an_equals_sign_is_an_empty_value():
    assert problem("-train=") == "-train '': expected true or false"


def test_repeated_columns_are_found_in_many_without_delay():
    columns = ",".join(map(str, range(20_000)))
    assert len(parse(["-featureIndices", columns, "-header", "true"]).feature_indices) == 20_000
    assert "column 7 is listed twice" in problem(f"-featureIndices {columns},7")


def test_metric_without_a_comparison_says_to_quote():
    found = problem("-require accuracy")
    assert "'accuracy>=0.8'" in found and "accuracy:0.8" in found and "quote" in found


def test_password_in_a_uri_is_shown_nowhere(all_built):
    uri = "s3a://key:canary@bucket/x"
    assert "canary" not in problem(f"-epochs {uri}")
    assert "canary" not in str(as_mapping(replace(parse([]), data_path=uri)))
    told = problem(f"-dataPath {uri}")
    assert told.startswith("-dataPath: keys do not belong in a URI")
    assert "canary" not in told


def test_container_of_an_azure_uri_is_no_password(all_built):
    uri = "abfss://container@account.dfs.core.windows.net/x"
    assert as_mapping(parse(["-dataPath", uri]))["dataPath"] == uri


# Everything at once


def test_every_problem_is_listed_at_once():
    line = "-epochs x -foo 1 -train -seed 1 -seed 2 word -resume true -topN 5 -numClasses 3"
    assert problems(line) == [
        "-epochs 'x': expected a whole number, 1 or more",
        "-foo '1': unknown option",
        "-train: needs a value: true|false",
        "'word': stray word after -seed '2': quote a value that has spaces or a * in it",
        "-seed '1', -seed '2': one option, given 2 times",
        "-resume true: needs -checkpointPath",
        "-topN 5: more than the 3 classes",
    ]  # fmt: skip


def test_error_has_the_exit_code_of_usage():
    with pytest.raises(OptionsError) as caught:
        parse(["-foo"])
    assert caught.value.exit_code == 2


def test_misspelt_train_draws_no_complaints_about_training_options():
    assert (
        problem("-trian true -workers 3") == "-trian 'true': unknown option; did you mean -train?"
    )


def test_unreadable_value_draws_no_complaint_from_a_cross_check(all_built):
    assert problem("-predictions true -outputPath ''").startswith("-outputPath ''")
    assert problem("-train ture -workers 3").startswith("-train 'ture'")
    assert problem("-classNames a,b,c -numClasses x").startswith("-numClasses 'x'")


# Cross-checks


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-labelIndex species", "-labelIndex species: header names ('species') need -header true"),
        ("-featureIndices 0,a", "-featureIndices '0,a': header names ('a') need -header true"),
        ("-keepColumns id", "-keepColumns id: header names ('id') need -header true"),
        ("-labelIndex 2 -featureIndices 0-3", "column 2 is in -labelIndex 2 too"),
        ("-labelIndex 4-6 -keepColumns 5", "column 5 is in -labelIndex 4-6 too"),
        ("-labelIndex 4-6,5", "column 5 is listed twice"),
        ("-labelIndex a=4,b=5 -train true", "is not trained on them together"),
        ("-labelIndex a=4,b=5 -output a", "it names outputs, and so does -output a"),
        ("-labelIndex a=4,b=5 -task labels", "-task labels: it is of one output"),
        ("-labelIndex a=4,b=3-5", "column 4 is listed twice"),
        ("-labelIndex a=4,a=5", "the output 'a' is listed twice"),
        ("-labelIndex a=4,b=sold", "header names ('sold') need -header true"),
        ("-train true -output price", "is evaluated and predicts, but is not trained"),
        ("-task labels -topN 2", "-topN 2: labels are no classes"),
        ("-featureIndices 0-2,-1", "column -1 is in -labelIndex -1 too"),
        ("-header true -labelIndex a -keepColumns b,a", "column 'a' is in -labelIndex a too"),
        ("-featureIndices 0-3 -keepColumns 3", "column 3 is in -featureIndices 0-3 too"),
        ("-labelIndex none", "-labelIndex none: only predicts"),
        ("-predictions true", "-predictions true: needs -outputPath"),
        ("-train true -resume true", "-resume true: needs -checkpointPath"),
        ("-train true -patience 3", "-patience 3: needs a -validationSplit above 0"),
        ("-classNames a,b -numClasses 3", "-classNames 'a,b': 2 names, but -numClasses 3"),
        ("-topN 4 -numClasses 3", "-topN 4: more than the 3 classes"),
        ("-topN 3 -classNames a,b", "-topN 3: more than the 2 classes"),
        ("-predictionsFormat csv", "-predictionsFormat csv: needs -predictions true"),
        ("-require f1:0.5 -loadData false", "nothing is measured with -loadData false"),
        ("-mlflow iris -loadData false", "-mlflow iris: there is nothing to log"),
        ("-dataPath out/x.csv -outputPath out -overwrite true", "would replace -dataPath"),
        ("-modelPath file:/o/m.h5 -outputPath /o/ -overwrite true", "would replace -modelPath"),
        ("-dataPath a.csv,o/b.csv -outputPath ./o -overwrite true", "would replace -dataPath"),
        ("-train true -outputPath o -checkpointPath o/c", "-checkpointPath cannot lie in it"),
    ],
)  # fmt: skip
def test_options_that_do_not_fit_together_are_refused(all_built, line, expected):
    assert expected in problem(line)


@pytest.mark.parametrize("extra", ["-train true", "-require f1:0.5", "-topN 2"])
def test_run_without_a_label_cannot_train_or_be_judged(all_built, extra):
    found = problem(f"-labelIndex none -predictions true -outputPath o {extra}")
    assert found.startswith(extra.split()[0]) and "needs a label" in found


@pytest.mark.parametrize(
    "line",
    ["-averagingFrequency 5", "-workers 2", "-scaleLearningRate false", "-shuffle false",
     "-validationSplit 0.2", "-checkpointPath c", "-optimizer sgd", "-learningRate 0.1",
     "-mode hogwild"],
)  # fmt: skip
def test_training_option_without_training_is_refused(all_built, line):
    assert problem(line).endswith("only with -train true")
    assert parse(shlex.split(f"{line} -train true")).train


@pytest.mark.parametrize("line", ["-epochs 20", "-batchSizePerWorker 15", "-seed 3", "-loss hinge"])
def test_what_the_runner_takes_without_training_is_taken(line):
    assert not parse(shlex.split(line)).train


@pytest.mark.parametrize(
    "line",
    ["-shuffle true", "-workers 1 -train true", "-mode synchronous", "-overwrite true",
     "-topN 3 -numClasses 3", "-checkpointPath c -train true", "-labelIndex 4 -featureIndices 0-3",
     "-outputPath out -dataPath outer.csv -overwrite true", "-outputPath o -dataPath o/x.csv",
     "-train true -modelPath o/model.keras -outputPath o -overwrite true",
     "-classNames a,b,c -numClasses 3 -header true -labelIndex x -keepColumns id"],
)  # fmt: skip
def test_options_that_fit_together_are_taken(all_built, line):
    parse(shlex.split(line))


# Not available yet


@pytest.mark.parametrize(
    ("line", "start"),
    [("-train true", "-train true"), ("-mode hogwild", "-mode hogwild"),
     ("-mode asynchronous", "-mode asynchronous"), ("-multiLine true", "-multiLine true"),
     ("-predictions true -outputPath o", "-predictions true")],
)  # fmt: skip
def test_missing_capability_is_named(monkeypatch, line, start):
    monkeypatch.setattr(option_checks, "NOT_AVAILABLE_YET", FIRST_TABLE)
    found = problem(line)
    assert found.startswith(start) and "not available yet" in found


def _is(*values):
    return lambda value: value in values


FIRST_TABLE = (
    option_checks.Missing("train", _is(True), "training"),
    option_checks.Missing("mode", _is("hogwild", "asynchronous"), "asynchronous training"),
    option_checks.Missing("predictions", _is(True), "predictions"),
    option_checks.Missing("multi_line", _is(True), "line breaks"),
)


@pytest.mark.parametrize(
    "path", ["file:///x.csv", "FILE:/x.csv", "C:/x.csv", "hdfs:/x", "s3a://b/x"]
)
def test_a_path_may_lie_anywhere(path):
    assert parse(["-dataPath", path]).data_path == path


def test_defaults_are_always_available_when_spelt_out():
    argv = [
        f"{name}={str(default).lower() if isinstance(default, bool) else default}"
        for option in OPTIONS
        if option.metavar and (default := option.default) not in (None, ())
        for name in [option.name]
    ]
    assert parse(argv) == parse([])


def test_default_is_available_even_where_its_value_asks_for_a_missing_capability(monkeypatch):
    missing = option_checks.Missing("seed", lambda seed: True, "seeds")
    monkeypatch.setattr(option_checks, "NOT_AVAILABLE_YET", (missing,))
    assert parse(["-seed", "7"]).seed == 7
    assert problem("-seed 8") == "-seed 8: not available yet (seeds)"


# Notes


def test_notes_tell_what_has_no_effect(all_built):
    assert notes(parse(["-epochs", "20"])) == ("-epochs 20 has no effect with -train false",)
    assert "not kept" in notes(parse(["-train", "true"]))[0]
    assert notes(parse(["-train", "true", "-outputPath", "o"])) == ()
    assert notes(parse(["-train", "true", "-mlflow", "iris"])) == ()
    assert notes(parse(["-train", "true", "-loadData", "false"])) == (
        "-train true has no effect with -loadData false",
    )


# Round trip

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)
# Blanks, line ends and quotes around a path are those of scripts, and no part of it.
PATH = TEXT.filter(lambda text: text == text.strip() and text[-1] not in "'\"")
COLUMN = st.one_of(
    st.integers(0, 8).map(lambda i: i * 10),
    st.tuples(st.integers(0, 8), st.integers(1, 4), st.integers(0, 5)).map(
        lambda t: (t[0] * 10 + t[1], t[0] * 10 + t[1] + t[2])
    ),
    st.integers(-5, -2),
    TEXT,
)
REQUIREMENT = st.builds(
    Requirement,
    st.sampled_from(["accuracy", "f1", "macro.f1", "loss"]),
    st.sampled_from([">=", ">", "<=", "<"]),
    st.floats(0, 1),
)
VALUES = {
    "epochs": st.integers(1, 2**31 - 1),
    "batch_size_per_worker": st.integers(1, 999),
    "averaging_frequency": st.integers(0, 99),
    "workers": st.none() | st.integers(1, 64),
    "shuffle": st.booleans(),
    "scale_learning_rate": st.booleans(),
    "patience": st.integers(0, 9),
    "validation_split": st.floats(0.01, 1, exclude_max=True),
    "seed": st.integers(0, 2**31 - 1),
    "learning_rate": st.none() | st.floats(0, 1e300, exclude_min=True),
    "optimizer": st.sampled_from([None, "adam", "sgd"]),
    "loss": st.sampled_from([None, "hinge"]),
    "mode": st.sampled_from(["synchronous", "asynchronous", "hogwild"]),
    "stats": st.sampled_from(["0.9", "1.0"]),
    "bad_rows": st.sampled_from(["fail", "skip"]),
    "model_path": PATH,
    "data_path": PATH,
    "checkpoint_path": st.none() | PATH,
    "delimiter": st.sampled_from([",", ";", "|", "\t", " ", "-", "="]),
    "class_names": st.none()
    | st.lists(TEXT.map("x".__add__), min_size=2, max_size=4, unique=True).map(tuple),
    "require": st.lists(REQUIREMENT, max_size=3).map(tuple),
    "verbose": st.booleans(),
    "multi_line": st.booleans(),
    "load_data": st.just(True),
    "header": st.just(True),
    "train": st.just(True),
}


@st.composite
def valid_options(draw) -> Options:
    chosen = {field: draw(strategy) for field, strategy in VALUES.items()}
    columns = draw(st.lists(COLUMN, max_size=5, unique_by=_decade))
    cut = draw(st.integers(0, len(columns)))
    chosen["feature_indices"] = tuple(columns[:cut]) or None
    chosen["keep_columns"] = tuple(columns[cut:])
    used = {column for column in columns if isinstance(column, str)}
    chosen["label_index"] = draw(st.just(-1) | TEXT.filter(lambda name: name not in used))
    return dataclasses.replace(parse([]), **chosen)


def _decade(column):
    """Two columns of different decades, or of different texts, have nothing in common."""
    if isinstance(column, str):
        return column
    first = column[0] if isinstance(column, tuple) else column
    return first if first < 0 else first // 10


def _quoted(text: str) -> str:
    return '"{}"'.format(text.replace('"', '""'))


def _written(value) -> str:
    if isinstance(value, Requirement):
        return f"{value.metric}{value.comparison}{value.value!r}"
    if isinstance(value, tuple) and len(value) == 2 and all(type(v) is int for v in value):
        return f"{value[0]}-{value[1]}"
    return _quoted(value) if isinstance(value, str) else str(value)


@given(valid_options(), st.data())
def test_options_survive_being_written_as_a_command_line(options, data):
    pairs = []
    for option in OPTIONS:
        value = getattr(options, option.field)
        if value == option.default:
            continue
        listed = isinstance(value, tuple)
        text = ",".join(map(_written, value)) if listed else str(value)
        if option.field == "label_index":
            text = _written(value)
        name = data.draw(st.sampled_from((option.name, *option.aliases)))
        spelt = data.draw(st.sampled_from(["", "-"])) + name
        pairs.append([f"{spelt}={text}"] if text[:1] == "-" else [spelt, text])
    argv = [word for pair in data.draw(st.permutations(pairs)) for word in pair]
    original = option_checks.NOT_AVAILABLE_YET
    option_checks.NOT_AVAILABLE_YET = ()
    try:
        assert parse(argv) == options
    finally:
        option_checks.NOT_AVAILABLE_YET = original


@given(valid_options())
def test_mapping_is_json_with_the_names_of_the_command_line(options):
    mapping = as_mapping(options)
    assert json.loads(json.dumps(mapping, allow_nan=False)) == mapping
    assert [f"-{name}" for name in mapping] == [o.name for o in OPTIONS if o.metavar]


@given(
    st.lists(st.sampled_from([*BY_NAME, "true", "3", "-1", "x=y", "--", "", "a,b", "-x"]) | TEXT)
)
def test_any_words_give_options_or_a_list_of_problems(argv):
    try:
        assert isinstance(parse(argv), Options)
    except OptionsError as error:
        assert str(error).strip()
        assert all(": " in line for line in str(error).split("\n"))


@pytest.mark.parametrize(
    ("words", "argv"),
    [
        (["-modelPath m.h5", "-header  true "], ["-modelPath", "m.h5", "-header", "true"]),
        (["-modelPath my model.h5"], ["-modelPath", "my model.h5"]),
        (
            ["-modelPath m.h5 -dataPath 'a b.csv'\n-topN=2"],
            ["-modelPath", "m.h5", "-dataPath", "a b.csv", "-topN=2"],
        ),
        (["-modelPath=m.h5 -topN 2"], ["-modelPath=m.h5", "-topN", "2"]),
        ([" -topN", "2"], ["-topN", "2"]),
        (["--topN 2"], ["--topN", "2"]),
        (["-require accuracy >= 0.8"], ["-require", "accuracy >= 0.8"]),
        (
            ["-classNames", "a b,-topN", "-dataPath=my data.csv"],
            ["-classNames", "a b,-topN", "-dataPath=my data.csv"],
        ),
        (["-classNames it's,b -topN 2"], ["-classNames", "it's,b", "-topN", "2"]),
    ],
)
def test_words_that_hold_more_than_one_are_taken_apart(words, argv):
    assert split_words(words) == argv
    assert split_words(argv) == argv


@pytest.mark.parametrize("name", ["-modelPath", "-dataPath", "-outputPath", "-checkpointPath"])
@pytest.mark.parametrize("uri", ["file://model.h5", "FILE://host/model.h5", "a.csv,file://d/m.h5"])
def test_two_slashes_name_a_machine(name, uri):
    told = problem(f"{name} {uri}{' -train true' if name == '-checkpointPath' else ''}")
    assert told.startswith(name)
    assert "behind two slashes stands the name of a machine" in told
    assert "file:///" in told


def test_letters_that_java_has_lost_are_told():
    for words in ("-outputPath r?sum?", "-labelIndex esp\ufffdce -header true", "-classNames ?,b"):
        options = parse(words.split())
        assert option_checks.lost_letters(options, utf8=True) is None
        assert "set LC_ALL=C.UTF-8" in str(option_checks.lost_letters(options, utf8=False))
    assert option_checks.lost_letters(parse(["-dataPath", "d?.csv"]), utf8=False) is None


@pytest.mark.parametrize(
    "argv",
    [
        ["-modelPath='m.h5'", "-labelIndex", "-1 ", "-topN", " 3", "-train", "false "],
        ["-modelPath", '"m.h5"', "-labelIndex= -1", "-topN=3 ", "-stats", "1.0 "],
    ],
)
def test_quotes_and_spaces_that_scripts_leave_around_values_mean_nothing(argv):
    options = parse([*argv, "-dataPath", "d.csv"])
    assert (options.model_path, options.label_index, options.top_n) == ("m.h5", -1, 3)
    assert parse(["-classNames", "'a',b"]).class_names == ("'a'", "b")


def test_missing_numbers_and_decimals():
    options = parse(shlex.split("-header true -missing '?,99,' -fillMissing 'age=40,0-3=0,-1=2.5'"))
    assert options.missing == ("?", "99", "")
    columns = [(fill.column, fill.number) for fill in options.fill_missing]
    assert columns == [("age", 40), ((0, 3), 0), (-1, 2.5)]
    assert parse(["-fillMissing", "-1e3"]).fill_missing[0].column is None
    assert as_mapping(options)["fillMissing"] == ["age=40.0", "0-3=0.0", "-1=2.5"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-fillMissing x", "expected a number, or column=number"),
        ("-fillMissing age=", "expected a number, or column=number"),
        ("-fillMissing nan", "expected a number, or column=number"),
        ("-fillMissing a=1,a=2 -header true", "column 'a' is listed twice"),
        ("-fillMissing age=1", r"header names \('age'\) need -header true"),
        ("-decimal x", "expected one of"),
        ("-decimal ,", "the columns are split there, too; pass another -delimiter"),
    ],
)
def test_what_is_wrong_with_missing_numbers_and_decimals(words, said):
    with pytest.raises(OptionsError, match=said):
        parse(shlex.split(words))


def test_inputs_have_names_and_columns():
    options = parse(shlex.split("-header true -inputs 'age=0,pixels=10-300,302,thal=x'"))
    assert [(one.name, one.columns) for one in options.inputs] == [
        ("age", (0,)),
        ("pixels", ((10, 300), 302)),
        ("thal", ("x",)),
    ]
    assert as_mapping(options)["inputs"][1] == "pixels=10-300,302"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-inputs 3", "expected input=column"),
        ("-inputs age=", "expected input=column"),
        ("-inputs =3", "expected input=column"),
        ("-inputs a=1,b=2,a=3", "the input 'a' is listed twice"),
        ("-inputs a=1 -featureIndices 1", "-featureIndices has nothing to name"),
        ("-inputs a=x", r"header names \('x'\) need -header true"),
    ],
)
def test_what_is_wrong_with_inputs(words, said):
    with pytest.raises(OptionsError, match=said):
        parse(shlex.split(words))
