"""The fenced blocks of README.md, CONTRIBUTING.md and docs/*.md, and what kind each of them is."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from running import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]

# What a program prints, files' contents, and drawings; everything else is there to be run.
SHOWN = frozenset({"csv", "json", "text"})
RUN = frozenset({"bash"})
NOT_RUN = "not run here"

_FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>```+|~~~+)(?P<language>.*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        document: The file it stands in.
        line: Number of its opening fence, from 1.
        language: The word behind the opening fence.
        text: What stands between the fences.
        before: The lines from the block before, or from the heading, to this one.
    """

    document: Path
    line: int
    language: str
    text: str
    before: tuple[str, ...]

    @property
    def place(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"

    @property
    def marked(self) -> bool:
        """True where the last line above says that the block is not run."""
        lines = [line for line in self.before if line.strip()]
        return bool(lines) and NOT_RUN in lines[-1].lower()

    @property
    def exit_code(self) -> int:
        """The exit code that the last line above names; 0 where it names none."""
        lines = [line for line in self.before if line.strip()]
        named = re.search(r"exit code (\d+)", lines[-1]) if lines else None
        return int(named[1]) if named else 0

    @property
    def kinds(self) -> list[str]:
        """Every kind that it is of: there should be one."""
        is_bash = self.language in RUN
        kinds = {
            "run": is_bash and not self.marked,
            "not run": is_bash and self.marked,
            "shown": self.language in SHOWN and not self.marked,
        }
        return [kind for kind, is_one in kinds.items() if is_one]


def read_blocks(document: Path, text: str | None = None) -> Iterator[Block]:
    """Give the blocks of a document; an opening fence without a closing one is an error."""
    lines = (document.read_text() if text is None else text).splitlines()
    opened: re.Match[str] | None = None
    first, before, inside = 0, list[str](), list[str]()
    for number, line in enumerate(lines, 1):
        found = _FENCE.match(line)
        if opened is None and found:
            opened, first, inside = found, number, []
        elif opened is None:
            before = [] if line.startswith("#") else [*before, line]
        elif line.strip() == opened["ticks"]:
            language = opened["language"].strip()
            yield Block(document, first, language, _text(inside, opened), tuple(before))
            opened, before = None, []
        else:
            inside.append(line)
    if opened is not None:
        raise AssertionError(f"{document}:{first}: the block is never closed")


def _text(lines: list[str], opened: re.Match[str]) -> str:
    return "".join(f"{line.removeprefix(opened['indent'])}\n" for line in lines)


def all_blocks() -> list[Block]:
    return [block for document in DOCUMENTS for block in read_blocks(document)]


def shown_after(block: Block, blocks: list[Block]) -> str | None:
    """Give what a document says that a block prints: the text block after a line with 'prints'."""
    for one, following in pairwise(blocks):
        if one is block and following.document == block.document and following.language == "text":
            prose = " ".join(following.before).split()
            return following.text if "prints" in prose else None
    return None
