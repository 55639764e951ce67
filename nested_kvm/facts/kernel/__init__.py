"""Facts about the kernel, its modules and the CPU."""
