"""Azure's store, as Microsoft's own emulator of it answers, which npm installs as ``azurite``."""

import base64
import pickle
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow.fs import AzureFileSystem, FileSelector, SubTreeFileSystem

from irisspark.errors import DataError, IrissparkError
from irisspark.storage.finding import find_data
from irisspark.storage.location import Locate, Location, locate
from irisspark.storage.opening import opener
from irisspark.storage.publishing import open_publication
from irisspark.storage.replacing import replacing

EMULATOR = shutil.which("azurite-blob")
pytestmark = pytest.mark.skipif(EMULATOR is None, reason="no azurite-blob on the PATH")

# The emulator's own, which is public.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
ROOT = f"abfss://iris@{ACCOUNT}.dfs.core.windows.net"
START_SECONDS = 60

Open = Callable[[str], AzureFileSystem]


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Open:
    """Opens the emulator's account with a key."""
    log = tmp_path_factory.mktemp("azure") / "log"
    words = [EMULATOR, "--blobPort", "0", "--location", str(log.parent)]
    words += ["--skipApiVersionCheck", "--disableTelemetry"]
    with log.open("w") as output:
        process = subprocess.Popen(words, stdout=output, stderr=subprocess.STDOUT)
    request.addfinalizer(process.wait)
    request.addfinalizer(process.terminate)
    port = _port(process, log)

    def open_account(key: str) -> AzureFileSystem:
        places = {f"{kind}_storage_authority": f"127.0.0.1:{port}" for kind in ("blob", "dfs")}
        schemes = {f"{kind}_storage_scheme": "http" for kind in ("blob", "dfs")}
        return AzureFileSystem(ACCOUNT, account_key=key, **places, **schemes)

    open_account(KEY).create_dir("iris")
    return open_account


def _port(process: "subprocess.Popen[bytes]", log: Path) -> int:
    deadline = time.monotonic() + START_SECONDS
    while (found := re.search(r"listens on http://127\.0\.0\.1:(\d+)", log.read_text())) is None:
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    return int(found[1])


def place_in(store: AzureFileSystem, container: str = "iris") -> Locate:
    """Make what finds places there, as the driver's locator does where Hadoop has no Azure."""

    def find(path: str) -> Location:
        if not path.startswith(ROOT):
            return locate(path)
        below = path.removeprefix(ROOT)
        return Location(SubTreeFileSystem(container, store), below, ROOT, None, renames=False)

    return find


def test_files_are_found_and_read_by_workers(account: Open) -> None:
    place = place_in(account(KEY))
    for name in ("a.csv", "b.csv", "_SUCCESS"):
        with place(f"{ROOT}/data/{name}").create() as stream:
            stream.write(name.encode())
    for path in (f"{ROOT}/data", f"{ROOT}/data/*.csv", f"{ROOT}/data/{{a,b}}.csv"):
        found = pickle.loads(pickle.dumps(find_data(path, {}, str, place)))
        assert [file.path for file in found] == [f"{ROOT}/data/a.csv", f"{ROOT}/data/b.csv"]
        assert [opener(str)(file, file.size).read() for file in found] == [b"a.csv", b"b.csv"]


def test_results_are_whole_and_a_file_is_replaced_at_once(account: Open) -> None:
    place = place_in(account(KEY))
    for content in (b"one", b"two"):
        with replacing(place(f"{ROOT}/steps/checkpoint.npz")) as stream:
            stream.write(content)
        assert place(f"{ROOT}/steps/checkpoint.npz").open().read() == content
    out = place(f"{ROOT}/out")
    one = open_publication("out", out, overwrite=False)
    for name in ("part-0-aa", "part-0-bb"):
        with pickle.loads(pickle.dumps(one.attempts("predictions") / name)).create() as stream:
            stream.write(name.encode())
    one.adopt("predictions", {"part-0-bb": "part-00000"})
    one.publish({"metrics.json": b"{}"})
    written = {"_SUCCESS", "metrics.json", "predictions/_SUCCESS", "predictions/part-0-bb"}
    assert _names(out) == written
    with pytest.raises(IrissparkError, match="exists; name another folder"):
        open_publication("out", out, overwrite=False)
    open_publication("out", out, overwrite=True).publish({"metrics.json": b"{1}"})
    assert _names(out) == {"_SUCCESS", "metrics.json"}


def _names(folder: Location) -> set[str]:
    found = folder.filesystem.get_file_info(FileSelector(folder.path, recursive=True))
    files = (info.path for info in found if info.is_file)
    return {path.removeprefix("out/") for path in files}


def test_what_is_wrong_is_one_line(account: Open) -> None:
    wrong = account(base64.b64encode(b"wrong").decode())
    for place, said in (
        (place_in(account(KEY)), "there is no such file"),
        (place_in(account(KEY), "nowhere"), "No such file or directory"),
        (place_in(wrong), "the key does not fit the account; look at fs.azure.account.key"),
    ):
        with pytest.raises(DataError) as found:
            find_data(f"{ROOT}/nothing.csv", {}, str, place)
        assert str(found.value) == f"-dataPath {ROOT}/nothing.csv: {said}"
