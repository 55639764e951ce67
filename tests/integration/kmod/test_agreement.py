"""The explainer and the real kmod say the same of every generated configuration."""

import os
import re
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from typing_extensions import override

from nested_kvm.facts.modprobe.config import ModprobeConfiguration, normalised
from nested_kvm.facts.modprobe.config_line import Directive
from nested_kvm.facts.modprobe.kmod import Kmod
from tests.integration.kmod.configurations import Case, cases
from tests.integration.kmod.module_tree import BUILT_IN, MODULES, QUESTIONS, ModuleTree

pytestmark = pytest.mark.needs("kmod")

BATCH = 50
_SOFTDEP = re.compile(r"^(softdep [^ ]+) .*$", re.MULTILINE)
EXAMPLES = int(os.environ.get("NESTED_KVM_KMOD_EXAMPLES", "400"))


class Batch(tuple[Case, ...]):
    """Cases for one entry into the root; shown as a number, for the one that fails shows itself."""

    __slots__ = ()

    @override
    def __repr__(self) -> str:
        return f"<{len(self)} cases>"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> ModuleTree:
    return ModuleTree(tmp_path_factory.mktemp("kmod") / "root")


@pytest.fixture(scope="module")
def kmod(tree: ModuleTree) -> Kmod:
    return Kmod.parse(tree.ask("/sbin/modprobe --version").stdout.decode())


@settings(
    max_examples=max(1, EXAMPLES // BATCH),
    deadline=None,
    # The case that fails is small as it is; to make the whole batch smaller would take minutes.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(batch=st.lists(cases, min_size=BATCH, max_size=BATCH).map(Batch))
def test_every_configuration_is_read_as_kmod_reads_it(tree: ModuleTree, kmod: Kmod, batch: Batch) -> None:
    tree.clear()
    for number, case in enumerate(batch):
        case.write(tree.cases / str(number))
    assert tree.ask().returncode == 0
    for number, case in enumerate(batch):
        configuration = ModprobeConfiguration.parse(case.readings(), case.cmdline_text, kmod)
        merged = "".join(f"{line}\n" for line in _merged(configuration))
        assert merged == _configuration(tree.answer(str(number), "config")), case
        loads = "".join(line for module in QUESTIONS for line in _loads(configuration, module, tree))
        assert loads == tree.answer(str(number), "loads"), case


def _configuration(answer: str) -> str:
    """Take what stands before the indexes; of softdep lines the module, for kmod writes the rest in its own words."""
    return _SOFTDEP.sub(r"\1", answer.partition("\n# End of configuration files")[0])


def _merged(configuration: ModprobeConfiguration) -> Iterator[str]:
    for directive in ("blacklist", "install", "remove", "alias", "options"):
        for line in configuration.obeyed(Directive(directive)):
            yield f"{directive} {line.subject}" + (f" {line.argument}" if directive != "blacklist" else "")
    for line in configuration.obeyed(Directive.SOFTDEP):
        yield f"softdep {line.subject}"


def _loads(configuration: ModprobeConfiguration, name: str, tree: ModuleTree) -> Iterator[str]:
    """Say what `modprobe --show-depends` prints for a name, from the configuration alone."""
    aliases = configuration.aliases_of(name)
    for alias in aliases:
        if not configuration.blacklisting(alias.argument):
            yield _load(configuration, alias.argument, alias.subject, tree)
    if not aliases:
        yield _load(configuration, normalised(name), None, tree)


def _load(configuration: ModprobeConfiguration, module: str, alias: str | None, tree: ModuleTree) -> str:
    options = configuration.options_for(module, alias).text
    options += " " if options else ""
    command = configuration.install_for(module)
    if command is not None:
        return f"install {command.argument} {options}\n"
    if module == BUILT_IN:
        return f"builtin {module}\n"
    files = {normalised(each): each for each in MODULES}
    return f"insmod {tree.module_path(files[module])} {options}\n" if module in files else ""
