"""What Hadoop throws, as Python would raise it: in one line, with the number of its kind."""

from __future__ import annotations

import errno
import re

_NUMBERS = {
    "FileNotFoundException": errno.ENOENT,
    "IllegalArgumentException": errno.ENOENT,  # no name that a file could have there
    "AccessControlException": errno.EACCES,
    "AccessDeniedException": errno.EACCES,
    "FileAlreadyExistsException": errno.EEXIST,
    "ParentNotDirectoryException": errno.ENOTDIR,
    "DSQuotaExceededException": errno.EDQUOT,
    "NSQuotaExceededException": errno.EDQUOT,
}
_TYPES = {
    errno.ENOENT: FileNotFoundError,
    errno.EACCES: PermissionError,
    errno.EEXIST: FileExistsError,
}


def os_error(name: str, message: str) -> OSError:
    """Make the error that Python would raise of one that Java has thrown.

    Args:
        name: Of its class, without the package.
        message: What it says.
    """
    text = _one_line(message)
    number = _NUMBERS.get(name, errno.EIO)
    error = _TYPES.get(number, OSError)(text)
    error.strerror = text
    return error


def _one_line(text: str) -> str:
    """Take the trace, the class and the advice to read a wiki off a message of Hadoop's."""
    line = text.strip().splitlines()[0] if text.strip() else text
    line = re.sub(r";? *For more details see: *\S+", "", line)
    return re.sub(r"^(?:[a-z]\w*\.)+\w+(?:Exception|Error): ", "", line).strip().rstrip(":")
