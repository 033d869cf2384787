"""The one base of every error that a user's input can cause."""


class InputError(ValueError):
    """Something the user gave cannot be done as meant; the message is one line that names it and the way out."""
