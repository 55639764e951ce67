"""The real kmod, given a scenario's modprobe.d and command line, answers what the scenario says it does."""

from collections.abc import Iterator

import pytest

from nested_kvm.evidence.reading import Reading, Status
from nested_kvm.facts.modprobe.show_depends import ShowDepends
from tests.integration.kmod.configurations import Case, Entry
from tests.integration.kmod.module_tree import DIRECTORIES, ModuleTree
from tests.support.scenario import scenarios

pytestmark = pytest.mark.needs("kmod")

_KINDS = {
    Status.OK: "file",
    Status.DEVICE: "device",
    Status.DANGLING: "dangling",
    Status.DIRECTORY: "directory",
}
_QUESTION = "modprobe --show-depends "
_ASKED = {"kvm_amd", "kvm_intel"}
"""What the tree is asked about as a module that can be loaded."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> ModuleTree:
    """One entry into the root answers for all scenarios."""
    made = ModuleTree(tmp_path_factory.mktemp("scenarios") / "root")
    for name, readings, _ in answered():
        _case(readings).write(made.cases / name)
    assert made.ask().returncode == 0
    return made


def answered() -> Iterator[tuple[str, dict[str, Reading], ShowDepends]]:
    """The scenarios on x86 in which kmod answered, and did not say that the module is built in."""
    for name, scenario in scenarios().items():
        readings = scenario.all_readings()
        answers = [each for source, each in readings.items() if source.startswith(_QUESTION) and each.is_ok]
        for answer in answers if "/etc/modprobe.d" in readings else []:
            said = ShowDepends.parse(answer.source.removeprefix(_QUESTION), answer.text)
            if not said.is_built_in and said.module in _ASKED:
                yield name, readings, said


@pytest.mark.parametrize(
    ("name", "said"),
    [(name, said) for name, _, said in answered()],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_kmod_answers_what_the_scenario_says(tree: ModuleTree, name: str, said: ShowDepends) -> None:
    assert ShowDepends.parse(said.module, "\n".join(_of(said.module, tree.answer(name, "loads")))) == said


def _of(module: str, answer: str) -> Iterator[str]:
    """Keep the module's own line: the tree is asked about several modules, in a fixed order."""
    lines = answer.split("\n")
    yield lines[0] if module == "kvm_amd" else lines[1]


def _case(readings: dict[str, Reading]) -> Case:
    folders: dict[str, dict[str, Entry]] = {name: {} for name in DIRECTORIES}
    for name, directory in DIRECTORIES.items():
        for source, reading in readings.items():
            if source.startswith(f"{directory}/") and reading.status in _KINDS:
                entry = Entry(_KINDS[reading.status], f"{reading.text}\n".encode())
                folders[name][source.rpartition("/")[2]] = entry
    return Case(folders, f"{readings['/proc/cmdline'].text}\n".encode())
