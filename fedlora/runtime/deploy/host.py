"""The process that plays Flower's ClientApp for a SuperNode, the same one for every message.

    python -m fedlora.runtime.deploy.host 127.0.0.1:PORT SECRET_FILE

A SuperNode in process isolation offers its messages to whoever knows the secret, and Flower's own
SuperExec would start a process for each, install the app that came with the run, and import it.
This one answers with fedlora's ClientApp alone, already imported: no code that comes over the
network runs here. It starts no process, and holds a model only where no worker does.
"""

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from flwr.app import Error, Message
from flwr.common.constant import ErrorCode, SubStatus
from flwr.proto.runtime_pb2 import AcquireTaskRequest, PushTaskOutputRequest
from flwr.supercore.constant import TaskType
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.retry import make_simple_http_retry_invoker
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

from fedlora.runtime.clientapp import app

_EVERY, _BUSY = 0.1, 1.0
"""Seconds between two looks for a message, by a host that is idle and by one that answers."""
_GRACE = 5.0
"""Seconds to end a turn in whose answer the SuperNode already has."""
_ACQUIRE = "/flwr.proto.Runtime/AcquireTask"

_WORKING = threading.Lock()
"""Held by who works: the base model is one."""

log = logging.getLogger("flwr")


@dataclass(frozen=True)
class _Turn:
    """One message, in a thread of its own: from the SuperNode's offer to the answer.

    client: holds the message's token. renew: makes another that does, and asks once.
    """

    client: RuntimeHttpClient
    thread: threading.Thread
    renew: Callable[[], RuntimeHttpClient]

    def give_up(self) -> None:
        """End a turn whose message will never be whole.

        A SuperNode offers one message at a time. Where a run ends while the SuperNode fetches a
        message, it forgets that one and offers the next, but whoever has taken the first would
        wait for the rest of it for hours.
        """
        self.thread.join(_GRACE)
        if self.thread.is_alive():
            log.warning("the rest of a message never came: its run has ended")
            # Else the SuperNode answers it with an error once its patience ends, takes that for the
            # answer to the message it then waits for, and stays one answer behind from there on.
            self.client.close()
            self.thread.join(_GRACE)
            with suppress(httpx.HTTPError), closing(self.renew()) as client:
                client.PushTaskOutput(PushTaskOutputRequest(sub_status=SubStatus.FAILED))


def main() -> None:
    """Answer messages until killed."""
    # Flower interrupts the process whose token is refused; here that is one message's fault.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    address, secret = sys.argv[1], Path(sys.argv[2]).read_bytes()
    answer_messages(address, secret, lambda: False)


def answer_messages(address: str, secret: bytes, done: Callable[[], bool]) -> None:
    """Answer a SuperNode's messages, one at a time.

    Args:
        address: of the SuperNode's Runtime API.
        secret: known to those who may ask it for messages.
        done: asked between two looks for a message.
    """
    signed = SuperExecAuthHttpInterceptor(master_secret=secret, protected_methods={_ACQUIRE})
    asking = _client(address, signed)
    wanted = AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP])
    turn: _Turn | None = None
    while not done():
        if turn is not None:
            turn.thread.join(_BUSY)
        try:
            offered = asking.AcquireTask(wanted)
        except httpx.HTTPError as error:
            log.warning("the SuperNode does not answer: %s", error)
            time.sleep(1.0)
            continue
        if offered.HasField("task") and offered.token:
            if turn is not None:
                turn.give_up()
            turn = _begin(address, offered.token)
        elif turn is None or not turn.thread.is_alive():
            turn = None
            time.sleep(_EVERY)


def _begin(address: str, token: str) -> _Turn:
    client = _client(address, RuntimeTokenHttpInterceptor(token))
    thread = threading.Thread(target=play, args=(client,), daemon=True)
    thread.start()
    return _Turn(client, thread, lambda: _client(address, RuntimeTokenHttpInterceptor(token), 1))


def play(client: RuntimeHttpClient) -> None:
    """Answer the message that a client's token stands for; a fault costs this message only."""
    began = time.perf_counter()
    beats = HeartbeatSender(make_task_heartbeat_fn_http(client))
    beats.start()
    try:
        message, context, _, _ = pull_task_input(client)
        try:
            with _WORKING:
                reply = app(message, context)
        except Exception as error:  # noqa: BLE001 - what is wrong with a message is said to its sender
            reason = f"{type(error).__name__}: {error}"
            reply = Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, reason), reply_to=message)
        push_message(client, reply, context)
        push_task_output(client, context, SubStatus.COMPLETED, "")
        log.info("answered in %.3f s", time.perf_counter() - began)
    except Exception as error:  # noqa: BLE001 - the SuperNode ended, or the run did
        log.warning("a message could not be answered: %s", error)
    finally:
        with suppress(RuntimeError):  # of a client that was closed meanwhile
            beats.stop()
        client.close()


def _client(
    address: str,
    auth: RuntimeTokenHttpInterceptor | SuperExecAuthHttpInterceptor,
    tries: int | None = None,
) -> RuntimeHttpClient:
    retries = make_simple_http_retry_invoker()
    retries.max_tries = tries
    return RuntimeHttpClient.from_server_address(
        address,
        insecure=True,  # the SuperNode's own machine
        root_certificates=None,
        interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr-clientapp"), auth],
        retry_invoker=retries,
    )


if __name__ == "__main__":
    main()
