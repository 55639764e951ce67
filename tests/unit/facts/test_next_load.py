import pytest

from nested_kvm.evidence.reading import Status
from nested_kvm.facts.kernel.cmdline import refused_modules
from nested_kvm.facts.modprobe.load_outcome import Authority, LoadOutcome
from nested_kvm.facts.modprobe.show_depends import ShowDepends
from tests.support.next_loads import CONF, DIRECTORY, INTEL, Host, conf


@pytest.mark.parametrize(
    ("host", "outcome", "authority", "source"),
    [
        (Host(files=conf("options kvm_amd nested=1\n")), LoadOutcome.ON, Authority.FILE, f"{CONF}:1"),
        (Host(files=conf("#x\noptions kvm-amd nested=0\n")), LoadOutcome.OFF, Authority.FILE, f"{CONF}:2"),
        (Host(files=conf("options kvm_amd nested=y\n")), LoadOutcome.FAILS, Authority.FILE, f"{CONF}:1"),
        (
            Host(files=conf("options kvm_amd nested=y\noptions kvm_amd nested=1\n")),
            LoadOutcome.FAILS, Authority.FILE, f"{CONF}:1",
        ),
        (
            Host("kvm_intel", conf("options kvm_intel nested=y\n"), modinfo=INTEL),
            LoadOutcome.ON, Authority.FILE, f"{CONF}:1",
        ),
        (
            Host(files=conf("options kvm_amd nested=1\n"), cmdline="kvm-amd.nested=0"),
            LoadOutcome.OFF, Authority.COMMAND_LINE, "/proc/cmdline",
        ),
        (Host(files=conf("options kvm_amd nested=1\\")), LoadOutcome.FAILS, Authority.FILE, f"{CONF}:1"),
        (Host(files=conf("options kvm_amd nested=1\r\n")), LoadOutcome.ON, Authority.FILE, f"{CONF}:1"),
        (Host(), LoadOutcome.ON, Authority.DEFAULT, "kernel default"),
        (Host("kvm_intel", modinfo=INTEL), LoadOutcome.ON, Authority.DEFAULT, "kernel default"),
        (
            Host("kvm_intel", modinfo=INTEL, release="4.19.0-27-amd64"),
            LoadOutcome.OFF, Authority.DEFAULT, "kernel default",
        ),
        (
            Host("kvm_intel", modinfo=INTEL, release="4.18.0-553.el8_10.x86_64"),
            LoadOutcome.UNKNOWN, Authority.DEFAULT, "kernel default",
        ),
        (Host(files=conf("options kvm_amd nested=1\n"), modinfo=None), LoadOutcome.ON, Authority.FILE, f"{CONF}:1"),
        (
            Host(files=conf("options kvm_amd nested=y\n"), modinfo=None),
            LoadOutcome.UNKNOWN, Authority.FILE, f"{CONF}:1",
        ),
        (
            Host(oracle=f"insmod {DIRECTORY}/kvm-amd.ko.xz nested=0 \n"),
            LoadOutcome.OFF, Authority.UNTRACED, "modprobe --show-depends kvm_amd",
        ),
        (Host(oracle="builtin kvm_amd\n"), LoadOutcome.ON, Authority.DEFAULT, "kernel default"),
        (
            Host(oracle="builtin kvm_amd\n", cmdline="kvm-amd.nested=0", files=conf("options kvm_amd nested=1\n")),
            LoadOutcome.OFF, Authority.COMMAND_LINE, "/proc/cmdline",
        ),
        (
            Host(oracle="builtin kvm_amd\n", cmdline="kvm-amd.nested=0 kvm_amd.nested=y"),
            LoadOutcome.OFF, Authority.COMMAND_LINE, "/proc/cmdline",
        ),
        (
            Host(oracle="builtin kvm_amd\n", cmdline="quiet -- kvm-amd.nested=0"),
            LoadOutcome.ON, Authority.DEFAULT, "kernel default",
        ),
    ],
)  # fmt: skip
def test_the_value_and_who_says_it(host: Host, outcome: LoadOutcome, authority: Authority, source: str) -> None:
    load = host.next_load()
    assert (load.outcome, load.authority, load.origin[0].source) == (outcome, authority, source)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (Host(status=Status.MISSING), "kmod is not installed"),
        (Host(status=Status.FAILED, oracle="modprobe: FATAL: Module kvm_amd not found"), "does not find the module"),
        (Host(status=Status.TIMED_OUT), "did not answer"),
        (Host(files={CONF: Status.UNREADABLE}), f"may not read: {CONF}"),
        (Host(files={CONF: Status.FAILED}), f"was not inspected: {CONF}"),
        (Host(modinfo="npt: (bool)\n"), "has no parameter nested"),
        (Host(oracle="", files=conf("alias kvm_amd off\n")), "an alias redirects it"),
        (Host(oracle=""), "does not name it"),
        (Host("kvm_intel", modinfo=INTEL, release=""), "default of kvm_intel"),
    ],
)
def test_what_cannot_be_told_says_why(host: Host, reason: str) -> None:
    load = host.next_load()
    assert load.outcome is LoadOutcome.UNKNOWN
    assert load.nested is None
    assert reason in load.reason


@pytest.mark.parametrize(
    ("oracle", "is_blocked"),
    [
        ("install /bin/false \n", True),
        ("install /sbin/modprobe --ignore-install kvm_amd nested=1 \n", False),
        (f"install /bin/false \ninsmod {DIRECTORY}/kvm-amd.ko nested=1 \n", True),
        ("install /bin/false $CMDLINE_OPTS nested=1 \n", True),
        ("install /bin/false # by hand; modprobe -i kvm_amd \n", True),
        ("install /bin/false || /sbin/modprobe --ignore-install kvm_amd \n", False),
        ("install true && /sbin/modprobe -i kvm_amd nested=1 \n", False),
        ("install : ; /sbin/modprobe -i kvm_amd \n", False),
        ("install /bin/true; /sbin/modprobe -i kvm_amd \n", False),
        ("install /bin/true $(/sbin/modprobe -i kvm_amd) \n", False),
        ("install /bin/true `/sbin/modprobe -i kvm_amd` \n", False),
        ("install /bin/true & modprobe -i kvm_amd \n", False),
    ],
)
def test_an_install_command_takes_the_place_of_a_load(oracle: str, *, is_blocked: bool) -> None:
    load = Host(oracle=oracle, files=conf("install kvm_amd /bin/false\n")).next_load()
    assert load.outcome is LoadOutcome.COMMAND
    assert load.is_blocked is is_blocked


@pytest.mark.parametrize(
    ("host", "is_explicit"),
    [
        (Host(files=conf("options kvm_amd nested=1\n")), True),
        (Host(), False),
        (Host(cmdline="kvm_amd.nested=1"), False),
        (Host(cmdline="kvm_amd.nested=1", oracle="builtin kvm_amd\n"), True),
        (Host(oracle=f"insmod {DIRECTORY}/kvm-amd.ko.xz nested=1 \n"), None),
    ],
)
def test_who_says_it_explicitly(host: Host, *, is_explicit: bool | None) -> None:
    assert host.next_load().is_explicit is is_explicit


INSERTED = f"insmod {DIRECTORY}/kvm.ko \ninsmod {DIRECTORY}/kvm-amd.ko nested=1 \n"
DEPENDS = "filename: /lib/kvm-amd.ko\ndepends: kvm,ccp\nparm: nested: (int)\nfilename: /lib/kvm.ko\ndepends:\n"


@pytest.mark.parametrize(
    ("lines", "oracle", "every", "outcome"),
    [
        ("install other /bin/false", f"install /bin/false \n{INSERTED}", DEPENDS, LoadOutcome.ON),
        ("install other /bin/true", f"{INSERTED}install /bin/true \n", DEPENDS, LoadOutcome.ON),
        ("install ccp /bin/false", f"install /bin/false \n{INSERTED}", DEPENDS, LoadOutcome.COMMAND),
        (
            "install o* /bin/false\ninstall c* /bin/false",
            f"install /bin/false \n{INSERTED}",
            DEPENDS,
            LoadOutcome.COMMAND,
        ),
        ("install * /bin/false", f"install /bin/false \n{INSERTED}", DEPENDS, LoadOutcome.COMMAND),
        ("install other /bin/false", f"install /bin/false \n{INSERTED}", None, LoadOutcome.COMMAND),
        ("install other /bin/false", f"install /sbin/x \n{INSERTED}", DEPENDS, LoadOutcome.COMMAND),
        ("install other /bin/false", "install /bin/false \n", DEPENDS, LoadOutcome.COMMAND),
    ],
)
def test_a_command_in_place_of_a_soft_dependency_does_not_matter(
    lines: str, oracle: str, every: str | None, outcome: LoadOutcome
) -> None:
    text = f"softdep kvm_amd pre: other\noptions kvm_amd nested=1\n{lines}\n"
    load = Host(files=conf(text), oracle=oracle, every=every).next_load()
    assert load.outcome is outcome


def test_the_lines_that_lose_are_named() -> None:
    host = Host(files=conf("options kvm_amd nested=1\noptions kvm_amd nested=0\n"), cmdline="kvm_amd.nested=1")
    assert [each.source for each in host.next_load().overridden] == [f"{CONF}:1", f"{CONF}:2"]


def test_the_kernel_refuses_modules_by_their_own_name() -> None:
    assert refused_modules("module_blacklist=x module_blacklist=kvm_amd,kvm-intel") == {"kvm_amd", "kvm-intel"}
    assert refused_modules("quiet -- module_blacklist=kvm_amd") == frozenset()


def test_the_answer_of_modprobe_is_read_by_the_modules_name() -> None:
    text = "insmod /lib/kvm.ko.zst ignore_msrs=1 \ninsmod /lib/kvm-amd.ko.zst nested=1 \ninsmod /lib/x.ko \nnoise\n"
    assert ShowDepends.parse("kvm-amd", text) == ShowDepends("kvm_amd", "nested=1")
