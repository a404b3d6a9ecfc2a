"""A server for the page, in a thread of its own, which only this machine can reach."""

from __future__ import annotations

import asyncio
import errno
import logging
import threading
from collections.abc import Sequence
from html import escape

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.server.server import Server
from tornado.ioloop import IOLoop

from ...emulator import Emulator
from ...errors import SettingsError
from ..observed import Star
from .page import Page

__all__ = ["Explorer"]

_HOST = "localhost"
_LARGEST = 2**28  # bytes of a message: files that are opened in the page come as one
_MOMENT = 0.2  # seconds
_HEIGHT = 1000  # CSS pixels, in notebooks


class Explorer:
    """A page that is open to the browsers of this machine, until it is stopped.

    Parameters
    ----------
    emulator : Emulator
    stars : sequence of Star
    port : int
        0: any that is free.

    Raises
    ------
    SettingsError
        The port is in use, or not allowed.
    """

    def __init__(self, emulator: Emulator, stars: Sequence[Star], port: int = 0) -> None:
        self._emulator, self._stars = emulator, tuple(stars)
        self._ready = threading.Event()
        self._error: OSError | None = None
        self._port = port
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._error is not None:
            raise SettingsError(f"port={port}: {_reason(self._error)}; give another one, or 0 for any that is free.")

    def _run(self) -> None:
        log = logging.getLogger("tornado.application")
        level = log.level
        try:
            asyncio.run(self._serve())
        finally:
            log.setLevel(level)

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        application = Application(FunctionHandler(self._fill))
        options = {"address": _HOST, "port": self._port, "websocket_max_message_size": _LARGEST}
        try:
            server = Server({"/": application}, io_loop=IOLoop.current(), **options)
        except OSError as error:
            self._error = error
            return
        finally:
            if self._error is not None:
                self._ready.set()
        self._port = server.port
        server.start()
        self._ready.set()
        await self._end.wait()
        # Pages may still be open: what is on its way is given a moment, and what Tornado says of the rest is of no use.
        logging.getLogger("tornado.application").setLevel(logging.CRITICAL + 1)
        server.stop()
        for session in server.get_sessions():
            session.destroy()
        await asyncio.sleep(_MOMENT)
        server.unlisten()  # ends the connections that browsers keep
        await asyncio.sleep(_MOMENT)

    def _fill(self, doc: Document) -> None:
        page = Page(doc, self._emulator, self._stars)
        doc.on_session_destroyed(lambda _: page.close())

    @property
    def url(self) -> str:
        """Address of the page."""
        return f"http://{_HOST}:{self._port}/"

    def stop(self) -> None:
        """End the server; pages that are open stand still."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join()

    def wait(self) -> None:
        """Wait until it is stopped, by another thread or by Ctrl-C."""
        try:
            while self._thread.is_alive():
                self._thread.join(0.5)
        except KeyboardInterrupt:
            self.stop()

    def __enter__(self) -> Explorer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        state = "" if self._thread.is_alive() else ", stopped"
        return f"<Explorer at {self.url}{state}>"

    def _repr_html_(self) -> str:
        """The page itself, for notebooks."""
        if not self._thread.is_alive():
            return escape(repr(self))
        return (
            f'<iframe src="{self.url}" title="rvsemu Explorer" style="width: 100%; height: {_HEIGHT}px; border: 0">'
            f'</iframe><div><a href="{self.url}" target="_blank">in a window of its own</a></div>'
        )


def _reason(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "it is in use by another program"
    if error.errno == errno.EACCES:
        return "only the administrator may use it"
    return error.strerror or str(error)
