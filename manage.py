#!/usr/bin/env python
"""HugWeb's commands; the console script ``hugweb`` is the same thing."""

import gc
import os
import sys

# What a shell reports of a command that Ctrl-C has ended.
INTERRUPTED = 130


def main() -> None:
    try:
        _run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _run() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hugweb.settings")
    # Imports leave no garbage. It is collected again once they are done, from ``HugWebConfig.ready`` on.
    gc.disable()
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError

    try:
        execute_from_command_line(sys.argv)
    except DatabaseError as error:
        if "--traceback" in sys.argv:
            raise
        from hugweb.database import database_problem

        sys.exit(f"CommandError: {database_problem(error)}")


if __name__ == "__main__":
    main()
