"""Draws the pictures of the documentation: ``python docs/pictures/draw.py``, with chromium."""

from __future__ import annotations

import base64
import shutil
import sys
import tempfile
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# Picture -> page of tests/report_pages, width, height, light or dark.
PICTURES = {
    "report-failed.png": ("failed", 1000, 1000, "light"),
    "report-training.png": ("training", 1000, 900, "dark"),
}


def main() -> None:
    """Draw every picture."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from report_pages import pages

    options = Options()
    options.binary_location = shutil.which("chromium") or ""
    for word in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(word)
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    with tempfile.TemporaryDirectory() as folder:
        for picture, (name, width, height, scheme) in PICTURES.items():
            page = Path(folder, f"{name}.html")
            page.write_text(pages()[name], encoding="utf-8")
            features = [{"name": "prefers-color-scheme", "value": scheme}]
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.get(page.as_uri())
            if scheme == "dark":
                browser.execute_script("document.getElementById('training').scrollIntoView()")
            shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
            (HERE / picture).write_bytes(base64.b64decode(shot["data"]))
    browser.quit()


if __name__ == "__main__":
    main()
