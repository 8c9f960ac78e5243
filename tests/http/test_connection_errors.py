"""A call that brings no answer says which host failed, why, and what to do."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
import threading

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from langchain_openrouter import ChatOpenRouter, OpenRouterEmbeddings, UserKey, errors
from langchain_openrouter.catalog import Catalog
from tests.support.loopback import RESET, Reply
from tests.support.ports import free_port

KEY = "sentinel-key-0123456789"


def calls(url):
    """Return a call of each kind of client, sync and async."""
    model = ChatOpenRouter(model="a/b", api_key=KEY, base_url=url, max_retries=0)
    embeddings = OpenRouterEmbeddings(model="a/b", api_key=KEY, base_url=url, max_retries=0)
    key = UserKey(KEY, base_url=url)
    return {
        "invoke": lambda: model.invoke("x"),
        "ainvoke": lambda: asyncio.run(model.ainvoke("x")),
        "stream": lambda: list(model.stream("x")),
        "embed": lambda: embeddings.embed_query("x"),
        "catalog": lambda: Catalog(api_key=KEY, base_url=url, max_retries=0).models(),
        "info": key.info,
        "ainfo": lambda: asyncio.run(key.ainfo()),
    }


@pytest.fixture
def self_signed(tmp_path):
    """A TLS server on loopback whose certificate nobody trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "server.pem"
    file.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    listener = socket.create_server(("127.0.0.1", 0))

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()

    threading.Thread(target=accept, daemon=True).start()
    yield f"https://localhost:{listener.getsockname()[1]}/api/v1"
    listener.close()


NAMES = sorted(calls("http://127.0.0.1:9"))


@pytest.mark.parametrize("name", NAMES)
def test_a_refused_connection_names_host_and_port(name):
    """And the system's own reason."""
    port = free_port()

    with pytest.raises(errors.ConnectionFailedError) as caught:
        calls(f"http://127.0.0.1:{port}")[name]()

    assert f"127.0.0.1:{port}" in str(caught.value)
    assert "refused" in str(caught.value) or "attempts failed" in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_host_is_named(name):
    """With no colon where no port was given."""
    with pytest.raises(errors.ConnectionFailedError, match=r"nowhere\.invalid"):
        calls("https://nowhere.invalid/api/v1")[name]()


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_certificate_says_so(self_signed, name):
    """The reason is OpenSSL's."""
    with pytest.raises(errors.ConnectionFailedError, match="certificate"):
        calls(self_signed)[name]()


@pytest.mark.parametrize("name", [name for name in NAMES if "info" not in name])
def test_a_dead_proxy_is_named_without_its_password(monkeypatch, name):
    """So that nobody looks for the fault at OpenRouter."""
    port = free_port()
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("HTTPS_PROXY", f"http://ann:hunter2@127.0.0.1:{port}")

    with pytest.raises(errors.ConnectionFailedError) as caught:
        calls("https://openrouter.ai/api/v1")[name]()

    assert f"openrouter.ai through the proxy 127.0.0.1:{port}" in str(caught.value)
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__!r}"


@pytest.mark.off_spec("a server that resets")
def test_the_cause_is_the_clients_own_error_without_its_request(serve):
    """`__cause__` tells kinds apart, and holds neither request nor key."""
    server = serve(Reply([RESET]))
    model = ChatOpenRouter(model="a/b", api_key=KEY, base_url=server.url, max_retries=0)

    with pytest.raises(errors.ConnectionFailedError) as caught:
        model.invoke("x")

    cause = caught.value.__cause__
    assert isinstance(cause, httpx2.HTTPError)
    assert cause.__traceback__ is None
    with pytest.raises(RuntimeError):
        cause.request  # noqa: B018 - httpx2 raises where there is none


def test_the_exchange_names_the_host_too():
    """The sign-in's own error, with the cause."""
    from langchain_openrouter import PKCELogin

    port = free_port()
    login = PKCELogin.start(base_url=f"http://127.0.0.1:{port}")

    with pytest.raises(errors.SignInConnectionError, match=f"127.0.0.1:{port}") as caught:
        login.redeem("some-code")
    assert isinstance(caught.value.__cause__, httpx2.HTTPError)
