"""Whether an SDP offer is one that can be answered; what is wrong with it otherwise.

An offer is a stranger's text, and its parser was written for friends: whatever it raises on
nonsense becomes one clear refusal here. What parses is then held against what this server
does: one Opus track, one data channel, everything over one bundled transport.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # A command that takes no calls should not wait for this import.
    from aiortc.sdp import MediaDescription, SessionDescription

OFFER_BYTES_MAX = 64 * 1024
SECTIONS_MAX = 8
CANDIDATES_MAX = 64
PORT_MAX = 65_535
FINGERPRINTS = {"sha-256", "sha-384", "sha-512"}
# All that the parser is known to raise on text that is no SDP.
PARSER_ERRORS = (ValueError, LookupError, AssertionError, AttributeError, TypeError, OverflowError)


class BadOffer(Exception):
    """`status` 400: this is no offer; 413: too large; 422: an offer that we cannot serve."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def check_offer(offer: str) -> SessionDescription:
    """The parsed offer. Raises `BadOffer`."""
    from aiortc.sdp import SessionDescription

    if len(offer.encode(errors="replace")) > OFFER_BYTES_MAX:
        raise BadOffer(413, "offer_too_large", f"An offer has {OFFER_BYTES_MAX} bytes at most.")
    if not offer.lstrip().startswith("v=0"):
        raise BadOffer(400, "bad_sdp", "This is not an SDP offer.")
    try:
        description = SessionDescription.parse(offer)
    except PARSER_ERRORS:
        raise BadOffer(400, "bad_sdp", "This SDP cannot be read.") from None
    _check_shape(description)
    for media in description.media:
        _check_transport(media)
    _check_audio(description)
    return description


def _check_shape(description: SessionDescription) -> None:
    sections = description.media
    if len(sections) > SECTIONS_MAX:
        raise BadOffer(422, "too_many_sections", f"At most {SECTIONS_MAX} media sections.")
    names = [media.rtp.muxId for media in sections]
    if len(set(names)) != len(names):
        raise BadOffer(400, "bad_sdp", "Every media section needs a mid of its own.")
    bundle = next((group for group in description.group if group.semantic == "BUNDLE"), None)
    bundled = set(map(str, bundle.items)) if bundle else set()
    if bundled != set(names) and (bundled or len(sections) > 1):
        raise BadOffer(422, "not_bundled", "All media must share one transport (BUNDLE).")
    if sum(media.kind == "application" for media in sections) > 1:
        raise BadOffer(422, "too_many_sections", "At most one data channel section.")
    for media in sections:
        if media.kind not in {"audio", "video", "application"}:
            raise BadOffer(422, "unknown_media", f"Cannot serve {media.kind[:20]!r} media.")


def _check_transport(media: MediaDescription) -> None:
    if media.ice is None or not media.ice.usernameFragment or not media.ice.password:
        raise BadOffer(400, "bad_sdp", "The offer has no ICE user name and password.")
    if media.dtls is None or not media.dtls.fingerprints:
        raise BadOffer(400, "bad_sdp", "The offer has no DTLS fingerprint.")
    if not any(each.algorithm.lower() in FINGERPRINTS for each in media.dtls.fingerprints):
        raise BadOffer(422, "no_fingerprint", "Fingerprints must be SHA-256, 384 or 512.")
    if media.kind != "application" and not media.rtcp_mux:
        raise BadOffer(422, "no_rtcp_mux", "RTP and RTCP must share one port (rtcp-mux).")
    if len(media.ice_candidates) > CANDIDATES_MAX:
        raise BadOffer(422, "too_many_candidates", f"At most {CANDIDATES_MAX} candidates.")
    for candidate in media.ice_candidates:
        if not (_is_address(candidate.ip) or candidate.ip.endswith(".local")):
            raise BadOffer(400, "bad_candidate", "A candidate must be an address, not a name.")
        if not 0 <= candidate.port <= PORT_MAX:
            raise BadOffer(400, "bad_candidate", f"A candidate's port is {PORT_MAX} at most.")


def _check_audio(description: SessionDescription) -> None:
    audio = [media for media in description.media if media.kind == "audio"]
    if not audio:
        raise BadOffer(422, "no_audio", "A call needs an audio track.")
    if not any(codec.mimeType.lower() == "audio/opus" for codec in audio[0].rtp.codecs):
        raise BadOffer(422, "no_opus", "The audio track must offer the Opus codec.")
    if audio[0].direction not in {"sendrecv", "sendonly", "recvonly", None}:
        raise BadOffer(422, "no_audio", "The audio track is inactive.")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
