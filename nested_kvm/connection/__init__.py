"""The ways to a target; the only room that knows Testinfra and paramiko."""
