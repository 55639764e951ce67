"""What a cluster of Kubernetes lists, by the official `kubernetes` client, which only gets and lists here.

The client is an extra: nothing of it is imported before a cluster is read.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import cached_property, partial
from threading import Thread
from typing import Any, Final, TypeVar

from nested_kvm.errors import InventoryError, NotObserved
from nested_kvm.fleet.estates.kubernetes_login import client_library, configure
from nested_kvm.fleet.estates.reading import JSON_LIMIT
from nested_kvm.util.document import Part, json_document
from nested_kvm.util.text import printable

ROLE: Final = "the ClusterRole in docs/estates.md allows it"
_READS: Final = 3
"""How often a list is begun before it is given up, as its pages expire."""
_CHUNK: Final = 256 * 1024
_MESSAGE_SHOWN: Final = 500
_CORE: Final = ""
T = TypeVar("T")


class ListForbidden(InventoryError):
    """The cluster does not let this user list a kind of object."""


class NotServed(InventoryError):
    """The cluster has no such kind of object."""


class _PagesExpired(Exception):
    """The next page of a list is no longer kept."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is waited for and read."""

    page: int = 500
    """Objects of one answer."""
    connect_seconds: float = 10
    answer_seconds: float = 30
    """Of silence, within one answer."""
    seconds: float = 120
    """For everything, with the login."""
    size: int = JSON_LIMIT
    """Bytes of one answer."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object, as the paths of the API name it."""

    group: str
    plural: str
    namespaced: bool = True

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


NODES: Final = Resource(_CORE, "nodes", namespaced=False)


def within(seconds: float, name: str, read: Callable[[], T]) -> T:
    """Call `read` in a thread that an end of the program does not wait for: no call of the client has a whole limit.

    Raises:
        InventoryError: it takes longer; or what `read` raises.
    """
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(read())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            future.set_exception(error)

    Thread(target=work, name="kubernetes", daemon=True).start()
    if not wait([future], seconds).done:
        raise InventoryError(f"{name}: did not answer everything within {seconds:g} seconds")
    return future.result()


def connected(context: str | None, limits: Limits) -> "KubernetesApi":
    """The API of a cluster, by the user's kubeconfig; nothing is asked yet.

    Raises:
        InventoryError: the client is not installed, or there is no usable kubeconfig or context.
    """
    library = client_library()
    configuration = library.client.Configuration()
    configuration.retries = False  # Neither is a connection tried again nor a redirect followed.
    name = configure(library, configuration, context)
    return KubernetesApi(library, library.client.ApiClient(configuration), name, limits)


class KubernetesApi:
    """What one cluster lists."""

    def __init__(self, library: Any, client: Any, name: str, limits: Limits) -> None:
        self.name = name
        self._label = f"kubernetes context {name}"
        self._server = printable(client.configuration.host)
        self._library = library
        self._core = library.client.CoreV1Api(client)
        self._groups = library.client.ApisApi(client)
        self._custom = library.client.CustomObjectsApi(client)
        self._limits = limits

    @cached_property
    def versions(self) -> Mapping[str, str]:
        """The version of each group of kinds that the cluster prefers, as kubectl does.

        Raises:
            InventoryError: the cluster does not answer, or not as Kubernetes does.
        """
        groups = self._answer("get the API groups", self._groups.get_api_versions).at("groups").entries()
        named = {each.at("name").text(): each.at("preferredVersion", "version").text() for each in groups}
        return {group: version for group, version in named.items() if group and version}

    def objects(self, resource: Resource, namespace: str | None = None) -> list[dict[str, Any]]:
        """All objects of a kind, in one namespace or in all; never only some of them.

        Raises:
            ListForbidden: the user may not list them.
            NotServed: the cluster has no such kind.
            InventoryError: the cluster does not answer, or not as Kubernetes does.
        """
        for _ in range(_READS):
            try:
                return [each for page in self._pages(resource, namespace) for each in page]
            except _PagesExpired:
                continue
        raise InventoryError(f"{self._label}: {resource} changed too fast to list them: {_READS} lists expired")

    def has_namespace(self, name: str) -> bool:
        """Whether there is such a namespace.

        Raises:
            ListForbidden: the user may not get it.
            InventoryError: the cluster does not answer, or not as Kubernetes does.
        """
        try:
            self._answer(f"get the namespace {name}", self._core.read_namespace, name=name)
        except NotServed:
            return False
        return True

    def _pages(self, resource: Resource, namespace: str | None) -> Iterator[list[dict[str, Any]]]:
        token: str | None = ""
        while token is not None:
            found = self._page(resource, namespace, token)
            yield list(_items(found))
            token = found.at("metadata", "continue").text() or None

    def _page(self, resource: Resource, namespace: str | None, token: str) -> Part:
        where = "in all namespaces" if namespace is None else f"in the namespace {namespace}"
        asked = f"list {resource}{f' {where}' if resource.namespaced else ''}"
        given = {"limit": self._limits.page, **({"_continue": token} if token else {})}
        found = self._answer(asked, self._lister(resource, namespace), **given)
        if not (found.at("kind").text() or "").endswith("List") or not isinstance(found.at("items").value, list | None):
            raise InventoryError(f"{self._label}: {self._server} did not answer with a list: {asked}")
        return found

    def _lister(self, resource: Resource, namespace: str | None) -> Callable[..., Any]:
        if resource == NODES:
            return self._core.list_node  # type: ignore[no-any-return]
        version = self.versions.get(resource.group)
        if version is None:
            raise NotServed(f"{self._label}: the cluster has no {resource}: it serves no group {resource.group}")
        kind = {"group": resource.group, "version": version, "plural": resource.plural}
        if namespace is None:
            return partial(self._custom.list_cluster_custom_object, **kind)
        return partial(self._custom.list_namespaced_custom_object, namespace=namespace, **kind)

    def _answer(self, asked: str, call: Callable[..., Any], **given: Any) -> Part:
        """The document with which the server answers one request."""
        from urllib3.exceptions import HTTPError  # noqa: PLC0415 - comes with the client

        limits = (self._limits.connect_seconds, self._limits.answer_seconds)
        try:
            response = call(**given, _preload_content=False, _request_timeout=limits)
            data = self._body(response)
        except self._library.client.ApiException as error:
            raise self._refusal(asked, error) from None
        except (HTTPError, OSError) as error:
            reason = printable(error, _MESSAGE_SHOWN)
            raise InventoryError(f"{self._label}: {self._server} does not answer: {asked}: {reason}") from None
        try:
            found = json_document(data.decode())
        except (UnicodeDecodeError, NotObserved) as error:
            raise InventoryError(f"{self._label}: {self._server} did not answer with JSON: {asked}: {error}") from None
        if not isinstance(found.value, dict):
            raise InventoryError(f"{self._label}: {self._server} did not answer with an object: {asked}")
        return found

    def _body(self, response: Any) -> bytes:
        """The whole body of an answer."""
        found = bytearray()
        try:
            while chunk := response.read(_CHUNK):
                found += chunk
                if len(found) > self._limits.size:
                    limit = self._limits.size // 1024 // 1024
                    raise InventoryError(f"{self._label}: an answer of {self._server} is larger than {limit} MiB")
        finally:
            response.close()
        return bytes(found)

    def _refusal(self, asked: str, error: Any) -> Exception:
        """What an answer means that is not a success."""
        said = _message(error)
        match error.status:
            case 401:
                return InventoryError(f"{self._label}: {self._server} does not accept the login (401): {asked}")
            case 403:
                return ListForbidden(f"{self._label}: may not {asked} (403): {said}: {ROLE}")
            case 404:
                return NotServed(f"{self._label}: {self._server} has nothing to {asked} (404)")
            case 410:
                return _PagesExpired()
            case 0 | None:
                return InventoryError(f"{self._label}: {self._server} cannot be reached: {said}")
            case status:
                return InventoryError(f"{self._label}: {self._server} answered {status}: {asked}: {said}")


def _items(found: Part) -> Iterator[dict[str, Any]]:
    """The objects of a list, which names their kind where they do not: so it is with what Kubernetes itself defines."""
    kind = {"apiVersion": found.at("apiVersion").text(), "kind": (found.at("kind").text() or "").removesuffix("List")}
    for each in found.at("items").entries():
        if not isinstance(each.value, dict):
            raise NotObserved(f"{each.path} is not an object")
        yield kind | each.value


def _message(error: Any) -> str:
    """What the server said of an error, else what the client did."""
    try:
        said = json_document(error.body if isinstance(error.body, str) else error.body.decode()).at("message").text()
    except (AttributeError, UnicodeDecodeError, NotObserved):
        said = None
    return printable(said or error.reason or "without a reason", _MESSAGE_SHOWN)
