"""Uploads of a site: what is kept of them, whose they are, and what is refused; over tus as well."""

from __future__ import annotations

import base64
import io
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from lepton_celery.api.answers import Answer, Request
from lepton_celery.api.routes import Route
from lepton_celery.errors import InputError, LeptonError
from lepton_celery.web.deadline import reading_ends, socket_of
from lepton_celery.web.refusals import Busy, NotFound, OffsetConflict, QuotaExceeded
from lepton_celery.web.tus import VERSION, routes_of
from lepton_celery.web.uploads import UploadLimits, UploadStore

DATA = bytes(range(256)) * 9000  # more than two pieces


@pytest.fixture
def store(tmp_path: Path) -> UploadStore:
    return UploadStore(tmp_path / "uploads", UploadLimits(file_bytes=1 << 22, owner_bytes=1 << 23, owner_files=4))


class Slow(io.BytesIO):
    """Gives a few bytes, and no more until it is told."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.asked, self.go_on = threading.Event(), threading.Event()

    def read(self, size: int | None = -1, /) -> bytes:
        self.asked.set()
        assert self.go_on.wait(10)
        return super().read(min(1000, size or 1000))


def test_a_file_comes_in_parts_and_is_kept_as_it_is(store: UploadStore) -> None:
    begun = store.begin("ada", "../../my slide.TIF", len(DATA))
    assert (begun.name, begun.suffix, begun.received) == ("my slide.TIF", ".tif", 0)
    assert not store.append("ada", begun.id, 0, io.BytesIO(DATA[:1_500_000])).is_complete
    assert store.find("ada", begun.id).received == 1_500_000
    assert store.append("ada", begun.id, 1_500_000, io.BytesIO(DATA[1_500_000:])).is_complete
    assert store.path(begun).read_bytes() == DATA
    assert store.path(begun).is_relative_to(store.root_of("ada"))
    assert "ada" not in str(store.path(begun).relative_to(store.folder))
    assert [upload.id for upload in store.of_owner("ada")] == [begun.id]
    store.remove("ada", begun.id)
    assert list(store.of_owner("ada")) == [] and not store.path(begun).exists()


def test_files_of_others_are_not_found(store: UploadStore) -> None:
    mine = store.add("ada", "a.png", 3, io.BytesIO(b"abc"))
    for owner, upload in (("bob", mine.id), ("ada", "x" * 22), ("ada", f"../{mine.id}"), ("ada", ""), ("", mine.id)):
        for act in (store.find, store.remove, lambda o, u: store.append(o, u, 3, io.BytesIO(b""))):
            with pytest.raises(NotFound, match="no file"):
                act(owner, upload)
    assert store.find("ada", mine.id).is_complete
    assert list(store.of_owner("bob")) == []


@pytest.mark.parametrize("name", ["a.svg", "a", ".tif", "a.tif.exe", "", "a.png/"])
def test_formats_that_are_no_images_are_refused(store: UploadStore, name: str) -> None:
    if name in (".tif", "a.png/"):
        name = {".tif": "tif", "a.png/": "a.png/b"}[name]
    with pytest.raises(InputError, match="suffix"):
        store.begin("ada", name, 10)
    assert not store.folder.exists()


def test_a_length_that_lies_is_refused_and_what_came_is_kept(store: UploadStore) -> None:
    upload = store.begin("ada", "a.npy", 10)
    with pytest.raises(OffsetConflict, match="0 bytes have been received, and not 4"):
        store.append("ada", upload.id, 4, io.BytesIO(b"abc"))
    with pytest.raises(OffsetConflict, match="announced with 10 bytes"):
        store.append("ada", upload.id, 0, io.BytesIO(b""), count=11)
    store.append("ada", upload.id, 0, io.BytesIO(b"abc"))
    with pytest.raises(OffsetConflict, match="announced with 10 bytes"):
        store.append("ada", upload.id, 3, io.BytesIO(b"0123456789"))
    assert store.find("ada", upload.id).received == 10
    for length in (0, -1):
        with pytest.raises(InputError, match="bytes; send an image"):
            store.begin("ada", "a.npy", length)


def test_a_file_of_one_request_is_kept_whole_or_not_at_all(store: UploadStore) -> None:
    with pytest.raises(InputError, match="ended after 3 of 5 bytes"):
        store.add("ada", "a.png", 5, io.BytesIO(b"abc"))
    with pytest.raises(OffsetConflict):
        store.add("ada", "a.png", 2, io.BytesIO(b"abc"))
    assert list(store.of_owner("ada")) == []


def test_quotas_hold_for_requests_at_the_same_time(store: UploadStore) -> None:
    with pytest.raises(QuotaExceeded, match="at most 4,194,304"):
        store.begin("ada", "a.png", (1 << 22) + 1)

    def begin(number: int) -> bool:
        try:
            store.begin("ada", f"{number}.png", 100)
        except QuotaExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(begin, range(20))) == 4
    store.begin("bob", "a.png", 1 << 22)
    store.begin("bob", "a.png", 1 << 22)
    with pytest.raises(QuotaExceeded, match="8,388,609 bytes together"):
        store.begin("bob", "a.png", 1)


def test_two_requests_do_not_write_one_file(store: UploadStore) -> None:
    upload, slow = store.begin("ada", "a.png", 3000), Slow(b"x" * 3000)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(store.append, "ada", upload.id, 0, slow)
        assert slow.asked.wait(10)
        with pytest.raises(Busy):
            store.append("ada", upload.id, 0, io.BytesIO(b"y" * 3000))
        slow.go_on.set()
        assert first.result(10).is_complete
    assert store.path(upload).read_bytes() == b"x" * 3000


def test_a_slow_request_is_ended_and_goes_on(tmp_path: Path) -> None:
    store = UploadStore(tmp_path, UploadLimits(request_s=0))
    upload = store.begin("ada", "a.png", 5)
    assert store.append("ada", upload.id, 0, io.BytesIO(b"abcde")).received == 0


def test_a_client_that_sends_nothing_more_is_hung_up_on_and_what_came_is_kept(store: UploadStore) -> None:
    upload = store.begin("ada", "a.png", 3000)
    server, client = socket.socketpair()
    with server, client:
        client.sendall(b"x" * 100)
        with reading_ends(server, 0.2), server.makefile("rb") as stream:
            assert store.append("ada", upload.id, 0, stream).received == 100
        server.sendall(b"answered")
        assert client.recv(20) == b"answered"
    with reading_ends(None, 0.2):
        assert store.append("ada", upload.id, 100, io.BytesIO(b"y" * 2900)).is_complete
    assert socket_of({"wsgi.input": io.BytesIO()}) is None
    assert socket_of({"gunicorn.socket": server}) is server


def test_old_files_are_removed(store: UploadStore) -> None:
    old, new = (store.add("ada", "a.png", 3, io.BytesIO(b"abc")) for _ in range(2))
    begun = store.begin("bob", "b.png", 3)
    long_ago = time.time() - 8 * 24 * 3600
    os.utime(store.path(old), (long_ago, long_ago))
    assert store.prune() == 1
    assert [upload.id for upload in store.of_owner("ada")] == [new.id]
    assert store.prune(time.time() + 8 * 24 * 3600) == 2
    with pytest.raises(NotFound):
        store.find("bob", begun.id)


# ------------------------------------------------------------------------------------------------------------------ tus


def ask(
    store: UploadStore, method: str, path: str, body: bytes = b"", /, owner: str | None = "ada", **headers: Any
) -> Answer:
    given = {name.replace("_", "-"): value for name, value in {"tus_resumable": VERSION, **headers}.items()}
    request = Request(
        method, path, headers=given, stream=io.BytesIO(body), base="/lepton", owner=owner, may_change=True
    )
    routes: list[tuple[Route, Any]] = [(route, route.pattern.fullmatch(path)) for route in routes_of(store)]
    route, found = next((route, found) for route, found in routes if found and route.method == method)
    answer: Answer = route.handler(None, request, found.groupdict())  # type: ignore[arg-type]
    assert answer.headers["Tus-Resumable"] == VERSION
    return answer


def named(name: str) -> str:
    return f"filename {base64.b64encode(name.encode()).decode()},filetype aW1hZ2U="


def test_tus_creates_resumes_and_ends_an_upload(store: UploadStore) -> None:
    assert ask(store, "OPTIONS", "/uploads").headers["Tus-Max-Size"] == str(1 << 22)
    made = ask(store, "POST", "/uploads", upload_length="10", upload_metadata=named("Ärger.png"))
    assert (made.status, made.headers["Upload-Offset"]) == (201, "0")
    path = made.headers["Location"].removeprefix("/lepton")
    part = {"content_type": "application/offset+octet-stream"}
    assert ask(store, "PATCH", path, b"abcd", upload_offset="0", **part).headers["Upload-Offset"] == "4"
    conflict = ask(store, "PATCH", path, b"zz", upload_offset="0", **part)
    assert conflict.status == 409 and b"go on from there" in conflict.body
    seen = ask(store, "HEAD", path)
    assert (seen.status, seen.headers["Upload-Offset"], seen.headers["Upload-Length"]) == (200, "4", "10")
    assert (seen.headers["Cache-Control"], seen.body) == ("no-store", b"")
    assert ask(store, "PATCH", path, b"efghij", upload_offset="4", **part).status == 204
    [upload] = store.of_owner("ada")
    assert store.path(upload).read_bytes() == b"abcdefghij" and upload.name == "Ärger.png"
    for method in ("HEAD", "PATCH", "DELETE"):
        assert ask(store, method, path, upload_offset="0", owner="bob", **part).status == 404
    assert ask(store, "DELETE", path).status == 204
    assert ask(store, "HEAD", path).status == 404
    whole = ask(store, "POST", "/uploads", b"abc", upload_length="3", upload_metadata=named("a.npy"), **part)
    assert (whole.status, whole.headers["Upload-Offset"]) == (201, "3")


@pytest.mark.parametrize(
    ("headers", "status", "word"),
    [
        ({"tus_resumable": "0.2"}, 412, b"1.0.0"),
        ({"upload_length": "x"}, 400, b"Upload-Length is x"),
        ({"upload_length": "-5"}, 400, b"Upload-Length"),
        ({"upload_length": "9" * 30}, 400, b"Upload-Length"),
        ({"upload_length": str(1 << 40), "upload_metadata": named("a.png")}, 413, b"at most"),
        ({}, 400, b"Upload-Length is missing"),
        ({"upload_length": "5", "upload_metadata": "filename !!"}, 400, b"base64"),
        ({"upload_length": "5", "upload_metadata": "x" * 5000}, 400, b"at most 4,096"),
        ({"upload_length": "5"}, 400, b"has no filename"),
        ({"upload_length": "5", "upload_metadata": named("a.txt")}, 400, b"suffix"),
        ({"upload_defer_length": "1"}, 400, b"must be known"),
    ],
)
def test_tus_says_what_is_wrong(store: UploadStore, headers: dict[str, str], status: int, word: bytes) -> None:
    answer = ask(store, "POST", "/uploads", **headers)
    assert (answer.status, word in answer.body) == (status, True), answer.body
    assert list(store.of_owner("ada")) == []


def test_tus_needs_an_owner_and_the_content_type_of_parts(store: UploadStore) -> None:
    answer = ask(store, "POST", "/uploads", owner=None, upload_length="3", upload_metadata=named("a.png"))
    assert answer.status == 401 and b"log in" in answer.body
    upload = store.begin("ada", "a.png", 3)
    assert ask(store, "PATCH", f"/uploads/{upload.id}", b"abc", upload_offset="0").status == 415


def test_every_error_of_a_store_is_an_error_of_this_package(store: UploadStore) -> None:
    store.folder.parent.mkdir(parents=True, exist_ok=True)
    store.folder.write_text("no folder")
    with pytest.raises(LeptonError, match="cannot be stored"):
        store.begin("ada", "a.png", 3)


def test_the_quota_ignores_what_a_process_left_that_died(tmp_path: Path) -> None:
    store = UploadStore(tmp_path, UploadLimits(owner_files=2, owner_bytes=10))
    begun = store.begin("ada", "a.npy", 4)
    about = store.path(begun).with_name("about.json")
    kept = about.read_bytes()
    about.unlink()
    store.begin("ada", "b.npy", 6)
    about.write_bytes(kept)  # it was only out of reach for a moment
    with pytest.raises(QuotaExceeded, match="2 files"):
        store.begin("ada", "c.npy", 1)
    with pytest.raises(QuotaExceeded, match="11 bytes"):
        UploadStore(tmp_path, UploadLimits(owner_bytes=10)).begin("ada", "c.npy", 1)
