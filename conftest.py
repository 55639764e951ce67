"""The audit is a pytest run: its plugin, its HTML report, and the facts that checks take."""

pytest_plugins = ("nested_kvm.plugin", "nested_kvm.html_hooks", "nested_kvm.fixtures", "nested_kvm.control_item")
