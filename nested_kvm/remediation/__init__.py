"""Remediation: the commands that fix a finding, for this machine and its names. They are printed, never run.

They come in a safe order: what must be shut down first, then the change, then the reload or start, then the
command that verifies the result.
"""

from typing import Final

from nested_kvm.fleet.subject import Subject
from nested_kvm.model.cause import Cause
from nested_kvm.model.verdict import Finding
from nested_kvm.remediation import absence, device, domain, escape, guest, host, nested_value
from nested_kvm.remediation.domain import Remedy
from nested_kvm.remediation.fixed_first import fix_first, opened_by
from nested_kvm.remediation.other_architectures import remedy_by_architecture


def remediation(subject: Subject, finding: Finding) -> list[str]:
    """The commands that fix a finding, one per line; empty where there is nothing to run."""
    remedy = remedy_by_architecture(subject, finding.cause) or _REMEDIES.get(finding.cause)
    if remedy is None:
        return []
    opened = opened_by(subject, finding.cause)
    return fix_first(opened, remedy(subject, finding)) if opened else remedy(subject, finding)


_REMEDIES: Final[dict[Cause, Remedy]] = {
    Cause.CPU_LACKS_FLAG: host.enable_in_firmware,
    Cause.FIRMWARE_DISABLED: host.enable_in_firmware,
    Cause.L0_IS_A_GUEST: host.expose_flag_below,
    Cause.HYPERVISOR_HIDDEN: host.compare_level,
    Cause.NOT_A_GUEST: host.compare_level,
    Cause.DEV_KVM_MISSING: device.create_device,
    Cause.MODULE_NOT_LOADED: absence.load_module,
    Cause.LOADED_MANUALLY: absence.load_at_boot,
    Cause.MODULE_LOAD_FAILED: absence.after_refusal,
    Cause.KERNEL_LACKS_KVM: host.install_kernel,
    Cause.MODULES_GONE: absence.reboot_into_installed,
    Cause.NO_MODULES: absence.use_another_system,
    Cause.OTHER_HYPERVISOR_OWNS_CPU: host.unload_other_hypervisor,
    Cause.NESTED_OFF: nested_value.persist_and_reload,
    Cause.NESTED_ON: nested_value.persist_and_reload,
    Cause.PERSISTED_VALUE_INVALID: nested_value.fix_value,
    Cause.PERSISTED_OFF: nested_value.persist,
    Cause.PERSISTED_ON: nested_value.persist,
    Cause.CMDLINE_OVERRIDES: nested_value.fix_cmdline,
    Cause.RELOAD_PENDING: nested_value.reload,
    Cause.NOT_EXPLICIT: nested_value.persist,
    Cause.DEV_KVM_WORLD_ACCESSIBLE: device.close_device,
    Cause.ASSIST_OFF: nested_value.switch_assists_on,
    Cause.PAGING_NOT_OFFERED: host.use_other_hardware,
    Cause.HYPERVISORS_SHARE_CPU: host.hold_the_cpu,
    Cause.KERNEL_FAULT: escape.replace_kernel,
    Cause.PAGE_TABLES_REFUSED: host.allocate_page_tables,
    Cause.VOLATILE_CONFIGURATION: nested_value.put_on_cmdline,
    Cause.DEVICE_MODE_REVERTS: device.keep_device_mode,
    Cause.DEAD_LINE: nested_value.show_lines,
    Cause.CONTRADICTED_LINE: nested_value.show_lines,
    Cause.LOAD_BLOCKED: nested_value.show_lines,
    Cause.MITIGATION_MISSING: escape.update_kernel,
    Cause.ESCAPE_OPEN: escape.close_escape,
    Cause.ESCAPE_OPEN_AFTER_BOOT: escape.close_escape,
    Cause.FIXED_KERNEL_NOT_BOOTED: escape.boot_fixed_kernel,
    Cause.SAVED_STATE_HAS_OLD_CPU: domain.remove_saved_states,
    Cause.SAVED_STATE_HAS_FLAG: domain.remove_saved_states,
    Cause.MEMORY_ENCRYPTION: absence.withdraw_encryption,
    Cause.PROCESS_CONTRADICTS_DEFINITION: domain.compare_process,
    Cause.FLAG_NOT_GUARANTEED: domain.edit_domain,
    Cause.WRONG_GUEST: domain.compare_uuids,
    Cause.L2_RUNNING: domain.stop_l2,
    Cause.HOSTS_DIFFER: host.compare_hosts,
    Cause.UNDIAGNOSED: domain.inspect_running_cpu,
    Cause.SHUTDOWN_SAVES_GUESTS: host.shut_down_on_host_shutdown,
    Cause.DEV_KVM_NOT_PERMITTED: guest.permit_account,
    Cause.NO_HYPERVISOR_INSTALLED: host.install_hypervisor,
    Cause.LIBVIRT_CAPABILITIES_STALE: host.clear_capabilities_cache,
    Cause.LIBVIRT_UNREACHABLE: host.start_libvirt,
    Cause.DOMAIN_EMULATED: domain.run_under_kvm,
    Cause.FEATURE_DISABLED: domain.edit_domain,
    Cause.HOST_MODEL_DROPS_SVM: domain.edit_domain,
    Cause.NAMED_MODEL_LACKS_FLAG: domain.edit_domain,
    Cause.WRONG_VENDOR_FEATURE: domain.edit_domain,
    Cause.GUEST_HAS_FLAG: domain.remove_flag,
    Cause.DOMAIN_GIVES_FLAG: domain.edit_domain,
    Cause.POWER_CYCLE_PENDING: domain.power_cycle,
    Cause.FLAG_MISSING: host.expose_flag_below,
    Cause.FLAG_PRESENT: host.withhold_flag,
    Cause.L2_DOES_NOT_BOOT: host.inspect_both_kernels,
    Cause.GUEST_KERNEL_LACKS_KVM: host.install_kernel,
}
