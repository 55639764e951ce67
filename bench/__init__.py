"""How fast the audit is, and where its time goes: figures, never a test."""
