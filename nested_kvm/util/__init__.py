"""What knows nothing of KVM: text, files, YAML with line numbers, words of a shell."""
