"""`fedlora deploy`: a federation over several machines."""

import typer

from fedlora.cli.deploy.looking import doctor, status
from fedlora.cli.deploy.machines import client, init, invite, renew, revoke, server
from fedlora.cli.deploy.runs import adopt, serve, submit

app = typer.Typer(help="A federation over several machines.", no_args_is_help=True)
for command in (init, invite, revoke, renew, server, client, submit, serve, adopt, status, doctor):
    app.command()(command)
