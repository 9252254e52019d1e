"""A certificate that nobody vouches for, or for another name, ends the request."""

import datetime
import ipaddress
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import outcomes
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from web import photo, running_web

from catalog.errors import UserError
from catalog.layout import Layout
from catalog.settings.collect import Collect
from curation.collect.run import collect


def _certificate(folder: Path, address: str) -> Path:
    """A self-signed certificate for `address`, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{address}.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize(
    ("address", "trusted", "outcome"),
    [("127.0.0.1", True, "stored"), ("127.0.0.1", False, "tls"), ("127.0.0.9", True, "tls")],
)
def test_certificates_are_verified(
    settings: Collect,
    layout: Layout,
    url_list: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    trusted: bool,
    outcome: str,
) -> None:
    certificate = _certificate(tmp_path, address)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with running_web(tls=context) as web:
        url = web.serve("/1.jpg", photo(1)).replace("http:", "https:")
        try:
            table = collect([url_list(url)], layout, settings).folder
        except UserError:
            (table,) = layout.collecting.glob("*/snapshot")
        assert table is not None
        assert outcomes(table)[url]["outcome"] == outcome
        assert web.seen["/1.jpg"] == (outcome == "stored")
