"""QR codes as the old API gave them."""

from __future__ import annotations

import base64
import io

import qrcode


def png_base64(text: str) -> str:
    """A QR code of ``text`` as PNG in base64."""
    out = io.BytesIO()
    qrcode.make(text).save(out)
    return base64.b64encode(out.getvalue()).decode()
