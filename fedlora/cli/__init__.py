"""The command line: one thin command for each thing a user does."""

import sys

import typer
from click.exceptions import BadParameter, ClickException, NoArgsIsHelpError, UsageError

from fedlora.cli.adapters import app as adapters_app
from fedlora.cli.bank import app as bank_app
from fedlora.cli.bank_import import import_adapters
from fedlora.cli.bench import app as bench_app
from fedlora.cli.coverage import show_coverage
from fedlora.cli.deploy import app as deploy_app
from fedlora.cli.errors import one_line_errors, term_as_interrupt
from fedlora.cli.evaluate import evaluate
from fedlora.cli.generate import generate
from fedlora.cli.generator import app as generator_app
from fedlora.cli.listing import generators, tasks
from fedlora.cli.quarantine import app as quarantine_app
from fedlora.cli.report import report, results
from fedlora.cli.run import run
from fedlora.cli.task_vector import task_vector
from fedlora.errors import FedloraError

app = typer.Typer(
    name="fedlora",
    help="Federated learning of LoRA adapters: clients send adapters, newcomers receive one.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (run, task_vector, generate, evaluate, report, results, tasks, generators):
    app.command()(command)
app.add_typer(adapters_app, name="adapters")
bank_app.command("import")(import_adapters)
bank_app.command("coverage")(show_coverage)
bank_app.add_typer(quarantine_app, name="quarantine")
app.add_typer(bank_app, name="bank")
app.add_typer(generator_app, name="generator")
app.add_typer(bench_app, name="bench")
app.add_typer(deploy_app, name="deploy")


def main() -> None:
    """Entry point of the `fedlora` command."""
    with one_line_errors(), term_as_interrupt():
        try:
            status = app(standalone_mode=False)
        except NoArgsIsHelpError as error:
            error.show()
            status = error.exit_code
        except ClickException as error:
            raise FedloraError(_told(error)) from None
    sys.exit(status or 0)


def _told(error: ClickException) -> str:
    """What was wrong with a command, and where to read on."""
    # What others say of themselves would have their suggestions twice.
    said = error.format_message() if isinstance(error, BadParameter) else error.message
    context = error.ctx if isinstance(error, UsageError) else None
    return f"{said.rstrip('.')} (see {context.command_path} --help)" if context else said
