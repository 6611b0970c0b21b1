"""The one exception that means "you can fix this"."""


class UserError(ValueError):
    """A mistake of the user's, told in one sentence that says what to do.

    The command line prints the sentence and exits with status 1; any other
    exception is a fault of the program and keeps its traceback.
    """
