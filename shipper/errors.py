"""The faults that shipper names: each says what is wrong and what to do, with an exit status.

Bad data is never an exception (it is a value with a reason), a broken program is never one of
these (it ends the process with its traceback): what is here is a bad environment.
"""

from __future__ import annotations


class ShipperError(Exception):
    """A fault of the environment whose message tells the operator what to do."""

    exit_status = 1


class ConfigError(ShipperError):
    """The configuration or the command line is wrong; nothing has been started."""

    exit_status = 2


class StateError(ShipperError):
    """The state directory needs an operator's decision before shipper may touch it."""

    exit_status = 3


class SinkUnavailable(ShipperError):
    """The destination did not take a chunk for now: the same chunk is sent again later.

    Attributes:
        status: The HTTP status of the answer; 0 if there was none.
        retry_after_secs: How long the server asked to wait, or None.
        too_large: The chunk has to be split before it is sent again.
    """

    def __init__(
        self,
        reason: str,
        *,
        status: int = 0,
        retry_after_secs: float | None = None,
        too_large: bool = False,
    ) -> None:
        """Keep the reason as it will be shown to the operator."""
        super().__init__(reason)
        self.status = status
        self.retry_after_secs = retry_after_secs
        self.too_large = too_large


class SinkRefused(ShipperError):
    """The destination refuses the request as a whole (credentials, rights, a malformed chunk).

    Attributes:
        status: The HTTP status of the answer.
        retry_after_secs: None: no server says when it will like a request better.
    """

    retry_after_secs: float | None = None

    def __init__(self, reason: str, *, status: int) -> None:
        """Keep the server's reason and its HTTP status."""
        super().__init__(reason)
        self.status = status


class KubeUnavailable(ShipperError):
    """The Kubernetes API does not say what pods there are: it is asked again later.

    Attributes:
        reason: The metric's word for it.
        retry_after_secs: How long the server asked to wait, or None.
        relist: What is known may have gaps: all pods have to be listed anew.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        retry_after_secs: float | None = None,
        relist: bool = False,
    ) -> None:
        """Keep the message as it will be shown to the operator."""
        super().__init__(message)
        self.reason = reason
        self.retry_after_secs = retry_after_secs
        self.relist = relist


class DiskFault(ShipperError):
    """The disk of the buffer refused a write (full, failing): reading stops until it takes one."""
