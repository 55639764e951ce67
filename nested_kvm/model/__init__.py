"""The words that every other package shares: architectures, causes, controls, policies, outcomes."""
