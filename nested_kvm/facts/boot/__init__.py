"""What the next boot will be given: the kernel command line in the files of the boot loader."""
