"""`./run`: start Mission Control: database, server and worker, in one process or in several."""

from cli.command import (
    add_address_options,
    add_data_option,
    create_parser,
    load_settings,
    run_as_script,
    run_command,
)
from cli.server_process import run_server
from core.config.settings import Settings


def main(arguments: list[str]) -> int:
    parser = create_parser("[serve]", "Start Mission Control. Ctrl-C stops it.")
    add_address_options(parser)
    add_data_option(parser)
    parser.add_argument(
        "--workers", type=int, metavar="N", help="how many processes serve (WORKERS; else 1)"
    )
    options = parser.parse_args(arguments)
    return run_command(lambda: _run_configured(load_settings(options)))


def _run_configured(settings: Settings) -> int:
    """Serve with as many processes as the settings say."""
    if settings.workers == 1:
        return run_server(settings)
    from cli.supervisor import run_processes

    return run_processes(settings)


if __name__ == "__main__":
    run_as_script(main)
