"""Exit codes, and the errors that end a command. Light: imported before anything is known to be needed."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_FOUND = 3
    AUTH = 4
    RUNS_FAILED = 5
    TIMEOUT = 124


EXIT_CODES_HELP = (
    "Exit codes: 0 ok; 1 failure; 2 wrong usage; 3 not found; 4 not authenticated or not allowed; "
    "5 a run that was waited for ended partial, failed or cancelled (or a dataset failed); 124 timeout."
)


class CommandError(Exception):
    """Ends a command: what happened, each place it concerns, what to do about it."""

    code = Exit.FAILURE

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        places: list[tuple[str, str]] | None = None,
        request_id: str = "",
        problem: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.places = places or []
        self.request_id = request_id
        self.problem = problem

    def lines(self) -> list[str]:
        """What a person reads on stderr, one fact a line."""
        lines = [f"error: {self.message}"]
        lines += [f"  {pointer or '(document)'}: {message}" for pointer, message in self.places]
        if self.hint:
            lines.append(f"hint: {self.hint}")
        if self.request_id:
            lines.append(f"request id: {self.request_id}")
        return lines


class UsageError(CommandError):
    code = Exit.USAGE


class NotFoundError(CommandError):
    code = Exit.NOT_FOUND


class AuthError(CommandError):
    code = Exit.AUTH


class DeadlineError(CommandError):
    code = Exit.TIMEOUT


class UnreachableError(CommandError):
    """The server did not answer, or said it cannot now; the same call may succeed later."""
