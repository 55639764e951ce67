"""What the readings say about the kernel, its modules and the CPU."""
