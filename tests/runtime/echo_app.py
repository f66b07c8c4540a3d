"""The echo federation as Flower apps, for a deployment's processes to import."""

import json

from fedlora.errors import FedloraError
from fedlora.runtime.clientapp import client_app
from fedlora.runtime.serverapp import server_app
from tests.runtime.echo import ask, respond


def live(config, folder, serve):
    """Ask what questions.json holds, write what came back."""
    rounds = json.loads((folder / "questions.json").read_text())
    answers = []

    if not rounds:
        raise FedloraError("there is nothing to ask")

    def story(transport):
        for questions in rounds:
            replies = ask(transport, questions)
            answers.append(
                [[r.error, (r.frame or b"").decode()] for _, r in sorted(replies.items())]
            )

    serve(config, 11, story)
    (folder / "answers.json").write_text(json.dumps(answers))


server = server_app(live)
client = client_app(respond)
