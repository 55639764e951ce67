"""A run as plain data, and what is accepted in it or compared with it."""
