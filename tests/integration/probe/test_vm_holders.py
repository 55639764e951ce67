"""Who holds a VM is looked for where somebody may hold one, and only there."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from nested_kvm.evidence.reading import Reading
from nested_kvm.facts.kvm.vm_holders import SOURCE, UNUSED, vm_holders_of
from tests.integration.probe.probing import NOBODY, Probing, each_shell
from tests.support.bundles import bundle_of


def look(folder: Path, modules: Mapping[str, str | None], shell: str = "sh", within: tuple[str, ...] = ()) -> Reading:
    """Probe a machine with these modules and their use counts; None: built into the kernel, which counts nothing."""
    for name, count in modules.items():
        module = folder / "module" / name
        module.mkdir(parents=True)
        if count is not None:
            (module / "refcnt").write_text(count)
    (folder / "module").mkdir(exist_ok=True)
    folder.chmod(0o755)
    probing = Probing(shell, mounts={folder / "module": "/sys/module"}, within=within)
    return probing.run().answer.readings[SOURCE]


@each_shell
@pytest.mark.needs("accounts", "setpriv")
@pytest.mark.parametrize("within", [(), NOBODY])
def test_a_module_that_nobody_uses_holds_no_vm_whoever_looks(
    shell: str, within: tuple[str, ...], tmp_path: Path
) -> None:
    reading = look(tmp_path, {"kvm": "1\n", "kvm_amd": "0\n"}, shell, within)
    assert (reading.text, reading.is_ok) == (UNUSED, True)
    holders = vm_holders_of(bundle_of(reading))
    assert (holders.pids, holders.are_all) == ((), True)
    assert [each.text for each in holders.evidence] == [UNUSED]


@each_shell
@pytest.mark.needs("accounts")
@pytest.mark.parametrize(
    "modules",
    [
        {"kvm": "1", "kvm_amd": "2"},
        {"kvm": "1", "kvm_intel": "0", "kvm_pvm": "1"},
        {"kvm": None, "kvm_amd": None},
        {"kvm": "0"},
        {"kvm_amd": "\n0\n"},
        {"kvm_amd": ""},
        {},
    ],
)
def test_where_one_may_be_held_every_process_is_looked_into(
    shell: str, modules: Mapping[str, str | None], tmp_path: Path
) -> None:
    reading = look(tmp_path, modules, shell)
    assert (reading.text, reading.is_ok) == ("", True)
