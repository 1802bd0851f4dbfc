"""What the machine itself must have: libraries for PDFs, a font, and for the tests a browser."""

from __future__ import annotations

import shutil
from pathlib import Path

from compose.local import debian, places, shell
from compose.local.console import step, warn

PDF_LIBRARIES = {
    "libgobject-2.0.so.0": "libglib2.0-0",
    "libpango-1.0.so.0": "libpango-1.0-0",
    "libpangoft2-1.0.so.0": "libpangoft2-1.0-0",
    "libharfbuzz.so.0": "libharfbuzz0b",
    "libharfbuzz-subset.so.0": "libharfbuzz-subset0",
    "libfontconfig.so.1": "libfontconfig1",
}
FONT_PACKAGE = "fonts-dejavu-core"
FONT_FOLDERS = (
    Path("/usr/share/fonts"),
    Path("/usr/local/share/fonts"),
    Path.home() / ".local/share/fonts",
    Path.home() / ".fonts",
)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def ensure_pdf() -> None:
    """Install what PDF reports need, where we may; else say what to run. All but the reports works without."""
    _ensure(pdf_packages(), "libraries and a font for PDF reports", "PDF reports will fail until")


def ensure_browser() -> Path | None:
    """The browser for the tests, installed where we may."""
    if not browser():
        _ensure(["chromium"], "a browser for the tests", "the browser's tests cannot run until")
    return browser()


def browser() -> Path | None:
    """A Chromium on this machine."""
    return next((Path(found) for found in map(shutil.which, BROWSERS) if found), None)


def pdf_packages() -> list[str]:
    """The Debian packages that are missing for PDFs."""
    missing = [PDF_LIBRARIES[library] for library in _lacking(list(PDF_LIBRARIES))]
    fonts = (font for folder in FONT_FOLDERS if folder.is_dir() for font in folder.rglob("*.[to]tf"))
    return missing if next(fonts, None) else [*missing, FONT_PACKAGE]


def _ensure(packages: list[str], title: str, consequence: str) -> None:
    if not packages:
        return
    command = f"sudo apt-get install -y --no-install-recommends {' '.join(packages)}"
    if debian.is_root():
        with step(f"{title}: {' '.join(packages)}"):
            if debian.install(packages):
                return
    warn(f"Missing {title}: {consequence} you run '{command}'")


def _lacking(libraries: list[str]) -> list[str]:
    """Those that the environment's Python can't load (tried in a process of its own, which then forgets them)."""
    probe = (
        "import ctypes, sys\nfor name in sys.argv[1:]:\n try: ctypes.CDLL(name)\n except OSError: print(name)"
    )
    answer = shell.output([places.VENV_PYTHON, "-c", probe, *libraries])
    return libraries if answer is None else answer.split()
