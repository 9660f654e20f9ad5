"""The two ways in which a user's request is turned down; the command line maps them to exit codes."""


class RefusedInput(Exception):
    """An input file cannot be used (exit code 3). The message is one line: the file, what is wrong, what to do."""


class UsageError(Exception):
    """The request itself is wrong (exit code 2): an output that exists, a bad range, a missing device."""
