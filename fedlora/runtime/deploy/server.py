"""`fedlora deploy server`: a SuperLink, the gate in front of it, and the keys that may pass."""

import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from datetime import UTC, datetime

from fedlora.errors import FedloraError
from fedlora.runtime.deploy import certificates, private, shares
from fedlora.runtime.deploy.control import write_connection
from fedlora.runtime.deploy.gate import Doors, Standing, gate
from fedlora.runtime.deploy.guests import Guests
from fedlora.runtime.deploy.place import FILE, Place
from fedlora.runtime.deploy.verdicts import verdict
from fedlora.runtime.deploy.watch import Say, Service, watch
from fedlora.runtime.processes import flower_environment, start

_PATIENCE, _SOON = 90.0, 2.0


def run_server(place: Place, bind: str, say: Say, done: Callable[[], bool]) -> None:
    """Serve until `done`; whatever ends meanwhile is started again.

    The gate opens once every key is registered, so that no client is refused that has one.

    Args:
        place: a server's.
        bind: the address to open to clients; the loopback alone where the place is insecure.
        say: is told who was refused, who was let in, what ended.
        done: asked several times a second.

    Raises:
        FedloraError: a port is taken, a secret can be read by others, or the SuperLink cannot run.
    """
    if not place.facts.secure and bind not in ("127.0.0.1", "::1"):
        raise FedloraError(f"{place.folder}: without TLS it listens on 127.0.0.1 alone")
    if place.facts.secure:
        private.check(place.key)
    private.folder(place.state)
    env = flower_environment(write_connection(place))
    if place.facts.secure:
        env |= shares.variable(place)
    log, began = place.state / "superlink.log", 0

    def begin() -> subprocess.Popen[bytes]:
        nonlocal began
        began = log.stat().st_size if log.exists() else 0
        return start(_command(place), env, log)

    service = Service("SuperLink", begin, lambda: verdict("SuperLink", log, began))
    guests = Guests(place, say)
    gate_of_place, shut = _gate(place, bind, guests.standing, say), True
    with ExitStack() as opened:

        def until() -> bool:
            nonlocal shut
            if place.facts.secure:
                guests.look()
            if shut and (guests.registered or not place.facts.secure):
                opened.enter_context(gate_of_place)
                say(f"serving {place.facts.name} at {bind} port {place.facts.port}")
                shut = False
            return done()

        watch([service], until, say)


def wait_for_superlink(place: Place, say: Say) -> None:
    """Return when the SuperLink takes connections.

    say: is told, where it does not at once.

    Raises:
        FedloraError: it did not in time.
    """
    address = ("127.0.0.1", place.facts.control_port)
    began, told = time.monotonic(), False
    while time.monotonic() < began + _PATIENCE:
        with suppress(OSError), socket.create_connection(address, timeout=1.0):
            return
        if not told and time.monotonic() > began + _SOON:
            say(f"waiting for the SuperLink at port {address[1]}, {_PATIENCE:g} s at most")
            told = True
        time.sleep(0.1)
    raise FedloraError(f"no SuperLink at port {address[1]} here; run fedlora deploy server")


def _command(place: Place) -> list[str]:
    """The SuperLink on the loopback; without TLS that is where the clients are, too."""
    where = ["--host", "127.0.0.1", "--port", str(place.facts.control_port)]
    where += ["--database", str(place.state / "superlink.sqlite")]
    if not place.facts.secure:
        return ["flower-superlink", "--insecure", *where]
    tls = ["--ssl-ca-certfile", str(place.ca), "--ssl-certfile", str(place.certificate)]
    tls += ["--ssl-keyfile", str(place.key), "--enable-supernode-auth"]
    return ["flower-superlink", *tls, *where]


def _gate(
    place: Place, bind: str, standing: Callable[[str], Standing], say: Say
) -> AbstractContextManager[None]:
    """The gate, shut; whether it can be opened is known."""
    if not place.facts.secure:
        return nullcontext()
    certificates.read_certificate(place.ca)
    certificates.read_key(place.key)
    until = certificates.read_certificate(place.certificate).not_valid_after_utc
    if until < datetime.now(UTC):
        raise FedloraError(
            f"{place.certificate}: expired on {until:%Y-%m-%d}; renew it with fedlora deploy renew"
        )
    try:
        ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        ours.minimum_version = ssl.TLSVersion.TLSv1_2
        ours.load_cert_chain(place.certificate, place.key)
        trust = ssl.create_default_context(cafile=str(place.ca))
    except (OSError, ssl.SSLError) as error:
        raise FedloraError(
            f"{place.certificate}: not of {place.key.name} ({error}); make both anew with fedlora"
            " deploy renew"
        ) from None
    try:
        # Opened here, so that a taken port is known before anything is started.
        family = socket.AF_INET6 if ":" in bind else socket.AF_INET
        socket.create_server((bind, place.facts.port), family=family).close()
    except OSError as error:
        raise FedloraError(
            f"cannot open port {place.facts.port} of {bind} ({error.strerror}): free it, or name"
            f" another address with --bind, or another port in {place.folder / FILE} of every"
            " machine"
        ) from None
    return gate(Doors(bind, place.facts.port, ours, place.facts.control_port, trust, standing), say)
