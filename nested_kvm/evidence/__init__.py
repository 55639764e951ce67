"""What was read: the probe, its answer, and the bundles that keep it."""
