"""Utilities that know nothing of KVM: text, files, YAML with line numbers, shell words."""
