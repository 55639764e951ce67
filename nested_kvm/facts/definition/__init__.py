"""Guests that are not deployed yet, as files define them: each form becomes what libvirt or QEMU would get."""
