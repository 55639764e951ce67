"""Estates that an audit takes as its inventory: each reader makes hosts, guests and their definitions of one."""
