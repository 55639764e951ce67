"""A real Chromium without a window, as a reader of reports has one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from tests.support.needs import browser, program

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1000",
)
SECONDS = 30
_DRAWN = "const done = arguments[0]; requestAnimationFrame(() => setTimeout(done));"


@dataclass
class Browser:
    """One Chromium."""

    driver: Chrome

    def open(self, page: Path, *, scripts: bool = True, anchor: str = "") -> None:
        """Show a file, and wait until it is drawn."""
        self.driver.get("about:blank")
        self.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        self.driver.get(f"{page.resolve().as_uri()}{anchor}")
        if scripts:
            self.driver.execute_async_script(_DRAWN)

    def prefer(self, *, media: str = "", scheme: str = "light") -> None:
        """Show what follows as a reader of that colour scheme, or a printer, has it."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})

    def evaluate(self, expression: str) -> Any:
        return self.driver.execute_script(f"return {expression}")

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def shown(self, selector: str) -> list[WebElement]:
        return [element for element in self.all(selector) if element.is_displayed()]

    def shown_texts(self, selector: str) -> set[str]:
        return {element.text for element in self.shown(selector)}

    def until(self, expression: str) -> None:
        """Wait until a script's expression holds."""
        WebDriverWait(self.driver, SECONDS).until(lambda _: self.evaluate(expression))

    def soon(self, seen: Callable[[], Any], *, expected: Any = True) -> Any:
        """Look until what is seen is what is expected, and return what was seen last.

        What a page does after a key was pressed (a search waits for the last letter) takes it a moment.
        """
        last: list[Any] = []

        def as_expected(_: object) -> bool:
            last[:] = [seen()]
            return bool(last[0] == expected)

        with suppress(TimeoutException):
            WebDriverWait(self.driver, SECONDS, ignored_exceptions=[StaleElementReferenceException]).until(as_expected)
        return last[0]

    def press(self, element: WebElement, key: str = Keys.ENTER) -> None:
        """Press a key on an element.

        A mouse needs the place of what it clicks on, and that moves: what comes into view is drawn only then
        (content-visibility), and may be higher than was reckoned.
        """
        element.send_keys(key)

    def complaints(self) -> list[str]:
        """Return the messages in the page's console since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]


@contextmanager
def started_browser() -> Iterator[Browser]:
    """Start a Chromium that knows nothing of any other."""
    with TemporaryDirectory() as profile:
        options = ChromeOptions()
        options.binary_location = browser() or ""
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        driver = Chrome(options=options, service=ChromeService(program("chromedriver")))
        try:
            yield Browser(driver)
        finally:
            driver.quit()
