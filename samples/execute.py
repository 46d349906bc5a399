"""Execute iris.ipynb in a folder, and write it with its outputs.

    python samples/execute.py FOLDER OUT

FOLDER holds ``irisspark.zip`` and ``iris.txt``. What programs say on the second stream is left out,
as paths and the names of machines are in it.
"""

import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).with_name("iris.ipynb")
CELL_SECONDS = 300


def execute(folder: Path) -> nbformat.NotebookNode:
    """Run every cell in the folder; a cell that fails ends it."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=CELL_SECONDS, kernel_name="python3", resources=where)
    client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # the times
        if cell.cell_type == "code":
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
        for output in cell.get("outputs", []):
            shown = output.get("data", {})
            if "text/plain" in shown:  # an object is shown with its address, which is another one
                shown["text/plain"] = re.sub(" at 0x[0-9a-f]+", "", shown["text/plain"])
    notebook.metadata.pop("language_info", None)
    return notebook


if __name__ == "__main__":
    nbformat.write(execute(Path(sys.argv[1])), sys.argv[2])
