"""SSH in-process, on paramiko, by the rules of OpenSSH."""
