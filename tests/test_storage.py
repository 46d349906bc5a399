"""What paths mean, and files that are replaced as a whole; no Spark."""

import os
import pickle
from pathlib import Path
from types import MappingProxyType

import pytest

from irisspark.errors import DataError, ModelError
from irisspark.storage.finding import find_data, find_model
from irisspark.storage.globs import expand_braces, split_list
from irisspark.storage.location import locate, unwritable
from irisspark.storage.opening import opener
from irisspark.storage.replacing import replacing
from irisspark.storage.uris import is_on_this_disk, split_root


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Files of a user, in the working directory."""
    for name in (
        *("d_2023.csv", "d_2024.csv", "d_2025.csv", "a/x.csv", "a/y.txt", "b/x.csv", "b/c/x.csv"),
        *("_SUCCESS", ".hidden.csv", "_old/x.csv", "a,b/m.h5", "a b.csv", "one,two.csv", "[1].csv"),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def found(path, shipped=MappingProxyType({})):
    files = find_data(path, shipped, str)
    return [file.path if file.shipped else os.path.relpath(file.path) for file in files]


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("d_2024.csv", ["d_2024.csv"]),
        ("d_2025.csv, d_2023.csv,", ["d_2025.csv", "d_2023.csv"]),
        ("d_{2023,2024}.csv", ["d_2023.csv", "d_2024.csv"]),
        ("d_{2024,2023}.csv,a b.csv", ["d_2023.csv", "d_2024.csv", "a b.csv"]),
        ("d_202[34].csv", ["d_2023.csv", "d_2024.csv"]),
        ("d_202[!4].csv", ["d_2023.csv", "d_2025.csv"]),
        ("d_202[^3-4].csv", ["d_2025.csv"]),
        ("d_202?.csv", ["d_2023.csv", "d_2024.csv", "d_2025.csv"]),
        ("{a,b}/*.csv", ["a/x.csv", "b/x.csv"]),
        ("{a/x,d_2023}.csv", ["a/x.csv", "d_2023.csv"]),
        ("**/x.csv", ["a/x.csv", "b/x.csv"]),
        ("./*/../d_2023.c*", ["d_2023.csv"]),
        ("a", ["a/x.csv", "a/y.txt"]),
        ("[ab]", ["a/x.csv", "a/y.txt", "b/x.csv"]),
        ("one,two.csv", ["one,two.csv"]),
        ("[1].csv", ["[1].csv"]),
        ("\\[*.csv", ["[1].csv"]),
        (".h*", [".hidden.csv"]),
        ("_old", ["_old/x.csv"]),
        ("_o*", ["_old/x.csv"]),
        ("s.csv,d_2023.csv", ["s.csv", "d_2023.csv"]),
    ],
)
def test_what_a_path_means(tree, path, names):
    (tree / "s.csv").touch()
    assert found(path, {"s.csv": "s.csv"}) == names
    if not path.startswith("s.csv"):
        parts = split_list(path) if not Path(path).exists() else [path]
        uris = ",".join(f"file://{tree}/{part.strip()}" for part in parts if part.strip())
        assert found(uris) == names


@pytest.mark.parametrize("path", ["nowhere.csv", "d_{1,2}.csv", "x*/y", "d_[9].csv", "a{b", "q]"])
def test_a_path_that_means_nothing_is_shown_whole(tree, path):
    with pytest.raises(DataError) as caught:
        found(path)
    assert str(caught.value).startswith(f"-dataPath {path}: there is no such file in {tree}")


def test_a_list_longer_than_a_name_may_be(tree):
    names = ["d_2023.csv"] * 100
    assert found(",".join(names)) == names
    with pytest.raises(ModelError, match="there is no such file"):
        find_model("m" * 300, {}, str)


def test_a_model_lies_where_it_lies(tree):
    assert find_model("a,b/m.h5", {}, str) == ("a,b/m.h5",)
    assert find_model("m.h5", {"m.h5": "m.h5"}, "/files/{}".format) == ("/files/m.h5",)
    assert find_model("d_2023.csv,file://" + str(tree / "a%20b.csv"), {}, str) == (
        "d_2023.csv",
        f"{tree}/a b.csv",
    )


def test_a_name_that_is_not_utf8_is_told(tree):
    (tree / "latin").mkdir()
    Path(os.fsdecode(os.fsencode(tree / "latin") + b"/d\xe9.csv")).touch()
    for path in ("latin", "latin/*", "latin/d\udce9.csv"):
        with pytest.raises(DataError, match="-dataPath latin"):
            found(path)


def test_what_is_neither_file_nor_folder_is_told(tree):
    os.mkfifo("pipe.csv")
    with pytest.raises(DataError, match=r"pipe\.csv is neither a file nor a folder"):
        found("pipe.csv")
    assert found("a") == ["a/x.csv", "a/y.txt"]


def test_braces():
    assert expand_braces("a{b,{c,d}e}f") == ["abf", "acef", "adef"]
    assert expand_braces("a{b\\}c") == ["a{b\\}c"]
    assert split_list("a{b,c},d\\,e,{f,g") == ["a{b,c}", "d\\,e", "{f", "g"]


def test_a_range_that_runs_backwards_is_told(tree):
    with pytest.raises(DataError, match=r"d_\[9-0\]\.csv is no pattern: bad character range 9-0"):
        found("d_[9-0].csv")


def test_a_file_travels_with_its_filesystem(tree):
    (file,) = pickle.loads(pickle.dumps(find_data("d_2023.csv", {}, str)))
    with opener(str)(file) as stream:
        assert (stream.seek(2), stream.read(100)) == (2, b"2023.csv")


def test_a_file_is_replaced_whole_or_not_at_all(tree):
    place = locate("d_2023.csv")
    names = os.listdir()
    with pytest.raises(RuntimeError), replacing(place) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert Path("d_2023.csv").read_bytes() == b"d_2023.csv"
    with replacing(place) as stream:
        stream.write(b"new")
        assert Path("d_2023.csv").read_bytes() == b"d_2023.csv"
    assert Path("d_2023.csv").read_bytes() == b"new"
    assert sorted(os.listdir()) == sorted(names)


def test_where_a_folder_may_be_made(tree):
    assert unwritable(locate("new/folder")) is None
    assert unwritable(locate("d_2023.csv/folder")) == str(tree / "d_2023.csv")
    os.symlink("nowhere", "broken")
    assert unwritable(locate("broken/folder")) == str(tree / "broken")


def test_what_is_shipped_is_found_by_its_alias_and_in_archives(tree):
    (tree / "files").mkdir()
    for name in ("real.csv", "data/x.csv", "data/y 1.csv", "data/m.h5"):
        (tree / "files" / name).parent.mkdir(exist_ok=True)
        (tree / "files" / name).touch()
    shipped = {"alias.csv": "real.csv", "real.csv": "real.csv", "data/": "data/"}

    def resolve(name):
        return str(tree / "files" / name)

    for path, names in [
        ("alias.csv", ["real.csv"]),
        ("data/x.csv,alias.csv", ["data/x.csv", "real.csv"]),
        ("data", ["data/m.h5", "data/x.csv", "data/y 1.csv"]),
        ("data/*.csv", ["data/x.csv", "data/y 1.csv"]),
    ]:
        files = find_data(path, shipped, resolve)
        assert [(file.path, file.shipped) for file in files] == [(name, True) for name in names]
    assert find_model("data/m.h5", shipped, resolve) == (resolve("data/m.h5"),)
    with pytest.raises(
        DataError, match=r"data/z.csv: there is .*shipped alias.csv, data/, real.csv"
    ):
        find_data("data/z.csv", shipped, resolve)


def test_home_is_found_where_the_shell_has_not_put_it(tree, monkeypatch):
    monkeypatch.setenv("HOME", str(tree / "a"))
    assert found("~/x.csv") == ["a/x.csv"]
    assert found("~/*.csv,~") == ["a/x.csv", "a/x.csv", "a/y.txt"]
    (tree / "~").mkdir()
    (tree / "~" / "own.csv").touch()
    assert found("~/own.csv") == ["~/own.csv"]
    assert found("FILE:" + str(tree / "a/x.csv")) == ["a/x.csv"]
    assert find_model("b/x.csv,~/own.csv", {}, str) == ("b/x.csv", "~/own.csv")


def test_names_whose_letters_are_lost_tell_the_locale(tree, monkeypatch):
    monkeypatch.setattr("irisspark.storage.finding.has_all_letters", lambda: False)
    for path in ("d?nn.csv", "d\ufffdnn.csv"):
        with pytest.raises(DataError, match=r"set LC_ALL=C\.UTF-8"):
            found(path)
    assert found("d_202?.csv")
    with pytest.raises(DataError, match="ship the file"):
        found("nowhere.csv")


@pytest.mark.parametrize(
    ("path", "root"),
    [("hdfs://nn:9000/a/b", "hdfs://nn:9000"), ("s3a://b", "s3a://b"), ("viewfs:/x", "viewfs:"),
     ("hdfs:///x", "hdfs://"), ("file:///x", ""), ("/x", ""), ("a:b", ""), ("C:/x", "")],
)  # fmt: skip
def test_a_uri_is_parted_behind_its_authority(path, root):
    assert split_root(path) == (root, path.removeprefix(root))


def test_where_hadoop_has_settings_only_a_uri_is_surely_of_this_disk(monkeypatch):
    for name in ("HADOOP_CONF_DIR", "YARN_CONF_DIR"):
        monkeypatch.delenv(name, raising=False)
    assert is_on_this_disk("out") and not is_on_this_disk("s3a://b/out")
    monkeypatch.setenv("YARN_CONF_DIR", "/etc/hadoop/conf")
    assert not is_on_this_disk("out") and is_on_this_disk("file:///out")
