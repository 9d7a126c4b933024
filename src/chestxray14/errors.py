"""What a user did wrong, said in one line."""


class InputError(Exception):
    """Report a mistake in what the user supplied.

    The message is one line that names the file, row or key, and says what was found and what
    was expected. Stages print it and exit with status 1.
    """
