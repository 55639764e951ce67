"""What the shutdown of a host does with its guests: whether anything saves them.

`/etc/default/libvirt-guests` and `/etc/libvirt/qemu.conf` decide, by lines such as

    ON_SHUTDOWN=suspend
    auto_shutdown_try_save = "persistent"

Sources: libvirt's tools/libvirt-guests.sh.in (only `shutdown` keeps it from suspending; the script itself sets the
default, suspend upstream and shutdown in Debian) and src/qemu/qemu.conf.in.
"""

import re
from dataclasses import dataclass
from typing import Final

from nested_kvm.evidence import sources
from nested_kvm.evidence.bundle import Bundle
from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.model.verdict import Evidence
from nested_kvm.util.shell_word import shell_word
from nested_kvm.util.text import visible

_ENABLED: Final = re.compile(r"^enabled", re.MULTILINE)
_NOT_ENABLED: Final = re.compile(r"^(disabled|masked|not-found)|(?<!bus: )No such file|does not exist", re.MULTILINE)
_ON_SHUTDOWN: Final = re.compile(r"^[ \t]*(?:export[ \t]+)?ON_SHUTDOWN=(.*)$", re.MULTILINE)
_TRY_SAVE: Final = re.compile(r"^[ \t]*auto_shutdown_try_save[ \t]*=[ \t]*[\"']?(\w*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class HostShutdown:
    """What saves guests when the host is shut down; `unknown` is why that list may not be complete.

    Source: `systemctl is-enabled libvirt-guests`, its files in `/etc/default` or `/etc/sysconfig`, the default in its
    script, and `/etc/libvirt/qemu.conf`.
    """

    saving: tuple[Evidence, ...]
    unknown: str
    evidence: tuple[Evidence, ...]


def host_shutdown_of(bundle: Bundle) -> HostShutdown:
    """What libvirt-guests and libvirt itself are configured to do at shutdown.

    Raises:
        ObservationError: their configuration was not inspected.
    """
    unit, conf = bundle.reading(sources.LIBVIRT_GUESTS), bundle.reading(sources.QEMU_CONF)
    files = [bundle.reading(path) for path in sources.LIBVIRT_GUESTS_SETTINGS]
    is_off = unit.status is Status.ABSENT or bool(_NOT_ENABLED.search(unit.text))
    scripts = [bundle.reading(path) for path in sources.LIBVIRT_GUESTS_SCRIPTS]
    saving = list(_by_unit(files, scripts)) if _ENABLED.search(unit.text) else []
    asked = _last(_TRY_SAVE, conf)
    if asked not in {None, "none"}:
        saving.append(Evidence(sources.QEMU_CONF, f"auto_shutdown_try_save = {asked}"))
    unseen = [reading.source for reading in ([conf] if is_off else [*files, conf]) if not _is_seen(reading)]
    if not is_off and not _ENABLED.search(unit.text) and _by_unit(files, scripts):
        unseen.insert(0, sources.LIBVIRT_GUESTS)
    unknown = f"{', '.join(unseen)} could not be read" if unseen else ""
    return HostShutdown(
        tuple(saving), unknown, (Evidence(sources.LIBVIRT_GUESTS, unit.text.strip() or unit.status.value),)
    )


def _by_unit(files: list[Reading], scripts: list[Reading]) -> tuple[Evidence, ...]:
    """What makes an enabled libvirt-guests save: a value other than `shutdown`, or no value in any file."""
    said = {reading.source: _on_shutdown(reading) for reading in files}
    words = {source: word for source, word in said.items() if word is not None}
    if words:
        saving = {source: word for source, word in words.items() if word != "shutdown"}
        return tuple(Evidence(source, f"ON_SHUTDOWN={_shown(word)}") for source, word in saving.items())
    if not all(_is_seen(reading) for reading in files):
        return ()
    defaults = {reading.source: word for reading in scripts if (word := _on_shutdown(reading)) is not None}
    if defaults and set(defaults.values()) == {"shutdown"}:
        return ()
    source, word = next(iter(defaults.items()), (sources.LIBVIRT_GUESTS, "suspend"))
    return (Evidence(source, f"ON_SHUTDOWN is not set; the default is {word}"),)


def _shown(word: str) -> str:
    return visible(word.replace("\r", "\\r"))


def _on_shutdown(reading: Reading) -> str | None:
    value = _last(_ON_SHUTDOWN, reading)
    word = None if value is None else shell_word(value)
    return value if word is None else word


def _last(pattern: re.Pattern[str], reading: Reading) -> str | None:
    found = pattern.findall(reading.text) if reading.is_ok else []
    return found[-1] if found else None


def _is_seen(reading: Reading) -> bool:
    return reading.is_ok or reading.status is Status.ABSENT
