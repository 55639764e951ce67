"""How big the report of a large fleet is, and how long a browser takes until it can be used.

    python -m bench.report [HOSTS]

Evaluates the evidence of 1,000 hosts with a guest each, 25 results a host, opens the report in a new Chromium five
times, searches in it, and prints seconds and megabytes. A busy machine is slower: check its load first.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.support.browser import Browser, started_browser
from tests.support.large_fleet import write_fleet
from tests.support.suite import ROOT, command_line, environment

HOSTS = 1000
TIMES = 5


def main(hosts: int) -> None:
    """Build the report, and measure it in the browser."""
    with TemporaryDirectory() as folder:
        page = report(Path(folder), hosts)
        print(f"size: {page.stat().st_size / 1e6:.1f} MB")
        looks = [look(page) for _ in range(TIMES)]
    for name, seconds in zip(("to open", "to search"), zip(*looks, strict=True), strict=True):
        print(f"{name}: {median(seconds):.2f} s (of {TIMES}: {min(seconds):.2f} to {max(seconds):.2f})")
    print(f"load of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")


def report(folder: Path, hosts: int) -> Path:
    """Judge a fleet as a user does."""
    write_fleet(folder / "evidence", hosts)
    started = time.monotonic()
    words = command_line(f"--evidence={folder / 'evidence'}", report_dir=folder / "reports")
    subprocess.run(words, cwd=ROOT, env=environment(folder), stdout=subprocess.DEVNULL, check=False)  # it has findings
    print(f"{hosts} hosts: judged and reported in {time.monotonic() - started:.0f} s")
    return folder / "reports" / "latest" / "report.html"


def look(page: Path) -> tuple[float, float]:
    """Open a report in a new browser, until it is drawn, and search for a host, until the answer is drawn."""
    with started_browser() as browser:
        browser.open(Path(os.devnull))
        started = time.monotonic()
        browser.open(page)
        opened = time.monotonic()
        search(browser)
        return opened - started, time.monotonic() - opened


def search(browser: Browser) -> None:
    """Ask for one host."""
    browser.one("#words").send_keys("kvm-0010")
    browser.until("document.getElementById('shown').textContent !== ''")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else HOSTS)
