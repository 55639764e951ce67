"""The Debian mirrors that the lab's packages come from: this machine's own, or the one that LAB_MIRROR names."""

import os
import subprocess

from lab.errors import BuildError

RELEASES = ("bullseye", "bookworm", "trixie", "forky", "sid")
WITHOUT_SECURITY = ("sid",)
"""A mirror's copy of it may also be older than its own Valid-Until, which ends a week after it was made."""


def sources(release: str, *, with_security: bool = True) -> str:
    """Return the lines for apt's sources.list: main, and its security updates where the mirrors have them.

    Raises:
        BuildError: apt knows no Debian mirror.
    """
    if "LAB_MIRROR" in os.environ:
        return f"deb {os.environ['LAB_MIRROR']} {release} main\n"
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT) $(ORIGIN)"]
    listing = subprocess.run([*command, "Created-By: Packages"], check=True, capture_output=True, text=True).stdout
    lines = {line for target in listing.splitlines() if (line := _source(target.split(), release))}
    lines = {line for line in lines if with_security or f"{release}-security" not in line.split()}
    if not lines:
        raise BuildError("apt has no Debian mirror configured; name one: LAB_MIRROR=URI")
    return "\n".join(sorted(lines)) + "\n"


def _source(target: list[str], release: str) -> str | None:
    """Translate one of apt's index targets to the wanted release: main and its security updates only."""
    uri, found, component, *origin = target
    name, _, kind = found.partition("-")
    if component != "main" or origin not in ([], ["Debian"]) or kind not in ("", "security") or name not in RELEASES:
        return None
    if release in WITHOUT_SECURITY:
        return None if kind else f"deb [check-valid-until=no] {uri} {release} main"
    return f"deb {uri} {release}{'-security' if kind else ''} main"
