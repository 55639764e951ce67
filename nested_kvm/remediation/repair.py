"""The remediation steps that a script may run once no guest is running; the rest is left to people.

A finding without steps needs a decision: which line was intended, how the firmware is set, what else uses the CPU.
"""

import re
import shlex
from collections.abc import Callable
from typing import Final

from nested_kvm.errors import ObservationError
from nested_kvm.fleet.subject import Subject
from nested_kvm.model.cause import Cause
from nested_kvm.model.verdict import Finding
from nested_kvm.remediation import device, host, nested_value
from nested_kvm.remediation.domain import cpu_arguments
from nested_kvm.remediation.fixed_first import opened_by
from nested_kvm.remediation.names import flag_of, is_built_in, module_of
from nested_kvm.results.repair_step import Phase, Step

_Repair = Callable[[Subject, Finding], tuple[Step, ...]]


def repair(subject: Subject, finding: Finding) -> tuple[Step, ...]:
    """The script steps that fix a finding; empty where a person has to decide."""
    chosen = _REPAIRS.get(finding.cause)
    return () if chosen is None or opened_by(subject, finding.cause) else chosen(subject, finding)


def _persist(subject: Subject, finding: Finding) -> tuple[Step, ...]:
    changes = [line for line in nested_value.persist(subject, finding) if line.startswith(("printf ", "sed "))]
    if not changes:
        return ()
    return *(Step(Phase.FILES, line) for line in changes), _next_load_is_right(subject)


def _fix_value(subject: Subject, finding: Finding) -> tuple[Step, ...]:
    changes = [line for line in nested_value.fix_value(subject, finding) if line.startswith("sed ")]
    if not changes:
        return ()
    return *(Step(Phase.FILES, line) for line in changes), _next_load_is_right(subject)


def _next_load_is_right(subject: Subject) -> Step:
    """Check with kmod before unloading: a module that cannot be loaded again is worse than any finding."""
    return Step(Phase.FILES, f"next_load_is {module_of(subject)} {subject.policy.either(1, 0)}")


def _reload(subject: Subject, _finding: Finding) -> tuple[Step, ...]:
    if is_built_in(subject):
        return ()
    module, value = module_of(subject), subject.policy.either("[1Y]", "[0N]")
    parameter = f"/sys/module/{module}/parameters/nested"
    complaint = shlex.quote(f"{module} was reloaded, but {parameter} does not match the policy")
    return (
        _next_load_is_right(subject),
        Step(Phase.MODULE, f"unload {module}\nmodprobe {module}"),
        Step(Phase.MODULE, f"grep -qx '{value}' {parameter} || refuse {complaint}"),
    )


def _persist_and_reload(subject: Subject, finding: Finding) -> tuple[Step, ...]:
    if not _persist(subject, finding):
        return ()
    return *_persist(subject, finding), *_reload(subject, finding)


def _close_device(subject: Subject, finding: Finding) -> tuple[Step, ...]:
    return tuple(Step(Phase.FILES, line) for line in device.close_device(subject, finding)[:-1])


def _shut_down_on_host_shutdown(subject: Subject, finding: Finding) -> tuple[Step, ...]:
    return (Step(Phase.FILES, "\n".join(host.shut_down_on_host_shutdown(subject, finding)[:-1])),)


def _edit_domain(subject: Subject, finding: Finding) -> tuple[Step, ...]:
    """Edit the domain by its uuid: a name could be taken for an option or for another domain."""
    try:
        uuid = subject.machine.domain(subject.domain or subject.name).uuid
    except ObservationError:
        return ()
    arguments = cpu_arguments(finding.cause)
    if arguments is None or subject.machine.target.libvirt is None or not re.fullmatch(r"[0-9a-f-]{36}", uuid):
        return ()
    return (Step(Phase.DOMAINS, f"virt-xml {uuid} --edit --cpu {arguments.format(flag=flag_of(subject))}"),)


_REPAIRS: Final[dict[Cause, _Repair]] = {
    Cause.NESTED_OFF: _persist_and_reload,
    Cause.NESTED_ON: _persist_and_reload,
    Cause.PERSISTED_VALUE_INVALID: _fix_value,
    Cause.PERSISTED_OFF: _persist,
    Cause.PERSISTED_ON: _persist,
    Cause.NOT_EXPLICIT: _persist,
    Cause.RELOAD_PENDING: _reload,
    Cause.DEV_KVM_WORLD_ACCESSIBLE: _close_device,
    Cause.SHUTDOWN_SAVES_GUESTS: _shut_down_on_host_shutdown,
    Cause.FLAG_NOT_GUARANTEED: _edit_domain,
    Cause.FEATURE_DISABLED: _edit_domain,
    Cause.HOST_MODEL_DROPS_SVM: _edit_domain,
    Cause.NAMED_MODEL_LACKS_FLAG: _edit_domain,
    Cause.WRONG_VENDOR_FEATURE: _edit_domain,
    Cause.DOMAIN_GIVES_FLAG: _edit_domain,
}
