"""A real Elasticsearch of one node on loopback, and what tests ask of it.

Theory of operation: a run has a folder of its own under /tmp, which is taken away at its end. From
version 9 on the program that is started is a small JVM that starts the server and waits for it, so
`pid` is the server's, out of its pid file. How versions differ, `releases.py` knows.
"""

import base64
import json
import signal
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

from tests.servers import releases
from tests.servers.guard import sweep
from tests.servers.process import (
    Process,
    ServerError,
    free_port,
    is_free,
    last_lines,
    wait_until,
)

START_SECONDS = 180.0
"""5 s (2.4.1) and 12 s (9.5.3) on four idle cores; a busy machine is not a failure."""
STOP_SECONDS = 30.0
REQUEST_SECONDS = 60.0
PAGE = 5_000
"""Documents a page of `documents`; servers refuse more than 10,000."""
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})
NO_USERS: Mapping[str, Mapping[str, object]] = MappingProxyType({})
LENIENT = "ignore_unavailable=true&allow_no_indices=true"
"""An index that is not there yet has no documents; it is no error."""


@dataclass(slots=True)
class Elasticsearch:
    """A server; as a context manager it is stopped at the end and its folder removed."""

    version: str
    port: int
    folder: Path
    settings: Mapping[str, str]
    heap: str
    login: str
    users: Mapping[str, Mapping[str, object]]
    pid: int = field(default=0, init=False)
    _process: Process | None = field(default=None, init=False)

    @classmethod
    def start(
        cls,
        version: str,
        *,
        port: int | None = None,
        settings: Mapping[str, str] = NO_SETTINGS,
        data: Path | None = None,
        heap: str = "512m",
        login: str = "",
        users: Mapping[str, Mapping[str, object]] = NO_USERS,
    ) -> Self:
        """A server that answers; on a free port, with data that end with it, unless given.

        With a login (`name:password`) it answers nobody else, but for users, logins by role; not
        versions before 7.17.

        Raises:
            ServerError: it did not start; the text ends with the last lines of its log.
        """
        releases.fetch(version)
        folder = Path(tempfile.mkdtemp(prefix="shipper-elasticsearch-"))
        own = {"path.data": str(data.absolute())} if data else {}
        port = port or free_port()
        secure = {"xpack.security.enabled": "true"} if login else {}
        chosen = {"http.port": str(port), **own, **secure, **settings}
        server = cls(version, port, folder, chosen, heap, login, users)
        try:
            server.restart()
        except BaseException:
            server.close()
            raise
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.folder / "out"

    def stop(self) -> None:
        """Ends it in good order; `restart` brings it back with its data. Twice is fine."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it as the OOM killer would; `restart` brings it back with its data."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Stops it for good and removes its folder."""
        try:
            self.stop()
        finally:
            sweep(self.folder)

    def restart(self) -> None:
        """Stops it if it runs, and starts it on the same port with the same data.

        Raises:
            ServerError: as in `start`.
        """
        self.stop()
        if not is_free(self.port):
            raise ServerError(f"Elasticsearch {self.version}: port {self.port} is taken")
        releases.configure(self.version, self.folder, self.settings)
        if self.login:
            releases.add_user(self.version, self.folder, self.login)
        for login, role in self.users.items():
            releases.add_user(self.version, self.folder, login, role)
        (self.folder / "pid").unlink(missing_ok=True)
        self._process = Process.start(
            releases.command(self.version, self.folder),
            log=self.log,
            env=releases.environment(self.version, self.folder, self.heap),
        )
        try:
            wait_until(self._ready, seconds=START_SECONDS, what=f"Elasticsearch {self.version}")
        except ServerError as error:
            said = last_lines(self.log.read_text(encoding="utf-8", errors="replace"))
            raise ServerError(f"{error}; the last lines of its log:\n{said}") from error

    def request(self, method: str, path: str, body: object = None) -> tuple[int, bytes]:
        """One request over a connection of its own: the status and the body, whatever they are.

        Shape: bytes and str go as they are (as NDJSON where the path ends in `_bulk`), anything
        else as JSON.

        Raises:
            OSError, http.client.HTTPException: no answer.
        """
        data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        data = data.encode() if isinstance(data, str) else data
        bulk = path.partition("?")[0].endswith("_bulk")
        headers = {"Content-Type": "application/x-ndjson" if bulk else "application/json"}
        if self.login:
            headers["Authorization"] = f"Basic {base64.b64encode(self.login.encode()).decode()}"
        connection = HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_SECONDS)
        try:
            connection.request(method, path, None if body is None else data, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def count(self, index_pattern: str) -> int:
        """How many documents there are, the newest included."""
        self._refresh(index_pattern)
        return int(self._asked("GET", f"/{index_pattern}/_count?{LENIENT}")["count"])

    def documents(self, index_pattern: str) -> Iterator[dict[str, Any]]:
        """Every document as `_index`, `_id` and `_source`, the newest included, in no order.

        Raises:
            ServerError: the server failed, or could not read every shard.
        """
        self._refresh(index_pattern)
        query = {"size": PAGE, "sort": ["_doc"]}
        page = self._asked("POST", f"/{index_pattern}/_search?scroll=5m&{LENIENT}", query)
        try:
            while hits := page["hits"]["hits"]:
                for hit in hits:
                    yield {name: hit[name] for name in ("_index", "_id", "_source")}
                scroll = {"scroll": "5m", "scroll_id": page["_scroll_id"]}
                page = self._asked("POST", "/_search/scroll", scroll)
        finally:
            with suppress(OSError, HTTPException):  # it forgets the scroll in 5 minutes anyway
                self.request("DELETE", "/_search/scroll", {"scroll_id": [page.get("_scroll_id")]})

    def _refresh(self, index_pattern: str) -> None:
        self._asked("POST", f"/{index_pattern}/_refresh?{LENIENT}")

    def _asked(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The answer to a request that must succeed on every shard."""
        status, text = self.request(method, path, body)
        answer: dict[str, Any] = json.loads(text) if status == 200 else {}
        if status != 200 or answer.get("_shards", {}).get("failed"):
            said = text[:1000].decode(errors="replace")
            raise ServerError(f"{method} {path}: {status} {said}")
        return answer

    def _ready(self) -> bool:
        if self._process is None or not self._process.running():
            raise ServerError(f"Elasticsearch {self.version} did not start")
        try:
            self.pid = int((self.folder / "pid").read_text(encoding="ascii"))
            path = "/_cluster/health?wait_for_status=yellow&timeout=1s"
            status, _ = self.request("GET", path)
        except (OSError, HTTPException, ValueError):
            return False
        return status == 200

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end(self.pid or None, how=how, seconds=STOP_SECONDS)
            self.pid = 0
