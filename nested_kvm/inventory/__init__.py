"""The fleet: L0 hosts, their L1 guests, and the policy each is held to."""
