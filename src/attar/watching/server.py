"""A server on the loopback address that shows one run to whoever knows its address."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from attar.errors import BadRequest

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Answer:
    """What is sent: its type, and its bytes."""

    type: str
    body: bytes


class Server:
    """Answers GET requests below ``http://127.0.0.1:PORT/TOKEN/`` in threads of its own.

    Only this machine reaches it, and only with the token; a request that names another host,
    as one does that a foreign page has a browser make, is not found either.

    Args:
        pages: by name behind the token, what answers; called in the server's threads.
        port: to listen on; 0 for any that is free.
        policy: the content security policy of every answer.

    Raises:
        BadRequest: it is no port, or cannot be listened on.
    """

    def __init__(self, pages: Mapping[str, Callable[[], Answer]], port: int, policy: str) -> None:
        if not 0 <= port <= 65535:
            raise BadRequest(f"--watch-port {port}: from 0, for any that is free, to 65535")
        self._token = secrets.token_urlsafe(16)
        try:
            self._http = ThreadingHTTPServer((HOST, port), _handler(self._found, policy))
        except OSError as error:
            raise BadRequest(
                f"--watch-port {port}: cannot be listened on ({error.strerror}); name another one, "
                "or leave it out for any that is free"
            ) from error
        self._http.daemon_threads = True
        self._pages = {f"/{self._token}/{name}": page for name, page in pages.items()}
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.1,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self._http.server_address[1]}/{self._token}/"

    def close(self) -> None:
        """Answer no longer."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def _found(self, host: str, path: str) -> Callable[[], Answer] | None:
        port = self._http.server_address[1]
        if host not in (f"{HOST}:{port}", f"localhost:{port}"):
            return None
        return self._pages.get(path)


def _handler(
    found: Callable[[str, str], Callable[[], Answer] | None], policy: str
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "attar"
        sys_version = ""

        def do_GET(self) -> None:
            """Answer, or say that there is nothing."""
            page = found(self.headers.get("Host", ""), self.path)
            if page is None:
                self.send_error(404)
                return
            answer = page()
            self.send_response(200)
            self.send_header("Content-Type", answer.type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Security-Policy", policy)
            self.send_header("Referrer-Policy", "no-referrer")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep silent: standard error is for the run."""

    return Handler
