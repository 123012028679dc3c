"""A real spard on a free port, for one test or many."""

import os
import queue
import re
import signal
import subprocess
import threading
import urllib.request

PATIENCE = 300  # seconds that anything may take, sanitizers included


def environment(**changes):
    """The environment of every child: no colour, no proxy, one thread."""
    kept = {key: value for key, value in os.environ.items()
            if not key.lower().endswith("_proxy") and key not in ("NO_COLOR", "SPAR_SERVER")}
    return {**kept, "OMP_NUM_THREADS": "1", "LC_ALL": "C.UTF-8", **changes}


class Lines:
    """The lines of a pipe, each awaited with a bound."""

    def __init__(self, pipe):
        self._queue = queue.Queue()
        self.seen = []
        self._reader = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._reader.start()

    def _read(self, pipe):
        for line in pipe:
            self._queue.put(line)
        self._queue.put(None)

    def next(self):
        """The next line, or None at the end."""
        line = self._queue.get(timeout=PATIENCE)
        if line is not None:
            self.seen.append(line)
        return line

    def rest(self):
        """All lines, once the pipe has ended."""
        while self.next() is not None:
            pass
        return self.seen

    def until(self, pattern):
        """The match of the first line that has one; fails at the end."""
        while True:
            line = self.next()
            assert line is not None, "no line has %r:\n%s" % (pattern, "".join(self.seen))
            match = re.search(pattern, line)
            if match:
                return match


class Spard:
    """spard with `arguments`; ready when made. A context manager."""

    def __init__(self, *arguments, cache):
        self._process = subprocess.Popen(
            [os.environ["SPARD"], "--listen", "127.0.0.1:0", "--metrics-listen",
             "127.0.0.1:0", "--cache-dir", str(cache), "--threads", "1", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
        self.log = Lines(self._process.stderr)
        self.output = Lines(self._process.stdout)
        try:
            self.address = self.output.until(r"^listening on (127\.0\.0\.1:\d+)$")[1]
            self._metrics_port = self.log.until(r"metrics on port (\d+)")[1]
        except BaseException:
            self._process.kill()
            print("".join(self.log.rest()))  # pytest shows it with the failure
            raise

    def metrics(self):
        """The text of /metrics."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        url = f"http://127.0.0.1:{self._metrics_port}/metrics"
        with opener.open(url, timeout=PATIENCE) as response:
            return response.read().decode()

    def live_calls(self):
        """Calls in progress, by the server's own count."""
        values = re.findall(r"^spar_calls_live(?:\{[^}]*\})? (\S+)$", self.metrics(),
                            re.MULTILINE)
        return sum(float(value) for value in values)

    def is_alive(self):
        return self._process.poll() is None

    def terminate(self):
        self._process.send_signal(signal.SIGTERM)

    def wait(self):
        """The exit code, once it has one."""
        return self._process.wait(timeout=PATIENCE)

    def stop(self):
        """SIGTERM, and the exit code."""
        self.terminate()
        return self.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.is_alive():
            self._process.kill()
            self._process.wait(timeout=PATIENCE)


def spar(*arguments, stdin=None, **changes):
    """Runs the command line to its end; text in and out."""
    return subprocess.run(
        [os.environ["SPAR"], *arguments], input=stdin, capture_output=True, text=True,
        timeout=PATIENCE, check=False, env=environment(**changes))


def start_spar(*arguments):
    """Starts the command line; its standard error is line by line."""
    return subprocess.Popen(
        [os.environ["SPAR"], *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=environment())
