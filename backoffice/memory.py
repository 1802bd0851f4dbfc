"""What a process that serves does about memory once it has started."""

from __future__ import annotations

import gc
from typing import Final

#: Objects made since the last look; then looks at the young ones before all that have aged.
THRESHOLDS: Final = (50_000, 20, 50)


def settle() -> None:
    """What was loaded stays and is not looked at again; a page's own objects mostly go before anybody looks."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
