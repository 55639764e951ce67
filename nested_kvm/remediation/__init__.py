"""The commands that mend a finding, for the machine and names at hand. They are printed, never run.

Always in the safe order: what must be shut down first, then the change, then the reload or start, then the
command that verifies it.
"""

from typing import Final

from nested_kvm.fleet.subject import Subject
from nested_kvm.model.cause import Cause
from nested_kvm.model.verdict import Finding
from nested_kvm.remediation import domain, guest, host
from nested_kvm.remediation.domain import Remedy
from nested_kvm.remediation.other_architectures import remedy_elsewhere


def remediation(subject: Subject, finding: Finding) -> list[str]:
    """The commands, one a line, for the subject's machine; empty where nothing can be run there."""
    remedy = remedy_elsewhere(subject, finding.cause) or _REMEDIES.get(finding.cause)
    return [] if remedy is None else remedy(subject, finding)


_REMEDIES: Final[dict[Cause, Remedy]] = {
    Cause.CPU_LACKS_FLAG: host.enable_in_firmware,
    Cause.FIRMWARE_DISABLED: host.enable_in_firmware,
    Cause.L0_IS_A_GUEST: host.ask_own_host,
    Cause.DEV_KVM_MISSING: host.make_device,
    Cause.MODULE_NOT_LOADED: host.load_module,
    Cause.MODULE_LOAD_FAILED: host.load_module,
    Cause.OTHER_HYPERVISOR_OWNS_CPU: host.replace_other,
    Cause.NESTED_OFF: host.persist_and_reload,
    Cause.NESTED_ON: host.persist_and_reload,
    Cause.PERSISTED_VALUE_INVALID: host.mend_value,
    Cause.PERSISTED_OFF: host.persist,
    Cause.PERSISTED_ON: host.persist,
    Cause.CMDLINE_OVERRIDES: host.mend_cmdline,
    Cause.RELOAD_PENDING: host.reload,
    Cause.NOT_EXPLICIT: host.persist,
    Cause.DEV_KVM_WORLD_ACCESSIBLE: host.close_device,
    Cause.ASSIST_OFF: host.switch_assists_on,
    Cause.DEAD_LINE: host.look_at_lines,
    Cause.CONTRADICTED_LINE: host.look_at_lines,
    Cause.LOAD_BLOCKED: host.look_at_lines,
    Cause.MITIGATION_MISSING: host.update_kernel,
    Cause.SAVED_STATE_HAS_OLD_CPU: domain.let_go_of_saved_states,
    Cause.SAVED_STATE_HAS_FLAG: domain.let_go_of_saved_states,
    Cause.MEMORY_ENCRYPTION: domain.stop_encrypting,
    Cause.PROCESS_CONTRADICTS_DEFINITION: domain.compare_process,
    Cause.FLAG_NOT_GUARANTEED: domain.edit_domain,
    Cause.WRONG_GUEST: domain.compare_uuids,
    Cause.L2_RUNNING: domain.end_l2,
    Cause.HOSTS_DIFFER: host.compare_hosts,
    Cause.UNDIAGNOSED: domain.look_deeper,
    Cause.SHUTDOWN_SAVES_GUESTS: host.shut_guests_down,
    Cause.DEV_KVM_NOT_PERMITTED: guest.let_account_in,
    Cause.NO_HYPERVISOR_INSTALLED: host.install_hypervisor,
    Cause.LIBVIRT_CAPABILITIES_STALE: host.forget_capabilities,
    Cause.LIBVIRT_UNREACHABLE: host.start_libvirt,
    Cause.DOMAIN_EMULATED: domain.run_under_kvm,
    Cause.FEATURE_DISABLED: domain.edit_domain,
    Cause.HOST_MODEL_DROPS_SVM: domain.edit_domain,
    Cause.NAMED_MODEL_LACKS_FLAG: domain.edit_domain,
    Cause.WRONG_VENDOR_FEATURE: domain.edit_domain,
    Cause.GUEST_HAS_FLAG: domain.take_flag_away,
    Cause.DOMAIN_GIVES_FLAG: domain.edit_domain,
    Cause.POWER_CYCLE_PENDING: domain.power_cycle,
    Cause.FLAG_MISSING: host.ask_own_host,
    Cause.FLAG_PRESENT: host.withhold_flag,
    Cause.L2_DOES_NOT_BOOT: host.ask_both_kernels,
    Cause.GUEST_KERNEL_LACKS_KVM: host.install_kernel,
}
