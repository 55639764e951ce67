"""The audit is a pytest run: its plugin, its HTML report, and the facts that checks may take."""

pytest_plugins = (
    "nested_kvm.plugin.hooks",
    "nested_kvm.plugin.html_report",
    "nested_kvm.plugin.fixtures",
    "nested_kvm.plugin.control_item",
)
