"""``python -m kauri.signer``: make, show, check, re-encrypt and serve. Its settings are its arguments."""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from kauri.signer import keystore, policy
from kauri.signer.errors import Unusable
from kauri.signer.journal import Journal
from kauri.signer.server import Desk, Server, describe


def main(argv: list[str] | None = None) -> None:
    """The command line; what goes wrong ends it with one line."""
    parser = argparse.ArgumentParser(prog="python -m kauri.signer", description=__doc__)
    parser.add_argument("--keystore", type=Path, required=True, metavar="FILE")
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help="default: asked for")
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="a new key store; says its phrase once, for paper")
    create.add_argument("--restore", action="store_true", help="read the phrase from standard input instead")
    create.add_argument("--quiet", action="store_true", help="do not say the phrase")
    commands.add_parser("check-backup", help="compare a phrase from standard input with the key store")
    change = commands.add_parser("change-passphrase", help="encrypt anew under another passphrase")
    change.add_argument("--new-passphrase-file", type=Path, metavar="FILE", help="default: asked for")
    show = commands.add_parser("show", help="the public keys that the back office is given")
    serve = commands.add_parser("serve", help="sign what the policy allows, on a Unix socket")
    for command in (show, serve):
        command.add_argument("--policy", type=Path, required=True, metavar="FILE")
    serve.add_argument("--journal", type=Path, required=True, metavar="FILE")
    serve.add_argument("--socket", type=Path, required=True, metavar="FILE")
    serve.add_argument("--allow-uid", type=int, action="append", default=[], metavar="UID")
    options = parser.parse_args(argv)
    run: dict[str, Callable[[argparse.Namespace], None]] = {
        "create": _create,
        "check-backup": _check_backup,
        "change-passphrase": _change,
        "show": _show,
        "serve": _serve,
    }
    try:
        run[options.command](options)
    except Unusable as problem:
        sys.exit(str(problem))


def _create(options: argparse.Namespace) -> None:
    if options.keystore.exists():
        raise Unusable(f"{options.keystore.name} exists: keys are never overwritten")
    phrase = keystore.check_phrase(sys.stdin.read()) if options.restore else keystore.make_phrase()
    keystore.write(options.keystore, phrase, _passphrase(options.passphrase_file, again=True))
    if not options.restore and not options.quiet:
        _say(f"Write these words on paper; they are the only backup:\n\n{phrase}\n")
    _say(f"Key store of {keystore.FileKeyStore(phrase).fingerprint.hex()} made.")


def _check_backup(options: argparse.Namespace) -> None:
    phrase = keystore.check_phrase(sys.stdin.read())
    if phrase != keystore.read(options.keystore, _passphrase(options.passphrase_file)):
        raise Unusable("the phrase is a right one, but not this key store's")
    _say("The backup is this key store's.")


def _change(options: argparse.Namespace) -> None:
    phrase = keystore.read(options.keystore, _passphrase(options.passphrase_file))
    keystore.write(options.keystore, phrase, _passphrase(options.new_passphrase_file, again=True))
    _say("The key store opens by the new passphrase only. Copies made before open by the old one.")


def _show(options: argparse.Namespace) -> None:
    store = keystore.FileKeyStore(keystore.read(options.keystore, _passphrase(options.passphrase_file)))
    _say(json.dumps(describe(store, policy.read(options.policy)), indent=1))


def _serve(options: argparse.Namespace) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    store = keystore.FileKeyStore(keystore.read(options.keystore, _passphrase(options.passphrase_file)))
    desk = Desk(store, policy.read(options.policy), Journal(options.journal))
    server = Server(options.socket, desk, frozenset(options.allow_uid))
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, lambda *_: threading.Thread(target=server.shutdown).start())
    logging.getLogger(__name__).info("keys of %s, serving %s", store.fingerprint.hex(), options.socket)
    try:
        server.serve_forever(poll_interval=0.2)
    finally:
        server.server_close()
        options.socket.unlink(missing_ok=True)


def _passphrase(file: Path | None, *, again: bool = False) -> str:
    if file is not None:
        try:
            return file.read_text().strip()
        except OSError as exc:
            raise Unusable(f"{file.name} can't be read: {exc.strerror}") from None
    first = getpass.getpass("Passphrase: ")
    if again and getpass.getpass("Once more: ") != first:
        raise Unusable("the two differ; nothing was written")
    return first


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
