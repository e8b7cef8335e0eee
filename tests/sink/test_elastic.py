"""Elasticsearch as a destination: what is sent to each version, and what is made of its answers."""

import asyncio
import gc
import re
import socket
import ssl
import sys
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from shipper.buffer.chunk import compress
from shipper.config import ElasticsearchConfig
from shipper.errors import SinkRefused, SinkUnavailable
from shipper.sink.bulk import Outcomes
from shipper.sink.elastic import Elasticsearch
from tests.fakes import elasticsearch as fakes
from tests.fakes.certificates import Authority, make_authority
from tests.fakes.elasticsearch import FakeElasticsearch, says
from tests.nobody import as_nobody
from tests.sink.documents import bulk_lines

T = TypeVar("T")
SECRET = "s3cret-and-long"


def chunk(*ids: str) -> bytes:
    """A chunk with these documents."""
    return compress(b"".join(bulk_lines("logs", name, b'{"log":"x"}') for name in ids))


ONE, TWO = chunk("a"), chunk("a", "b")


def use(
    fake: FakeElasticsearch,
    work: Callable[[Elasticsearch], Awaitable[T]],
    *,
    tls: ssl.SSLContext | None = None,
    **settings: Any,  # noqa: ANN401  # as they stand in a configuration
) -> T:
    """Let a fake serve, and do something with it as a destination."""

    async def run() -> T:
        async with fake.serving(tls=tls):
            tree = {"url": fake.url, "request_timeout_secs": 5, **settings}
            sink = Elasticsearch(ElasticsearchConfig.model_validate(tree), connections=2)
            try:
                return await work(sink)
            finally:
                await sink.close()

    return asyncio.run(run())


async def send_one(sink: Elasticsearch) -> Outcomes:
    return await sink.send(ONE, 1)


async def send_two(sink: Elasticsearch) -> Outcomes:
    return await sink.send(TWO, 2)


def fault_of(fake: FakeElasticsearch, **settings: Any) -> SinkUnavailable:  # noqa: ANN401  # the same
    """The fault that sending two documents ends in."""
    with pytest.raises(SinkUnavailable) as fault:
        use(fake, send_two, **settings)
    return fault.value


# -- versions


@pytest.mark.parametrize(
    ("version", "distribution", "path", "is_gzip"),
    [
        ("2.4.1", None, "/shipper/fluentd/_bulk", False),
        ("5.6.16", None, "/shipper/fluentd/_bulk", True),
        ("6.8.23", None, "/shipper/fluentd/_bulk", True),
        ("7.10.2", None, "/_bulk", True),
        ("9.5.3", None, "/_bulk", True),
        ("10.0.0-SNAPSHOT", None, "/_bulk", True),
        ("2.19.6", "opensearch", "/_bulk", True),
        ("3.6.0", "opensearch", "/_bulk", True),
    ],
)
def test_each_version_gets_what_it_understands(
    version: str, distribution: str | None, path: str, *, is_gzip: bool
) -> None:
    """Old versions get a type in the URL, 2 plain bodies; OpenSearch's numbers are its own."""
    fake = FakeElasticsearch(version=version, distribution=distribution, reads_gzip=is_gzip)
    assert use(fake, send_two) == Outcomes(delivered=2)
    (request,) = fake.bulks
    assert request.path == path
    assert (request.headers.get("content-encoding") == "gzip") is is_gzip
    assert len(fake.documents) == 2


@pytest.mark.parametrize("status", [403, 404, 405])
def test_server_that_does_not_tell_its_version_is_a_new_one(status: int) -> None:
    """Where only _bulk is allowed, no right to ask for the version stops the shipping."""
    fake = FakeElasticsearch(version=None, root_status=status)
    assert use(fake, send_two) == Outcomes(delivered=2)
    assert fake.bulks[0].path == "/_bulk"


def test_configured_type_and_compression_win() -> None:
    """What an operator sets is not guessed."""
    fake = FakeElasticsearch(version="7.17.29")
    use(fake, send_one, document_type="_doc", compression="none")
    assert fake.bulks[0].path == "/shipper/_doc/_bulk"
    assert "content-encoding" not in fake.bulks[0].headers


def test_path_of_the_url_stands_in_front() -> None:
    """A proxy's prefix is kept."""

    async def work(sink: Elasticsearch) -> Outcomes:
        return await sink.send(ONE, 1)

    async def run() -> FakeElasticsearch:
        async with FakeElasticsearch().serving() as fake:
            settings = ElasticsearchConfig(url=f"{fake.url}/proxied/es/")
            sink = Elasticsearch(settings, connections=1)
            await work(sink)
            await sink.close()
            return fake

    fake = asyncio.run(run())
    assert [request.path for request in fake.requests] == ["/proxied/es/", "/proxied/es/_bulk"]


def test_server_that_comes_back_as_another_version_is_asked_again() -> None:
    """After a request that failed or was refused, the version may be another one."""
    fake = FakeElasticsearch(version="6.8.23", script=[says(400), fakes.close])

    async def work(sink: Elasticsearch) -> None:
        with pytest.raises(SinkRefused):
            await send_one(sink)
        fake.version = "9.5.3"
        with pytest.raises(SinkUnavailable):
            await send_one(sink)
        fake.version, fake.reads_gzip = "2.4.1", False
        await send_one(sink)

    use(fake, work)
    typed = "/shipper/fluentd/_bulk"
    assert [request.path for request in fake.bulks] == [typed, "/_bulk", typed]


def test_version_is_asked_once_while_all_goes_well() -> None:
    """Chunk after chunk costs one request each."""
    fake = FakeElasticsearch()

    async def work(sink: Elasticsearch) -> None:
        await sink.check()
        for _ in range(3):
            await send_one(sink)

    use(fake, work)
    assert len(fake.requests) == 4


# -- answers


def test_outcomes_are_the_items() -> None:
    """The fate of each document is read from its item."""
    fake = FakeElasticsearch(script=[fakes.refuses([None, (429, "es_rejected_execution")])])
    outcomes = use(fake, send_two)
    assert (outcomes.delivered, outcomes.retry) == (1, [1])


@pytest.mark.parametrize(
    "body",
    [
        b'{"errors":false,"items":[{"create":{"status":201}}]}',
        b'{"errors":false,"items":[]}',
        b'{"errors":true,"items":[{"create":{"status":201}},{"create":{"st',
        b"<html>Welcome to nginx</html>",
        b"",
    ],
)
def test_answer_that_does_not_account_for_all_is_not_believed(body: bytes) -> None:
    """A 200 without one item for each document means that they are sent again."""
    assert "one item for each of 2" in str(fault_of(FakeElasticsearch(script=[says(200, body)])))


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_server_that_cannot_now_is_unavailable(status: int) -> None:
    """Overload and faults of a server are waited out, with its words and its Retry-After."""
    body = fakes.error_answer("no master", status)
    script = [says(status, body, headers={"retry-after": "17"})]
    fault = fault_of(FakeElasticsearch(script=script))
    assert (fault.status, fault.retry_after_secs, fault.too_large) == (status, 17, False)
    assert f"answered {status}: some_exception: no master" in str(fault)


@pytest.mark.parametrize("text", ["Wed, 21 Oct 2026 07:28:00 GMT", "-1", "soon", "1.5"])
def test_retry_after_that_is_no_number_of_seconds_counts_as_none(text: str) -> None:
    """A date, or nonsense, leaves the wait to the jitter."""
    fault = fault_of(FakeElasticsearch(script=[says(503, headers={"retry-after": text})]))
    assert fault.retry_after_secs is None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 406, 415])
def test_refused_request_is_refused(status: int) -> None:
    """A whole request that is refused is told apart from a server that is away."""
    fake = FakeElasticsearch(script=[says(status, fakes.error_answer("no", status))])
    with pytest.raises(SinkRefused, match=f"answered {status}.*: no") as fault:
        use(fake, send_two)
    assert fault.value.status == status


@pytest.mark.parametrize("body", [b"", b"<h1>413 Request Entity Too Large</h1>"])
def test_too_large_request_is_to_be_split_and_its_connection_not_used_again(body: bytes) -> None:
    """After 413 the server may take the rest of the body for a request: 5 and 6 do."""
    ports: list[int] = []

    def noting(act: fakes.Act) -> fakes.Act:
        async def noted(
            es: FakeElasticsearch, request: fakes.Request, writer: asyncio.StreamWriter
        ) -> None:
            ports.append(writer.get_extra_info("peername")[1])
            await act(es, request, writer)

        return noted

    script = [noting(says(413, body)), noting(fakes.take), noting(fakes.take)]

    async def work(sink: Elasticsearch) -> None:
        with pytest.raises(SinkUnavailable) as fault:
            await send_two(sink)
        assert fault.value.too_large
        await send_two(sink)
        await send_two(sink)

    use(FakeElasticsearch(script=script), work)
    assert ports[0] != ports[1] == ports[2]


def test_old_server_that_keeps_closing_means_that_it_is_too_large() -> None:
    """2.4 has no 413: it closes; only if it answers between does that mean the size."""
    fake = FakeElasticsearch(version="2.4.1", script=[fakes.close] * 3)

    async def work(sink: Elasticsearch) -> list[bool]:
        verdicts = []
        for _ in range(3):
            with pytest.raises(SinkUnavailable) as fault:
                await send_two(sink)
            verdicts.append(fault.value.too_large)
        return verdicts

    assert use(fake, work) == [False, False, True]
    assert len(fake.requests) == 6, "each time it was asked before"


def test_old_server_without_gzip_is_named_as_the_cause() -> None:
    """With gzip forced on 2.4, its closing the connection says what to configure, not the size."""
    fake = FakeElasticsearch(version="2.4.1", reads_gzip=False)

    async def work(sink: Elasticsearch) -> str:
        for _ in range(4):
            with pytest.raises(SinkUnavailable, match=r"http\.compression") as fault:
                await send_two(sink)
            assert not fault.value.too_large
        return ""

    use(fake, work, compression="gzip")


# -- no answer


@pytest.mark.parametrize("act", [fakes.take_and_hang, fakes.trickle])
def test_server_that_does_not_come_to_an_end_is_given_up(act: fakes.Act) -> None:
    """Silence, and an answer a byte at a time, end with the request's timeout."""
    fault = fault_of(FakeElasticsearch(script=[act]), request_timeout_secs=0.3)
    assert "no answer within 0.3 s" in str(fault)


def test_endless_answer_is_cut_off() -> None:
    """Not more than max_response_bytes of an answer is held in memory."""
    fake = FakeElasticsearch(script=[fakes.take_and_babble])
    assert "longer than 1048576 bytes" in str(fault_of(fake, max_response_bytes=1 << 20))


def test_reset_in_the_middle_of_an_answer_is_no_answer() -> None:
    """What arrived of it is not read, and the next request has a new connection."""
    fake = FakeElasticsearch(script=[fakes.take_and_reset])

    async def work(sink: Elasticsearch) -> Outcomes:
        with pytest.raises(SinkUnavailable):
            await send_two(sink)
        return await send_two(sink)

    assert use(fake, work) == Outcomes(duplicates=2)


def test_redirect_is_not_followed() -> None:
    """A POST would be followed by a GET; where it leads to is said instead."""
    elsewhere = says(302, headers={"location": "http://login.example/"})
    fault = fault_of(FakeElasticsearch(script=[elsewhere]))
    assert "302, a redirect to http://login.example/" in str(fault)


def test_garbage_in_the_place_of_http_is_no_answer() -> None:
    """Another protocol at that port does not stop the program."""

    async def speak(_es: FakeElasticsearch, _: fakes.Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n\r\n")
        await writer.drain()

    assert "no answer" in str(fault_of(FakeElasticsearch(script=[speak])))


@pytest.mark.parametrize("host", ["127.0.0.1", "no-such-host.invalid"])
def test_server_that_is_not_there_is_named(host: str) -> None:
    """A closed port and an unknown name say which."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://{host}:{unused.getsockname()[1]}"

        async def run() -> None:
            sink = Elasticsearch(ElasticsearchConfig(url=url), connections=1)
            try:
                await sink.check()
            finally:
                await sink.close()

        with pytest.raises(SinkUnavailable, match="no connection") as fault:
            asyncio.run(run())
    assert url in str(fault.value)
    assert fault.value.status == 0


# -- credentials

EVE = b64encode(f"eve:{SECRET}".encode()).decode()


def test_basic_and_api_key_log_in(tmp_path: Path) -> None:
    """User and password, or an API key, go with every request, the first too."""
    key_file = tmp_path / "key"
    key_file.write_text(f"{SECRET}\n")
    pair = b64encode(f"writer:{SECRET}".encode()).decode()
    cases: list[tuple[dict[str, Any], str | None]] = [
        ({"username": "writer", "password": SECRET}, f"Basic {pair}"),
        ({"api_key_file": str(key_file)}, f"ApiKey {SECRET}"),
        ({}, None),
    ]
    for settings, header in cases:
        fake = FakeElasticsearch()
        use(fake, send_one, **settings)
        assert [request.headers.get("authorization") for request in fake.requests] == [header] * 2


def test_rotated_secret_is_used_at_once(tmp_path: Path) -> None:
    """The file of a secret is read at each request."""
    key_file = tmp_path / "key"
    key_file.write_text("old")
    fake = FakeElasticsearch()

    async def work(sink: Elasticsearch) -> None:
        await send_one(sink)
        key_file.write_text("new")
        await send_one(sink)

    use(fake, work, api_key_file=key_file)
    assert [r.headers["authorization"] for r in fake.bulks] == ["ApiKey old", "ApiKey new"]


@pytest.mark.parametrize("content", [None, b"", b"\n", b"two\nlines", b"\xff\xfe"])
def test_unusable_secret_file_is_named_and_waited_for(
    tmp_path: Path, content: bytes | None
) -> None:
    """A secret that is not there yet is no reason to end, and is not sent half."""
    key_file = tmp_path / "key"
    if content is not None:
        key_file.write_bytes(content)
    fake = FakeElasticsearch()
    assert str(key_file) in str(fault_of(fake, api_key_file=key_file))
    assert not fake.requests


@pytest.mark.parametrize(
    ("content", "header"),
    [
        ({}, None),
        ({"ca.crt": "not looked at without TLS"}, None),
        ({"username": "eve\n", "password": SECRET}, f"Basic {EVE}"),
        ({"api_key": SECRET}, f"ApiKey {SECRET}"),
    ],
    ids=["nothing", "only a CA", "password", "key"],
)
def test_directory_says_how_to_log_in(
    tmp_path: Path, content: dict[str, str], header: str | None
) -> None:
    """Whatever Secret is mounted there, also none: an optional one may be missing."""
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    fake = FakeElasticsearch()
    use(fake, send_one, access_dir=tmp_path)
    assert {request.headers.get("authorization") for request in fake.requests} == {header}


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["username"], "holds username: it must be"),
        (["api_key", "password", "username"], "holds api_key and password and username"),
        (None, "access_dir cannot be read"),
    ],
)
def test_directory_that_does_not_say_how_to_log_in_is_named(
    tmp_path: Path, names: list[str] | None, words: str
) -> None:
    """Half of a log-in, two of them, or a volume that is not mounted: nothing is sent."""
    for name in names or []:
        (tmp_path / name).write_text("x")
    folder = tmp_path if names else tmp_path / "missing"
    fake = FakeElasticsearch()
    said = str(fault_of(fake, access_dir=folder))
    assert str(folder) in said
    assert words in said
    assert not fake.requests


def test_failed_log_in_names_the_directory(tmp_path: Path) -> None:
    """A Secret that is optional and misnamed shows here."""
    fake = FakeElasticsearch(script=[says(401, b"{}")])
    with pytest.raises(SinkRefused, match=f"username and password, or api_key, in {tmp_path}"):
        use(fake, send_one, access_dir=tmp_path)


def test_failed_log_in_says_so_and_shows_no_secret() -> None:
    """401 names the keys to look at; neither message nor repr holds what was sent."""
    echo = fakes.error_answer(f"POST / HTTP/1.1\r\nAuthorization: ApiKey {SECRET}\r\n", 401)
    fake = FakeElasticsearch(script=[says(401, echo)])
    with pytest.raises(SinkRefused, match="api_key_file") as fault:
        use(fake, send_one, api_key=SECRET)
    assert SECRET not in str(fault.value)
    fake = FakeElasticsearch(root_status=401, version=None)
    with pytest.raises(SinkRefused, match="answered 401"):
        use(fake, lambda sink: sink.check(), api_key=SECRET)
    settings = ElasticsearchConfig.model_validate({"api_key": SECRET})
    assert SECRET not in repr(settings) + repr(Elasticsearch(settings, connections=1))


# -- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that no system knows, and its server."""
    return make_authority(tmp_path_factory.mktemp("tls"))


def test_named_issuer_is_trusted(authority: Authority) -> None:
    """With ca_file a server of an authority of one's own is talked to."""
    tls = authority.server_context()
    fake = FakeElasticsearch()
    assert use(fake, send_one, tls=tls, ca_file=authority.ca_file) == Outcomes(delivered=1)


def test_issuer_in_the_directory_is_trusted(authority: Authority, tmp_path: Path) -> None:
    """It may come later than the agent, and until then the message says where it belongs."""

    async def work(sink: Elasticsearch) -> Outcomes:
        with pytest.raises(SinkUnavailable, match=f"certificate into {tmp_path}/ca.crt"):
            await send_one(sink)
        (tmp_path / "ca.crt").write_bytes(authority.ca_file.read_bytes())
        return await send_one(sink)

    tls = authority.server_context()
    assert use(FakeElasticsearch(), work, tls=tls, access_dir=tmp_path) == Outcomes(delivered=1)


def test_directory_that_may_not_be_searched_is_named(tmp_path: Path) -> None:
    """With TLS, too, it is said, and waited for: only an issuer that is not there is none."""
    folder = tmp_path / "login"
    folder.mkdir(mode=0)
    settings = ElasticsearchConfig(url="https://127.0.0.1:1", access_dir=folder)
    said = re.escape(f"{folder}: access_dir cannot be read: Permission denied")
    with as_nobody(), pytest.raises(SinkUnavailable, match=said):
        asyncio.run(send_one(Elasticsearch(settings, connections=1)))


def test_certificate_need_not_be_verified(authority: Authority) -> None:
    """With verify_ssl off any certificate will do."""
    tls = authority.server_context()
    assert use(FakeElasticsearch(), send_one, tls=tls, verify_ssl=False) == Outcomes(delivered=1)


def test_unknown_issuer_names_host_and_remedy(authority: Authority) -> None:
    """A certificate that cannot be checked says whose, and which key mends it."""
    fake = FakeElasticsearch()
    with pytest.raises(SinkUnavailable) as fault:
        use(fake, send_one, tls=authority.server_context())
    assert f"{fake.url}: TLS failed" in str(fault.value)
    assert "output.elasticsearch.ca_file" in str(fault.value)
    assert not fake.requests


def test_mended_issuer_is_read_without_a_restart(authority: Authority, tmp_path: Path) -> None:
    """After TLS failed, ca_file is read anew."""
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(make_authority(tmp_path / "other").ca_file.read_bytes())

    async def work(sink: Elasticsearch) -> Outcomes:
        with pytest.raises(SinkUnavailable, match="TLS failed"):
            await send_one(sink)
        ca_file.write_bytes(authority.ca_file.read_bytes())
        return await send_one(sink)

    tls = authority.server_context()
    assert use(FakeElasticsearch(), work, tls=tls, ca_file=ca_file) == Outcomes(delivered=1)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_unusable_ca_file_is_named(tmp_path: Path, content: str | None) -> None:
    """A ca_file that is missing or holds no certificate is said, and waited for."""
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_text(content)
    settings = ElasticsearchConfig(url="https://127.0.0.1:1", ca_file=ca_file)
    with pytest.raises(SinkUnavailable, match=r"ca\.pem cannot be used"):
        asyncio.run(Elasticsearch(settings, connections=1).check())


def test_tls_that_is_not_spoken_there_is_said() -> None:
    """https:// to a port without TLS does not advise to name an issuer."""

    async def run() -> None:
        async with FakeElasticsearch().serving() as fake:
            url = fake.url.replace("http:", "https:")
            sink = Elasticsearch(ElasticsearchConfig(url=url), connections=1)
            try:
                await sink.check()
            finally:
                await sink.close()

    with pytest.raises(SinkUnavailable) as fault:
        asyncio.run(run())
    assert "http://" in str(fault.value)
    assert "ca_file" not in str(fault.value)


def test_failed_try_lets_go_of_its_chunk() -> None:
    """A chunk that was sent in vain is held by nothing, before the garbage collector comes by."""
    data = chunk("a")

    async def run() -> list[int]:
        fake = FakeElasticsearch()
        async with fake.serving():
            sink = Elasticsearch(ElasticsearchConfig(url=fake.url), connections=1)
            await sink.check()
        held = [sys.getrefcount(data)]
        for _ in range(2):  # with a known version, and while asking for it
            with suppress(SinkUnavailable):
                await sink.send(data, 1)
            await asyncio.sleep(0)
            held.append(sys.getrefcount(data))
        await sink.close()
        return held

    gc.disable()
    try:
        before, *after = asyncio.run(run())
    finally:
        gc.enable()
    assert after == [before, before]
