"""report.html in a real browser: Debian's chromium, without a window."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_pages import pages
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

NAMES = (*("iris", "failed", "training", "thousand", "nasty"), "numbers", "labels", "many labels")
LOOKS = ((1280, "light"), (820, "dark"), (390, "light"), (390, "dark"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    programs = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if None in programs.values():
        pytest.fail("the tests of report.html need chromium and chromedriver, see CONTRIBUTING.md")
    options = Options()
    options.binary_location = programs["chromium"]
    options.add_argument("--headless=new")
    options.add_argument("--no-sandbox")  # for root
    options.add_argument("--hide-scrollbars")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(programs["chromedriver"]))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    for name, written in pages().items():
        (folder / f"{name}.html").write_text(written)
    return folder


def look(browser: Any, width: int, scheme: str, *, scripts: bool = True) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})


@pytest.mark.parametrize("name", NAMES)
def test_page_opens_at_every_width_without_an_error(name: str, browser: Any, folder: Path) -> None:
    for width, scheme in LOOKS:
        look(browser, width, scheme)
        started = time.perf_counter()
        browser.get(f"file://{folder}/{name}.html")
        assert time.perf_counter() - started < 10
        assert browser.get_log("browser") == []
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
        assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


def test_pictures_have_an_alternative_and_are_drawn(browser: Any, folder: Path) -> None:
    look(browser, 1280, "light")
    browser.get(f"file://{folder}/training.html")
    found = browser.execute_script(
        """return [...document.querySelectorAll('figure > svg')].map(svg => [
            document.getElementById(svg.getAttribute('aria-labelledby')).textContent.length,
            svg.getBoundingClientRect().width, svg.querySelectorAll('path').length,
            svg.parentNode.querySelectorAll('details tbody tr').length])"""
    )
    assert len(found) == 7
    for letters, width, paths, rows in found:
        assert letters > 20
        assert width > 300
        assert paths > 10
        assert rows >= 10
    ids = browser.execute_script("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    names = [name for name in ids if not name.startswith(("m", "p"))]
    assert len(names) == len(set(names))


def test_name_that_is_code_is_drawn_as_text(browser: Any, folder: Path) -> None:
    look(browser, 1280, "light")
    browser.get(f"file://{folder}/nasty.html")
    assert browser.execute_script("return document.images.length") == 0
    assert browser.execute_script("return document.scripts.length") == 1
    text = browser.execute_script("return document.getElementById('classes').parentNode.innerText")
    assert "</script><img src=x onerror=alert(1)>" in text


def test_code_that_got_in_would_not_run(browser: Any, folder: Path) -> None:
    page = (folder / "nasty.html").read_text()
    bad = (
        "<script>document.title = 'got in'</script><img src=x onerror=\"document.title='got in'\">"
    )
    (folder / "bad.html").write_text(page.replace("<main>", f"<main>{bad}"))
    look(browser, 1280, "light")
    browser.get(f"file://{folder}/bad.html")
    assert browser.title == "my_model.h5 evaluated on iris.txt"
    assert any(
        "Content Security Policy" in entry["message"] for entry in browser.get_log("browser")
    )


def column(browser: Any, number: int) -> list[str]:
    found: list[str] = browser.execute_script(
        """return [...document.querySelector('#classes ~ div table').tBodies[0].rows]
            .map(row => row.cells[arguments[0]].textContent)""",
        number,
    )
    return found


def test_table_of_classes_is_sorted_by_a_click(browser: Any, folder: Path) -> None:
    look(browser, 1280, "light")
    browser.get(f"file://{folder}/thousand.html")
    buttons = browser.find_elements("css selector", "#classes ~ div th button")
    for number in (2, 4):
        before = [float(text.replace(",", "")) for text in column(browser, number)]
        assert before != sorted(before)
        buttons[number].click()
        assert [float(text.replace(",", "")) for text in column(browser, number)] == sorted(before)
        buttons[number].click()
        found = [float(text.replace(",", "")) for text in column(browser, number)]
        assert found == sorted(before, reverse=True)
    buttons[0].click()
    names = column(browser, 0)
    assert len(set(names)) == 1000
    assert names == sorted(names)


def test_page_is_complete_without_scripts(browser: Any, folder: Path) -> None:
    look(browser, 1280, "light", scripts=False)
    try:
        browser.get(f"file://{folder}/thousand.html")
        source = browser.execute_cdp_cmd("DOM.getDocument", {"depth": -1})
    finally:
        look(browser, 1280, "light")
    text = str(source)
    assert "class 999" in text
    assert "BUTTON" not in text
