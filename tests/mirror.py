"""A web server on this machine that serves a file well and badly."""

import http.server
import threading
import time


class Mirror:
    """Serves ``data`` under /WAY/NAME, where WAY says how; keeps a record of the requests."""

    SLOW = 1.0
    """Seconds; longer than the tests' timeouts."""

    def __init__(self, data):
        self.data = data
        self.requests = []
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                mirror.requests.append((self.path, self.headers.get("Range")))
                getattr(mirror, self.path.split("/")[1])(self)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def url(self, way, name="file.pth"):
        return f"http://127.0.0.1:{self.server.server_port}/{way}/{name}"

    @staticmethod
    def answer(handler, data, status=200, length=None, **headers):
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(data) if length is None else length))
        handler.send_header("Connection", "close")
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)
        handler.wfile.flush()
        handler.close_connection = True

    def good(self, handler):
        begin = int((handler.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if begin >= len(self.data):
            return self.answer(handler, b"", 416)
        if not begin:
            return self.answer(handler, self.data)
        span = f"bytes {begin}-{len(self.data) - 1}/{len(self.data)}"
        return self.answer(handler, self.data[begin:], 206, Content_Range=span)

    def whole(self, handler):
        """Knows nothing of ranges."""
        self.answer(handler, self.data)

    def elsewhere(self, handler):
        """Answers a request for the rest with another part."""
        if handler.headers.get("Range"):
            return self.answer(handler, self.data[5:], 206, Content_Range=f"bytes 5-{len(self.data) - 1}/*")
        return self.answer(handler, self.data)

    def broken(self, handler):
        """Half of it, then the connection ends."""
        self.answer(handler, self.data[: len(self.data) // 2], length=len(self.data))

    def once(self, handler):
        """Breaks off at the first request, and then goes on."""
        (self.broken if len(self.requests) == 1 else self.good)(handler)

    def short(self, handler):
        """Truncated, and says so: a bad mirror."""
        self.answer(handler, self.data[:-7])

    def wrong(self, handler):
        """One bit differs."""
        middle = len(self.data) // 2
        self.answer(handler, self.data[:middle] + bytes([self.data[middle] ^ 1]) + self.data[middle + 1 :])

    def slow(self, handler):
        """Half of it, then nothing for long."""
        self.broken(handler)
        handler.close_connection = False
        time.sleep(self.SLOW)

    def mute(self, handler):
        """Accepts, and does not answer."""
        time.sleep(self.SLOW)

    def moved(self, handler):
        self.answer(handler, b"", 302, Location=self.url("good"))

    def astray(self, handler):
        """Sends the client to another machine, unprotected."""
        self.answer(handler, b"", 302, Location="http://example.invalid/file.pth")

    def gone(self, handler):
        self.answer(handler, b"<html>not here</html>", 404)

    def huge(self, handler):
        self.answer(handler, b"", length=5 << 30)
