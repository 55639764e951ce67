"""The bounds within which a support archive is read: many times what real ones need, and far below what harms."""

from typing import Final

MEBIBYTE: Final = 1024 * 1024
MEMBERS: Final = 250_000
"""Files, folders and links of one archive. A sosreport of a host with many processes has 100,000."""
UNPACKED: Final = 8192 * MEBIBYTE
"""Bytes of one archive after decompression. They are never written to a disk."""
RATIO: Final = 250
"""How many times larger than its compressed bytes an archive may become. Logs reach 30."""
RATIO_FREE: Final = 64 * MEBIBYTE
"""Bytes after decompression before the ratio counts: short archives of repeated text compress well."""
DECOMPRESSOR: Final = 96 * MEBIBYTE
"""Bytes of memory of the decompressor: `xz -9` needs 65 MiB."""
ONE_READ: Final = MEBIBYTE
"""Bytes of one extended header: a name, or a comment."""
FILE: Final = 8 * MEBIBYTE
"""Bytes of one file that is evaluated. dmesg and `modinfo` of all modules reach 2 MiB. Lines take 20 times that."""
KEPT: Final = 48 * MEBIBYTE
"""Bytes of all files that are evaluated, of one archive."""
KEPT_FILES: Final = 50_000
"""Files and links that are evaluated, of one archive."""
NAME: Final = 4096
"""Bytes of a member's name."""
DEPTH: Final = 64
"""Folders in one another."""
