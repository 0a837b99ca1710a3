"""A stand-in of the Hugging Face Hub: what its library asks of it to push and to pull.

Made after what huggingface-hub 0.34.0 and 2.4.0 send; files are kept in memory, by commit.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_FILE = re.compile(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
_ABOUT = re.compile(r"/api/datasets/([^/]+/[^/]+)/revision/.+")
_API = re.compile(r"/api/datasets/([^/]+/[^/]+)/(preupload|commit)/(.+)")


class Hub:
    """Its data sets: of each the commits, oldest first, with their files."""

    def __init__(self) -> None:
        self.datasets: dict[str, list[tuple[str, dict[str, bytes]]]] = {}
        self.refused = False
        self.url = ""

    def commit(self, name: str, files: dict[str, bytes]) -> str:
        """Add a commit, and return what it is called."""
        commits = self.datasets.setdefault(name, [])
        before = commits[-1][1] if commits else {}
        digest = hashlib.sha1(repr((len(commits), files)).encode()).hexdigest()
        commits.append((digest, before | files))
        return digest

    def at(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Return a commit of a data set."""
        commits = self.datasets.get(name, [])
        if revision == "main":
            return commits[-1] if commits else None
        return next((one for one in commits if one[0] == revision), None)


class Server(ThreadingHTTPServer):
    """Serves one hub."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.hub = hub


class Handler(BaseHTTPRequestHandler):
    """Answers as the Hub does."""

    server: Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def answer_json(self, value: Any, status: int = 200) -> None:
        self.answer(status, json.dumps(value).encode(), Content_Type="application/json")

    def do_GET(self) -> None:
        hub = self.server.hub
        about = _ABOUT.fullmatch(self.path.partition("?")[0])
        if about is not None and about[1] in hub.datasets:
            return self.answer_json({"id": about[1], "sha": "0" * 40, "xetEnabled": False})
        found = _FILE.fullmatch(self.path)
        if found is None or found[1] not in hub.datasets:
            return self.answer(404, X_Error_Code="RepoNotFound")
        commit = hub.at(found[1], found[2])
        if commit is None:
            return self.answer(404, X_Error_Code="RevisionNotFound")
        content = commit[1].get(found[3])
        if content is None:
            return self.answer(404, X_Error_Code="EntryNotFound")
        etag = hashlib.sha1(content).hexdigest()
        return self.answer(200, content, ETag=f'"{etag}"', X_Repo_Commit=commit[0])

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        found = _API.fullmatch(self.path.partition("?")[0])
        if self.server.hub.refused:
            self.answer_json({"error": "you may not"}, 403)
        elif self.path == "/api/repos/create":
            self.create(json.loads(body))
        elif self.path == "/api/validate-yaml":
            self.answer_json({"errors": [], "warnings": []})
        elif found is None:
            self.answer(404)
        elif found[2] == "preupload":
            files = [one["path"] for one in json.loads(body)["files"]]
            regular = {"uploadMode": "regular", "shouldIgnore": False}
            self.answer_json({"files": [{"path": one, **regular} for one in files]})
        else:
            self.commit(found[1], [json.loads(line) for line in body.splitlines() if line])

    def create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        self.server.hub.datasets.setdefault(name, [])
        self.answer_json({"url": f"{self.server.hub.url}/datasets/{name}", "name": name})

    def commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        files = {
            one["value"]["path"]: base64.b64decode(one["value"]["content"])
            for one in lines
            if one["key"] == "file"
        }
        commit = self.server.hub.commit(name, files)
        # huggingface-hub 0.34 reads no commit of another place, and this is asked for nothing
        url = f"https://huggingface.co/datasets/{name}/commit/{commit}"
        self.answer_json({"success": True, "commitOid": commit, "commitUrl": url})


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve a hub on this machine until the block ends."""
    server = Server(hub)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
