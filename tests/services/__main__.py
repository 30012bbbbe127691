"""``scripts/services``: start and stop a private RabbitMQ, Valkey and PostgreSQL from a shell."""

import os
import signal
import sys
from pathlib import Path

from tests.services import stack
from tests.services.base import ServiceError

_USAGE = """\
usage: scripts/services [--dir DIR] up [--rabbitmq 4]|urls|down|ctl …|psql …

  up     start a private RabbitMQ, Valkey and PostgreSQL on free ports, print their URLs as shell exports;
         --rabbitmq 4: not the RabbitMQ of this machine, but 4 from Debian trixie (as root on Debian, made once)
  urls   print them again
  ctl …  run rabbitmqctl on the private node: scripts/services ctl list_queues name messages
  psql … run psql on the private PostgreSQL: scripts/services psql -c 'SELECT version()'
  down   stop what `up` started; its data is not kept

DIR holds all they write and defaults to .services; in a shell: eval "$(scripts/services up)"
"""


def main(arguments: list[str]) -> int:
    """Run one command; 0, 1 with a line that says why not, or 2 with the usage."""
    folder = Path(__file__).parents[2] / ".services"
    if len(arguments) > 1 and arguments[0] == "--dir":
        folder, arguments = Path(arguments[1]), arguments[2:]
    # However `up` is stopped, it must not leave half of it behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        match arguments:
            case ["up"]:
                _print_exports(stack.up(folder))
            case ["urls"]:
                _print_exports(stack.attach(folder))
            case ["down"]:
                count = stack.stop_all(folder)
                print(f"stopped {count} {'service' if count == 1 else 'services'} of {folder}")
            case ["ctl", *rest]:
                command, env = stack.attach(folder).rabbitmq.ctl_command()
                os.execvpe(command[0], [*command, *rest], env)
            case ["psql", *rest]:
                command, env = stack.attach(folder).postgresql.psql_command()
                os.execvpe(command[0], [*command, *rest], os.environ | env)
            case _:
                print(_USAGE, end="", file=sys.stderr)
                return 2
    except ServiceError as error:
        print(f"scripts/services: {error}", file=sys.stderr)
        return 1
    return 0


def _print_exports(running: stack.Stack) -> None:
    for service in running.services:
        for name, value in service.exports().items():
            print(f"export {name}='{value}'")
    print("# rabbitmqctl of this node: scripts/services ctl …")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
