"""TLS to a broker: whose certificates are trusted, and which one is shown; from the address."""

from __future__ import annotations

import ssl

from eventbus.brokers.address import BrokerAddress
from eventbus.errors import BrokerAddressError

_MOST_CAUSES = 8


def tls_context(address: BrokerAddress) -> ssl.SSLContext | None:
    """What a connection is encrypted by; None when the address does not ask for that.

    The server's certificate and its name are always checked: by the authorities in the file
    ``ca``, else by those that this machine trusts. Raises BrokerAddressError when a file is not
    there or not what it should be.
    """
    if not address.is_encrypted:
        return None
    ca, cert = address.option("ca", ""), address.option("cert", "")
    try:
        context = ssl.create_default_context(cafile=ca or None)
    except OSError as error:
        raise _error("ca", ca, error) from None
    if cert:
        key = address.option("key", "")
        try:
            context.load_cert_chain(cert, key or None, _no_password)
        except OSError as error:
            names = f"{cert} with {key}" if key else cert
            raise _error("cert", names, error) from None
    return context


def why_untrusted(error: BaseException | None) -> str | None:
    """What is wrong with the server's certificate, if that is behind an error."""
    for _ in range(_MOST_CAUSES):  # they may go round in a circle
        if isinstance(error, ssl.SSLCertVerificationError):
            return untrusted(error.verify_message)
        error = error and (error.__cause__ or error.__context__)
    return None


def untrusted(detail: str) -> str:
    """For people, what to do about it included."""
    advice = "; the option ca names the file with the authority that has signed it"
    is_about_ca = any(word in detail for word in ("self-signed", "issuer", "could not be verified"))
    return f"the server's certificate is not trusted: {detail}{advice if is_about_ca else ''}"


def _no_password() -> str:
    return ""  # an encrypted key is an error, and no question at a terminal


def _error(option: str, names: str, error: OSError) -> BrokerAddressError:
    reason = error.strerror or str(error)
    if isinstance(error, ssl.SSLError):
        reason = {
            "NO_CERTIFICATE_OR_CRL_FOUND": "there is no certificate in it",
            "KEY_VALUES_MISMATCH": "the key is not that of the certificate",
        }.get(error.reason or "", f"it cannot be read as PEM ({error.reason or error})")
    return BrokerAddressError(f"{option}: {names[:200]}: {reason}")
