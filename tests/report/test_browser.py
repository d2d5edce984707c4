"""The page in a real browser: what the eye sees, what runs (nothing of the data), what a keyboard and a reader get.

Needs `chromium` and `chromium-driver`. Without them these tests are left out, unless KTOFORMATS_BROWSER=required says
that they must be there, as the continuous integration does.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import axe_core_python  # type: ignore[import-untyped]
import pytest

from ktoformats import KTODataConfig, KTODataLoader
from ktoformats.report.audit import audit_loader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAYLOADS = json.loads((Path(__file__).parents[1] / "fixtures" / "payloads.json").read_text(encoding="utf-8"))
AXE = Path(axe_core_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WORDS = ("ممتاز", "ضعيف", "جيد", "مقبول")


def records() -> Iterator[str]:
    """Arabic answers, one payload in each place where a text can stand, and lines that are no records."""
    for number, payload in enumerate(PAYLOADS):
        one = {
            "prompt": f"سؤال {number}: {payload}",
            "response": f"جواب {number} {payload}",
            "تقييم": WORDS[number % 4],
            "model": payload,
        }
        yield json.dumps(one, ensure_ascii=True)
        if number % 8 == 0:
            yield json.dumps(one | {"تقييم": payload})
            yield payload.replace("\n", " ").replace("\r", " ").encode("utf-8", "replace").decode()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report over hostile data, as a file; `few.html` beside it shows a few samples only."""
    folder = tmp_path_factory.mktemp("browser")
    source = folder / "<img src=x onerror=window.hit=1> \u202e.jsonl"
    source.write_text("\n".join(records()) + "\n", encoding="utf-8")
    config = KTODataConfig(
        train_file=source, keep=["model"], on_error="skip", balance_labels=True, max_response_length=70
    )
    found = audit_loader(KTODataLoader(config, enable_cache=False))
    path = folder / "report.html"
    path.write_text(found.to_html(400), encoding="utf-8")
    path.with_name("few.html").write_text(found.to_html(12), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A headless Chromium."""
    there = shutil.which("chromium") and shutil.which("chromedriver")
    if not there and os.environ.get("KTOFORMATS_BROWSER") != "required":
        pytest.skip("chromium and chromium-driver are not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for option in OPTIONS:
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver") or "chromedriver")
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def opened(chromium: Any, page: Path) -> Callable[..., Any]:
    """Open the page anew."""

    def run(*, dark: bool = False, scripts: bool = True, width: int = 1280) -> Any:
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        chromium.get("about:blank")
        chromium.get_log("browser")
        chromium.get(page.as_uri())
        return chromium

    return run


def test_nothing_of_the_data_runs_and_the_console_is_silent(opened: Callable[..., Any]) -> None:
    driver = opened()
    assert driver.execute_script("return window.hit") is None
    assert driver.get_log("browser") == []
    inside = driver.execute_script(
        "return [...document.querySelectorAll('script,img,iframe,object,embed,link,base,form,style,a,input')]"
        ".map((one) => one.tagName)"
    )
    assert inside.count("SCRIPT") == inside.count("STYLE") == inside.count("FORM") == inside.count("INPUT") == 1
    assert not {"IMG", "IFRAME", "OBJECT", "EMBED", "LINK", "BASE"} & set(inside)
    links = driver.execute_script("return [...document.links].map((one) => one.getAttribute('href'))")
    assert all(link.startswith("#") for link in links)
    assert not driver.execute_script(
        "return [...document.querySelectorAll('*')].filter((one) => [...one.attributes].some((its) => "
        "its.name.startsWith('on') || its.name === 'style')).length"
    )


def test_the_policy_stops_what_would_be_added(opened: Callable[..., Any]) -> None:
    driver = opened()
    driver.execute_script(
        "const one = document.createElement('script'); one.textContent = 'window.hit = 2'; document.body.append(one);"
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hit = 3\">')"
    )
    assert driver.execute_script("return window.hit") is None
    assert "Content Security Policy" in " ".join(one["message"] for one in driver.get_log("browser"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_accessible(opened: Callable[..., Any], page: Path, width: int, *, dark: bool) -> None:
    driver = opened(dark=dark, width=width)
    driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
    try:
        driver.get(page.with_name("few.html").as_uri())
        driver.execute_script(AXE)
        found = driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "axe.run(document, {resultTypes: ['violations']}).then((one) => done(one.violations))"
        )
    finally:
        driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": False})
    assert [(one["id"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found] == []


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_never_wider_than_the_window(opened: Callable[..., Any], width: int) -> None:
    driver = opened(width=width)
    assert driver.execute_script("return document.documentElement.scrollWidth") <= width


def test_light_and_dark_are_two_faces(opened: Callable[..., Any]) -> None:
    colour = "return getComputedStyle(document.body).backgroundColor"
    assert opened().execute_script(colour) == "rgb(255, 255, 255)"
    assert opened(dark=True).execute_script(colour) == "rgb(20, 23, 26)"


def test_arabic_is_set_from_the_right_and_hidden_marks_are_seen(opened: Callable[..., Any]) -> None:
    driver = opened()
    directions = driver.execute_script(
        "return [...document.querySelectorAll('article[data-status=kept] .text')]"
        ".map((one) => [one.textContent.trim().slice(0, 4), getComputedStyle(one).direction])"
    )
    assert directions
    assert {direction for text, direction in directions if text.startswith(("سؤال", "جواب"))} == {"rtl"}
    marks = driver.execute_script("return [...document.querySelectorAll('.hidden')].map((one) => one.textContent)")
    assert {"U+202E", "U+2066", "U+001B", "U+009B", "U+200F", "U+FEFF"} <= set(marks)
    raw = driver.execute_script("return document.body.textContent")
    assert not set("\u202e\u2066\u2069\u200e\u200f\x1b\x9b\ufeff") & set(raw)


def test_filters_show_what_they_say(opened: Callable[..., Any]) -> None:
    driver = opened()
    shown = "return [...document.querySelectorAll('article:not([hidden])')].map((one) => one.dataset.status)"
    whole = driver.execute_script(shown)
    assert {"kept", "dropped", "rejected"} <= set(whole)
    driver.execute_script(
        "const one = document.querySelector('[data-filter=status]'); one.value = 'rejected';"
        "one.dispatchEvent(new Event('input', {bubbles: true}))"
    )
    assert driver.execute_script(shown) == ["rejected"] * whole.count("rejected")
    told = driver.execute_script("return document.querySelector('output').textContent")
    assert told == f"{whole.count('rejected')} of {len(whole)} shown"
    driver.find_element("css selector", "input[type=search]").send_keys("no such text anywhere")
    assert driver.execute_script(shown) == []


def test_it_can_be_read_without_a_script(opened: Callable[..., Any]) -> None:
    driver = opened(scripts=False)
    try:
        articles = driver.find_elements("css selector", "article")
        assert len(articles) > len(PAYLOADS)
        assert all(one.is_displayed() for one in articles[:20])
        assert not driver.find_element("css selector", "form.filters").is_displayed()
    finally:
        driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_a_keyboard_reaches_everything(opened: Callable[..., Any]) -> None:
    from selenium.webdriver.common.keys import Keys

    driver = opened()
    focused = "return document.activeElement.className || document.activeElement.tagName"
    body = driver.find_element("css selector", "body")
    body.send_keys(Keys.TAB)
    assert driver.execute_script(focused) == "skip"
    assert driver.execute_script("return document.activeElement.getBoundingClientRect().left") >= 0
    reached = set()
    for _ in range(60):
        driver.switch_to.active_element.send_keys(Keys.TAB)
        reached.add(driver.execute_script("return document.activeElement.tagName"))
    assert {"A", "SUMMARY", "INPUT", "SELECT", "PRE"} <= reached


def test_it_prints(opened: Callable[..., Any]) -> None:
    driver = opened(dark=True)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": []})
    assert driver.execute_script("return getComputedStyle(document.querySelector('nav')).display") == "none"
    assert driver.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    printed = driver.execute_cdp_cmd("Page.printToPDF", {"printBackground": True})["data"]
    assert len(printed) > 10_000
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": []})
