"""How fast the suite is, and where its time goes: figures, never a test."""
