"""The wheel, built from the checkout and installed as an ordinary user does, in a folder with a space in its name."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from pwd import getpwnam
from tempfile import TemporaryDirectory

import pytest

ROOT = Path(__file__).parents[2]
USER = getpwnam("nobody").pw_uid
"""The uid of an account that owns nothing but its folder; ssh wants it to have a name."""
SECONDS = 300
_PIP = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CERT", "PIP_DEFAULT_TIMEOUT")


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel, and the user that it belongs to."""

    home: Path
    """With a space in its name; everything below belongs to the user."""
    wheel: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def demo(self) -> tuple[str, ...]:
        """The command line of `make demo`, for files that the user may read."""
        fleet = self.home / "fleet"
        return (
            f"--inventory={fleet}/inventory.yaml",
            f"--evidence={fleet}/evidence",
            f"--waivers={fleet}/waivers.yaml",
            f"--baseline={fleet}/baseline.json",
        )

    @property
    def programs(self) -> Path:
        return self.home / "venv" / "bin"

    def folder(self, name: str, files: Mapping[str, str] | None = None) -> Path:
        """Make a folder of the user's, with these files."""
        folder = self.home / name
        folder.mkdir()
        for path, text in (files or {}).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        give(folder)
        return folder

    def run(self, folder: Path, program: str, *words: object, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment as the user, in a folder."""
        return run_as_user([self.programs / program, *words], folder, {**self.environment, **variables})

    @property
    def environment(self) -> dict[str, str]:
        # Not the tests' own: a suite that is tested must not see their pytest.
        return {"HOME": str(self.home), "PATH": f"{self.programs}:/usr/bin:/bin", "COLUMNS": "120", **self.variables}


def give(folder: Path) -> None:
    """Give a folder to the user, where that can be done."""
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{USER}:{USER}", str(folder)], check=True)


def run_as_user(
    command: Sequence[object], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a command without root's rights; a plain user runs it as it is."""
    words = [str(word) for word in command]
    if os.geteuid() == 0:
        # env starts the program: what setpriv itself starts is found with root's rights.
        words = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--", "env", *words]
    return subprocess.run(
        words,
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def build(folder: Path, what: str = "wheel", source: Path = ROOT) -> Path:
    """Build the wheel or the sdist with the locked hatchling, and return it."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", what, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = folder.glob(f"nested_kvm_compliance-*{'.whl' if what == 'wheel' else '.tar.gz'}")
    return built


@pytest.fixture(scope="session")
def installed() -> Iterator[Installed]:
    """The wheel in a fresh environment, with the locked releases of what it needs."""
    # Not pytest's own directory: the user must be able to enter it.
    with TemporaryDirectory(prefix="installed-") as name:
        Path(name).chmod(0o755)
        home = Path(name) / "an ordinary user"
        home.mkdir()
        wheel = build(home)
        shutil.copy(ROOT / "requirements.lock", home)
        shutil.copytree(ROOT / "examples" / "fleet", home / "fleet")
        give(home)
        yield _installed(home, wheel)


def _installed(home: Path, wheel: Path) -> Installed:
    found = Installed(home, wheel)
    variables = {name: value for name, value in os.environ.items() if name in _PIP}
    _step(run_as_user([_python(home), "-m", "venv", "venv"], home, found.environment))
    pip = [found.programs / "pip", "install", "--quiet", "--no-cache-dir", "--disable-pip-version-check"]
    for words in (["--require-hashes", "-r", "requirements.lock"], ["--no-deps", wheel]):
        _step(run_as_user([*pip, *words], home, {**found.environment, **variables}))
    return found


def _python(home: Path) -> Path:
    """Find a Python that the user may run: the tests' own may be in root's home."""
    own = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    test = "import ensurepip, sys; sys.exit(sys.version_info < (3, 11))"
    for python in (own, Path("/usr/bin/python3")):
        try:
            if run_as_user([python, "-c", test], home, {}).returncode == 0:
                return python
        except OSError:
            continue
    reason = "no Python 3.11 or newer with ensurepip that an ordinary user may run"
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _step(answer: subprocess.CompletedProcess[str]) -> None:
    if answer.returncode == 0:
        return
    reason = f"the wheel could not be installed: {answer.stderr.strip()[-500:]}"
    pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)
