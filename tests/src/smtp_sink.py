"""A real SMTP server for tests. Keeps what it accepts as files, and misbehaves for some recipients' domains.

    smtp_sink.py FOLDER [--port 0] [--tls CERT KEY] [--require-starttls] [--user NAME --password WORD]
                 [--drops 1] [--tarpit 30] [--end-with-stdin]

Prints `listening PORT` once it takes connections. By the domain of any recipient:

    @temporary.example  451 at RCPT, until the file FOLDER/accept-temporary exists
    @permanent.example  550 at RCPT
    @dropped.example    takes the message and cuts the connection before the answer, the first --drops times for
                        each Message-ID; accepts it afterwards
    @tarpit.example     answers DATA after --tarpit seconds, or at once when the file FOLDER/release-tarpit exists
                        when DATA arrives
    anything else       accepts at once

Each message is FOLDER/NNNNNNNN-RANDOM.eml, with FOLDER/NNNNNNNN-RANDOM.json beside it: mail_from, rcpt_to,
arrived_at (Unix seconds), answered, message_id, tls, user. Whoever sees an .eml finds its .json. What else
happened is in FOLDER/events.jsonl, one object a line: {"event": "hello"|"temporary"|"permanent"|"tarpit"|
"dropped"|"accepted", "address": ...}.
"""

import argparse
import asyncio
import email.parser
import email.policy
import hashlib
import json
import logging
import os
import pathlib
import secrets
import ssl
import sys
import threading
import time

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


def domain(address):
    return address.rpartition("@")[2].rstrip(">").lower()


def message_id(content):
    """The Message-ID, or a digest of the message where it has none that can be read."""
    try:
        headers = email.parser.BytesHeaderParser(policy=email.policy.compat32).parsebytes(content)
        found = str(headers.get("Message-ID", "")).strip()
    except Exception:  # whatever a broken header makes the parser do
        found = ""
    return found or "sha256:" + hashlib.sha256(content).hexdigest()


class Folder:
    """Where the messages are kept."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self.drops = {}
        self.counter = 0
        for sidecar in self.path.glob("*.json"):
            number = sidecar.name.partition("-")[0]
            if number.isdigit():
                self.counter = max(self.counter, int(number))
            try:
                kept = json.loads(sidecar.read_text())
            except (OSError, ValueError):
                continue
            if kept.get("answered") is False:
                self.drops[kept["message_id"]] = self.drops.get(kept["message_id"], 0) + 1
        self.events = open(self.path / "events.jsonl", "a", encoding="utf-8", buffering=1)

    def note(self, event, address=None):
        self.events.write(json.dumps({"event": event, "address": address}) + "\n")

    def has(self, switch):
        return (self.path / switch).exists()

    def keep(self, envelope, session, identity, answered):
        self.counter += 1
        name = f"{self.counter:08}-{secrets.token_hex(4)}"
        sidecar = {
            "mail_from": envelope.mail_from,
            "rcpt_to": envelope.rcpt_tos,
            "arrived_at": time.time(),
            "answered": answered,
            "message_id": identity,
            "tls": session.ssl is not None,
            "user": session.auth_data,
        }
        # The message last, so that whoever sees it finds the rest.
        self.write(name + ".json", json.dumps(sidecar).encode())
        self.write(name + ".eml", envelope.original_content or b"")

    def write(self, name, content):
        unfinished = self.path / ("." + name)
        unfinished.write_bytes(content)
        os.replace(unfinished, self.path / name)


class Handler:
    """Decides by the recipient's domain."""

    def __init__(self, folder, drops, tarpit):
        self.folder = folder
        self.drops = drops
        self.tarpit = tarpit

    async def handle_EHLO(self, server, session, envelope, hostname, responses):
        session.host_name = hostname
        self.folder.note("hello", hostname)
        return responses

    async def handle_RCPT(self, server, session, envelope, address, options):
        if domain(address) == "temporary.example" and not self.folder.has("accept-temporary"):
            self.folder.note("temporary", address)
            return "451 4.3.0 Not now"
        if domain(address) == "permanent.example":
            self.folder.note("permanent", address)
            return "550 5.1.1 No such mailbox"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        identity = message_id(envelope.original_content or b"")
        domains = {domain(address) for address in envelope.rcpt_tos}
        address = ", ".join(envelope.rcpt_tos)
        if "tarpit.example" in domains and not self.folder.has("release-tarpit"):
            self.folder.note("tarpit", address)
            await asyncio.sleep(self.tarpit)
        if "dropped.example" in domains and self.folder.drops.get(identity, 0) < self.drops:
            self.folder.drops[identity] = self.folder.drops.get(identity, 0) + 1
            self.folder.keep(envelope, session, identity, answered=False)
            self.folder.note("dropped", address)
            server.transport.abort()
            # The lost connection ends this task.
            await asyncio.sleep(60)
        self.folder.keep(envelope, session, identity, answered=True)
        self.folder.note("accepted", address)
        return "250 2.0.0 Taken"

    async def handle_exception(self, error):
        return f"451 4.3.0 {type(error).__name__}"


def authenticator(user, password):
    def authenticate(server, session, envelope, mechanism, data):
        right = (
            isinstance(data, LoginPassword)
            and data.login == user.encode()
            and data.password == password.encode()
        )
        return AuthResult(success=right, handled=False, auth_data=user if right else None)

    return authenticate


def end_with_stdin():
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    parser.add_argument("--require-starttls", action="store_true")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--drops", type=int, default=1)
    parser.add_argument("--tarpit", type=float, default=30)
    parser.add_argument("--end-with-stdin", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)

    folder = Folder(options.folder)
    handler = Handler(folder, options.drops, options.tarpit)
    settings = {"hostname": "sink.example", "ident": "sink", "enable_SMTPUTF8": False}
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*options.tls)
        settings.update(tls_context=context, require_starttls=options.require_starttls)
    if options.user is not None:
        settings.update(
            auth_required=True,
            auth_require_tls=bool(options.tls),
            authenticator=authenticator(options.user, options.password or ""),
        )

    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, loop=loop, **settings), "127.0.0.1", options.port, backlog=1024
    )
    if options.end_with_stdin:
        threading.Thread(target=end_with_stdin, daemon=True).start()
    print("listening", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
