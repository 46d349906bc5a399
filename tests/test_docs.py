"""The documents against the code: every option, every link, and what is not built yet."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from irisspark.options.checks import NOT_AVAILABLE_YET
from irisspark.options.table import BY_FIELD, BY_NAME, SECTIONS, Option

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
OPTIONS_PAGE = (ROOT / "docs" / "options.md").read_text()
NOT_YET = "not available yet"


def section(text: str, title: str) -> str:
    """Give what stands under a heading, up to the next one."""
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def rows(text: str) -> Iterator[tuple[str, ...]]:
    """Give the rows of the tables in a text, without their heads."""
    for line in text.splitlines():
        cells = tuple(
            cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]
        )
        if cells and not re.match(r"option$|-+$", cells[0]):
            yield cells


def default_shown(option: Option) -> str:
    """Give the default as the page has it: words as they are, values as code."""
    if option.default_shown in ("", "0"):
        is_bool = isinstance(option.default, bool)
        text = option.default_shown or str(option.default)
        return f"`{text.lower() if is_bool else text}`" if option.metavar else ""
    return option.default_shown


@pytest.mark.parametrize("title", SECTIONS)
def test_options_page_has_the_options_of_the_table_in_its_order(title: str) -> None:
    found = [cells[:3] for cells in rows(section(OPTIONS_PAGE, title))]
    assert found == [
        (
            " ".join(f"`{name}`" for name in (option.name, *option.aliases)),
            f"`{option.metavar}`" if option.metavar else "",
            default_shown(option),
        )
        for option in SECTIONS[title]
    ]


def test_options_page_says_what_is_not_available_yet() -> None:
    marked = {
        cells[0].split("`")[1]
        for title in SECTIONS
        for cells in rows(section(OPTIONS_PAGE, title))
        if NOT_YET in cells[3]
    }
    assert marked == {BY_FIELD[missing.field].name for missing in NOT_AVAILABLE_YET}


def test_readme_shows_ten_options_as_they_are() -> None:
    found = list(rows(section((ROOT / "README.md").read_text(), "Ten options")))
    assert len(found) == 10
    for name, default, _ in found:
        assert default == default_shown(BY_NAME[name.strip("`")])


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_options_that_a_document_names_exist(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    codes = re.findall(r"`(-[a-z][A-Za-z]+)\b[^`]*`", text)
    assert [name for name in codes if name not in BY_NAME] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_pages_of_the_documentation_can_be_reached_from_the_readme(document: Path) -> None:
    named = (ROOT / "README.md").read_text()
    assert document.name == "README.md" or f"({document.relative_to(ROOT)})" in named


def test_readme_is_a_page() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 155
