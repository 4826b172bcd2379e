"""Checks the certificate that calls over https and wss are to be made with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .finding import OK, PROBLEM, WARNING, Finding

if TYPE_CHECKING:
    from voice_server.config import Config


async def check_tls(config: Config) -> list[Finding]:
    if not config.serves_tls:
        said = "http and ws; OpenAI's package for Node.js wants wss: serve --tls"
        return [Finding(OK, "TLS", said)]
    from voice_server.web.certificates import (
        RENEWED_BEFORE,
        BadCertificate,
        given_certificate,
        kept_certificate,
        names_of_this_machine,
        now,
    )

    if config.tls_cert is None:
        names = names_of_this_machine(config.host)
        kept = kept_certificate(config.tls_folder, names, now())
        if kept is None:
            return [Finding(OK, "TLS", f"a certificate will be made in {config.tls_folder}")]
        return [Finding(OK, "TLS", f"our own certificate, {kept.path}, until {kept.expires:%F}")]
    try:
        given = given_certificate(config.tls_cert, config.tls_key)
    except BadCertificate as error:
        remedy = "Correct VOICE_SERVER_TLS_CERT and VOICE_SERVER_TLS_KEY."
        return [Finding(PROBLEM, "TLS", str(error), remedy)]
    said = f"{given.path} is good until {given.expires:%F}"
    left = given.expires - now()
    if left.total_seconds() <= 0:
        return [Finding(PROBLEM, "TLS", f"{given.path} ended on {given.expires:%F}", "Renew it.")]
    if left < RENEWED_BEFORE:
        return [Finding(WARNING, "TLS", said, "Renew it, and start the server again.")]
    return [Finding(OK, "TLS", said)]
