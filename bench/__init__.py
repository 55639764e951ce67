"""How fast the audit is, and where its time goes: measurements, never a test."""
