"""The command line: `ketaoutcomes init`, `check`, `report`, `verify`, `worklist`, `explain`.

Only the standard library is imported here, and only a little of it: asking for help must not wait for a
library of numbers. The commands themselves are in `commands/`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

HELP = """\
Usage: ketaoutcomes [OPTIONS] COMMAND [ARGS]...

  Response and remission across ketamine sessions, from de-identified scores.

  Exit codes: 0 done; 2 usage or plan; 3 input refused; 4 done, but more rows
  were set aside than the threshold allows; 5 disclosure refused; 6 cannot
  write; 1 is a bug.

Options:
  --version  Show the version and exit.
  --help     Show this message and exit.

Commands:
  check     Say what reading the INPUT files would do; write nothing.
  explain   Explain a rule, a criterion, an instrument or a protocol.
  init      Write a commented plan.toml, from the headers of files if given.
  report    Write the report of the INPUT files to a folder.
  verify    Say whether a report is still as it was written.
  worklist  Print whose course to look at: row by row, internal.
"""
"""What `--help` prints; kept here as text because building it takes longer than starting Python."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given in ([], ["--help"]):
        sys.stdout.write(HELP)
        return 0 if given else 2
    if given == ["--version"]:
        from ketaoutcomes import __version__

        sys.stdout.write(f"ketaoutcomes {__version__}\n")
        return 0
    from ketaoutcomes.commands.group import run

    return run(given)


if __name__ == "__main__":
    sys.exit(main())
