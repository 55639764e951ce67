"""The login to a cluster of Kubernetes: the user's kubeconfig, or the service account of the pod.

The official `kubernetes` client reads both. It is an extra: nothing of it is imported before a cluster is read.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from nested_kvm.errors import InventoryError
from nested_kvm.util.text import first_of, printable

EXTRA: Final = "nested-kvm-compliance[kubernetes]"
IN_CLUSTER: Final = "in-cluster"
"""What the cluster is called in whose pod the audit runs."""
_REASON_SHOWN: Final = 500


def client_library() -> Any:
    """The client.

    Raises:
        InventoryError: it is not installed, or is broken.
    """
    try:
        import kubernetes.client  # noqa: PLC0415 - an extra, which takes a second to import
        import kubernetes.config  # noqa: PLC0415 - as above
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "kubernetes":
            raise InventoryError(f"the kubernetes client cannot be imported: {error}") from None
        advice = f"pip install '{EXTRA}', or save the list and name it by `file`"
        raise InventoryError(f"the kubernetes client is not installed: {advice}") from None
    except ImportError as error:
        raise InventoryError(f"the kubernetes client cannot be imported: {error}") from None
    return kubernetes


def configure(library: Any, configuration: Any, context: str | None) -> str:
    """Give the login to a configuration of the client, and return the name of its context.

    Raises:
        InventoryError: there is no usable kubeconfig or context; the message names it.
    """
    given = os.environ.get("KUBECONFIG", "")
    files = [Path(each).expanduser() for each in (given or "~/.kube/config").split(os.pathsep) if each]
    if any(each.exists() for each in files):
        return _by_kubeconfig(library, configuration, os.pathsep.join(map(str, files)), context)
    if context is None and not given and os.environ.get("KUBERNETES_SERVICE_HOST"):
        with _as_unusable("the service account of this pod"):
            library.config.load_incluster_config(client_configuration=configuration)
        return IN_CLUSTER
    missing = ", ".join(map(str, files))
    raise InventoryError(f"there is no kubeconfig: {missing} does not exist (KUBECONFIG names another)")


def _by_kubeconfig(library: Any, configuration: Any, files: str, context: str | None) -> str:
    with _as_unusable(f"the kubeconfig {files}"):
        if context is None:
            _, current = library.config.list_kube_config_contexts(config_file=files)
            context = str(current["name"])
        else:
            _require_context(library, files, context)
        # persist_config: a login that is renewed would be written into the user's file.
        library.config.load_kube_config(
            config_file=files, context=context, client_configuration=configuration, persist_config=False
        )
    return context


def _require_context(library: Any, files: str, context: str) -> None:
    try:
        contexts, _ = library.config.list_kube_config_contexts(config_file=files)
    except library.config.ConfigException:
        return  # There is no current context: the client reports whether it has this one.
    names = sorted(str(each["name"]) for each in contexts)
    if context not in names:
        known = ", ".join(first_of(names, 10)) or "none"
        raise InventoryError(f"the context {context!r} is not in the kubeconfig {files} (it has {known})")


@contextmanager
def _as_unusable(what: str) -> Iterator[None]:
    """Report whatever a broken login makes the client raise."""
    try:
        yield
    except InventoryError:
        raise
    except Exception as error:  # noqa: BLE001 - of any type, as the client does not check a kubeconfig
        reason = printable(str(error) or type(error).__name__, _REASON_SHOWN)
        raise InventoryError(f"{what} cannot be used: {reason}") from None
