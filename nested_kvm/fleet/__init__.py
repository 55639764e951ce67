"""Facts brought together: one machine, the hosts of one group, and the subjects of controls."""
