"""Keys and allowed signers for real signatures by ssh-keygen."""

import subprocess
from pathlib import Path

NAMESPACE = "nested-kvm-compliance"


def make_key(folder: Path, name: str = "key", passphrase: str = "") -> Path:
    """Make a key pair, and return its private half."""
    key = folder / name
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", str(key)], check=True, timeout=300
    )
    return key


def allow(folder: Path, key: Path, *, who: str = "audit@example.net", options: str = "") -> Path:
    """Write a file of allowed signers with that key alone, and return it."""
    file = folder / f"allowed-{len(list(folder.glob('allowed-*')))}"
    public = Path(f"{key}.pub").read_text().split()
    file.write_text(" ".join(filter(None, [who, options, *public[:2]])) + "\n")
    return file


def sign_again(run: Path, key: Path, namespace: str = NAMESPACE) -> None:
    """Replace the signature of a run."""
    (run / "SHA256SUMS.sig").unlink(missing_ok=True)
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", namespace, str(run / "SHA256SUMS")]
    subprocess.run(command, check=True, timeout=300)
