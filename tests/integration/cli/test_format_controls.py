"""Characters that reverse, hide or break what people read: raw in no report, and read back whole."""

import json
import unicodedata

import pytest
from ruamel.yaml import YAML

from tests.support.recorded import record
from tests.support.suite import REPORTS, SuiteRun, run_suite

CONTROLS = "".join(
    chr(code)
    for code in (
        *range(0x7F, 0xA0),
        *(0xAD, 0x61C, 0x180E, 0xFEFF, 0xFFF9, 0xE0001, 0xE0041),
        *range(0x200B, 0x2010),
        *range(0x2028, 0x202F),
        *range(0x2060, 0x2070),
    )
)
"""C1 and Unicode's format characters: bidirectional marks, overrides and isolates, invisible ones, line separators."""
NAME = f"kvm-{CONTROLS}a"
READINGS = {
    "/etc/modprobe.d/kvm.conf": f"# {CONTROLS}\noptions kvm_amd nested=y",
    "modprobe --show-depends kvm_amd": "insmod /lib/modules/6.1.0-56/kvm-amd.ko nested=y",
    "/etc/libvirt/qemu.conf": f'auto_shutdown_try_save = "persistent" {CONTROLS}',
    "dmesg": f"kvm: disabled by bios {CONTROLS}",
    "/sys/class/dmi/id/sys_vendor": CONTROLS,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> SuiteRun:
    folder = tmp_path_factory.mktemp("controls")
    file = record(folder / "evidence", "kvm-a", readings=READINGS)
    saved = json.loads(file.read_text())
    saved["target"]["name"] = NAME
    file.write_text(json.dumps(saved))
    record(folder / "evidence", "refused", refusal=f"no {CONTROLS}")
    waiver = {"control": "L0-OPS-01", "target": "*", "reason": "why", "approver": "who", "permanent": True}
    (folder / "waivers.yaml").write_text(json.dumps({"waivers": [waiver]}))
    words = [f"--evidence={folder}/evidence", f"--waivers={folder}/waivers.yaml", "-vv", "-rA"]
    before = run_suite(*words, report_dir=folder / "before")
    return run_suite(*words, f"--baseline={before.reports}/results.json", "--gate", report_dir=folder / "reports")


def hidden_in(text: str) -> set[str]:
    """The characters that are not printed, but for the end of a line and a tab."""
    return {f"U+{ord(each):04X}" for each in text if not each.isprintable()} - {"U+000A", "U+0009"}


def test_the_characters_are_those_that_are_not_printed() -> None:
    assert {unicodedata.category(each) for each in CONTROLS} == {"Cc", "Cf", "Zl", "Zp", "Cn"}
    assert not any(each.isprintable() for each in CONTROLS)


@pytest.mark.parametrize("name", sorted({*REPORTS, "remediation", "evidence", "terminal"}))
def test_none_is_raw_in_any_report(run: SuiteRun, name: str) -> None:
    assert run.status == 1
    if name == "terminal":
        texts = {name: run.text}
    else:
        place = run.reports / name
        files = [place] if place.is_file() else sorted(place.iterdir())
        texts = {path.name: path.read_bytes().decode() for path in files}
    assert texts
    assert {file: hidden for file, text in texts.items() if (hidden := hidden_in(file + text))} == {}


def test_the_playbook_still_names_the_machine(run: SuiteRun) -> None:
    """Ansible compares it with its inventory: an escape stands for the character."""
    (play,) = YAML(typ="safe").load(run.reports / "remediation" / "playbook.yaml")
    assert set(play["vars"]["nested_kvm_scripts"]) == {NAME}
    assert {each["target"] for each in run.document["results"]} == {NAME, "refused"}
