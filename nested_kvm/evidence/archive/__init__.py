"""Support archives as evidence: each kind's files become the readings that the probe would have printed."""
