"""Drawn CPU definitions: what may stand in a domain's XML, and after QEMU's `-cpu`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import quoteattr

from hypothesis import strategies as st

DEFINITIONS: Final = 2000
"""How many domains a usual run draws."""
FLAGS: Final = ("svm", "vmx")
SUB_FEATURES: Final = ("npt", "nrip-save", "svme-addr-chk", "vmx-ept", "vmx-flexpriority")
OTHERS: Final = ("aes", "sse4.2", "x2apic", "hypervisor", "avx512f")
POLICIES: Final = (None, "require", "force", "optional", "disable", "forbid")
MACHINES: Final = ("q35", "pc")


@dataclass(frozen=True)
class Drawn:
    """A domain with a drawn `<cpu>`."""

    machine: str
    cpu: str

    @property
    def xml(self) -> str:
        """The whole domain."""
        return (
            "<domain type='kvm'><name>drawn</name><memory unit='MiB'>64</memory><vcpu>1</vcpu>"
            f"<os><type arch='x86_64' machine={quoteattr(self.machine)}>hvm</type></os><features><acpi/></features>"
            f"{self.cpu}<devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices></domain>"
        )


def domains(models: Sequence[str]) -> st.SearchStrategy[Drawn]:
    """Domains with every kind of `<cpu>` that libvirt's schema has, and some that it refuses."""
    named = st.builds(
        _element,
        mode=st.sampled_from((None, "custom")),
        attributes=_attributes({"match": ("minimum", "exact", "strict"), "check": ("none", "partial", "full")}),
        model=st.sampled_from(models),
        fallback=st.sampled_from((None, "allow", "forbid")),
        vendor=st.sampled_from((*[None] * 8, "AMD", "Intel")),
        features=_features(),
    )
    copied = st.builds(
        _element,
        mode=st.sampled_from(("host-model", "host-passthrough", "maximum")),
        attributes=_attributes({"check": ("none", "partial", "full"), "migratable": ("on", "off")}),
        features=_features(),
    )
    return st.builds(Drawn, st.sampled_from(MACHINES), st.one_of(named, copied, st.just("")))


def _attributes(values: dict[str, tuple[str, ...]]) -> st.SearchStrategy[dict[str, str | None]]:
    return st.fixed_dictionaries({name: st.sampled_from((None, *words)) for name, words in values.items()})


def _features() -> st.SearchStrategy[dict[str, str | None]]:
    names = st.one_of(st.sampled_from(FLAGS), st.sampled_from((*FLAGS, *SUB_FEATURES, *OTHERS)))
    return st.dictionaries(names, st.sampled_from(POLICIES), max_size=4)


def _element(
    *,
    mode: str | None,
    attributes: dict[str, str | None],
    features: dict[str, str | None],
    model: str | None = None,
    fallback: str | None = None,
    vendor: str | None = None,
) -> str:
    words = "".join(
        f" {name}={quoteattr(value)}" for name, value in {"mode": mode, **attributes}.items() if value is not None
    )
    inside = "" if model is None else f"<model{_optional('fallback', fallback)}>{model}</model>"
    inside += "" if vendor is None else f"<vendor>{vendor}</vendor>"
    inside += "".join(
        f"<feature name={quoteattr(name)}{_optional('policy', policy)}/>" for name, policy in features.items()
    )
    return f"<cpu{words}>{inside}</cpu>"


def _optional(name: str, value: str | None) -> str:
    return "" if value is None else f" {name}={quoteattr(value)}"


def arguments(models: Sequence[str]) -> st.SearchStrategy[tuple[str, ...]]:
    """QEMU's arguments that decide the CPU: `-cpu` with flags in every spelling and order, `-global`, `-machine`."""
    words = st.one_of(
        st.sampled_from([f"{sign}{flag}" for sign in "+-" for flag in FLAGS]),
        st.builds("{}={}".format, st.sampled_from((*FLAGS, "npt")), st.sampled_from(("on", "off", "true", "yes", "n"))),
        st.sampled_from(("+aes", "x2apic=off", "check", "enforce=off")),
    )
    cpu = st.builds(
        lambda model, given: ",".join([model, *given]), st.sampled_from(models), st.lists(words, max_size=4)
    )
    setting = st.builds(
        "{}.{}={}".format,
        st.sampled_from(("cpu", "EPYC-x86_64-cpu", "max-x86_64-cpu")),
        st.sampled_from(FLAGS),
        st.sampled_from(("on", "off")),
    )
    return st.builds(
        lambda machine, cpus, settings: (
            *("-machine", machine),
            *(word for each in cpus for word in ("-cpu", each)),
            *(word for each in settings for word in ("-global", each)),
        ),
        st.sampled_from(("q35", "pc", "pc-i440fx-2.1")),
        st.lists(cpu, max_size=2),
        st.lists(setting, max_size=1),
    )
