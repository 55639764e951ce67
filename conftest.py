"""The audit is a pytest run: everything it adds to pytest is one plugin, its HTML report, and the facts that checks take."""

pytest_plugins = ("nested_kvm.plugin", "nested_kvm.html_hooks", "nested_kvm.fixtures")
