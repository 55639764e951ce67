"""`nested-kvm init`: an inventory to fill in, a check of one's own, and a CI job, where none of them is yet."""

import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final

from nested_kvm.command.schema import schema
from nested_kvm.errors import UsageError
from nested_kvm.util.home import HOME

INVENTORY: Final = "inventory.yaml"
SCHEMA: Final = "inventory.schema.json"
CHECK: Final = "checks/site/test_example.py"
_HEAD: Final = f"""\
# yaml-language-server: $schema={SCHEMA}
# The fleet. Audit it with: nested-kvm audit --inventory={INVENTORY}
policy:
  nested: required            # required: must be able to run virtual machines; forbidden: must not

hosts:
  localhost:                  # this machine, so that the file can be tried at once; replace it by your hosts
    address: local://
    level: auto

# Every key there is, in a fleet that is made up:
#
"""
_FORGES: Final = {
    "github": (("github.com",), ".github", ".github/workflows/nested-kvm.yml"),
    "forgejo": (("codeberg.org", "forgejo", "gitea"), ".forgejo", ".forgejo/workflows/nested-kvm.yml"),
    "gitlab": (("gitlab",), ".gitlab-ci.yml", "nested-kvm.gitlab-ci.yml"),
}
"""By forge: what a remote's address contains, what a checkout has, and the CI job's file."""
_JOBS: Final = {"github": "job.github.yml", "forgejo": "job.github.yml", "gitlab": "job.gitlab.yml"}


def init(folder: Path) -> int:
    """Write the files, print their names, and return the exit status.

    Raises:
        UsageError: one of them exists, or cannot be written; then none is written.
    """
    wanted = dict(_files(folder))
    present = [name for name in wanted if (folder / name).exists()]
    if present:
        raise UsageError(f"{folder / present[0]} exists: nothing was written")
    for name, text in wanted.items():
        _write(folder / name, text)
        sys.stdout.write(f"wrote {folder / name}\n")
    job = next((job for _, _, job in _FORGES.values() if job in wanted), None)
    if job is None:
        sys.stdout.write("no forge was recognized, so there is no CI job: see `nested-kvm gate --help`\n")
    sys.stdout.write(f"next: nested-kvm audit --inventory={folder / INVENTORY}\n")
    return 0


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    example = (HOME / "inventories" / "example.yaml").read_text(encoding="utf-8")
    yield INVENTORY, _HEAD + "".join(f"# {line}".rstrip() + "\n" for line in _without_head(example))
    yield SCHEMA, schema("inventory")
    check = (HOME / "checks" / "site" / "example.py").read_text(encoding="utf-8")
    _, _, body = check.partition("\n")
    yield CHECK, f'"""A check of this site: change it, or delete it."""\n{body}'
    forge = _forge(folder)
    if forge is not None:
        job = files(__package__).joinpath(_JOBS[forge]).read_text(encoding="utf-8")
        yield _FORGES[forge][2], job


def _without_head(example: str) -> list[str]:
    """The lines of the example from its first key on."""
    lines = example.splitlines()
    return lines[next(number for number, line in enumerate(lines) if line.startswith("policy:")) :]


def _forge(folder: Path) -> str | None:
    """The forge of the checkout that the folder is in: by its remotes, else by the CI that it has already."""
    root = next((each for each in (folder.absolute(), *folder.absolute().parents) if (each / ".git").exists()), None)
    if root is None:
        return None
    try:
        config = (root / ".git" / "config").read_text(encoding="utf-8", errors="replace")
    except OSError:
        config = ""
    remotes = [line.partition("=")[2] for line in config.splitlines() if line.strip().startswith("url")]
    for forge, (names, _, _) in _FORGES.items():
        if any(name in remote for name in names for remote in remotes):
            return forge
    return next((forge for forge, (_, own, _) in _FORGES.items() if (root / own).exists()), None)


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise UsageError(f"{error.filename or path}: {error.strerror}") from None
