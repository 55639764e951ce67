"""The audit is a pytest run: everything it adds to pytest is one plugin."""

pytest_plugins = ("nested_kvm.plugin",)
