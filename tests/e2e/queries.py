"""Load that notices everything."""

import threading


class Queries:
    """psql in the application's pod, one after the other, as long as the block lasts; then there was no error."""

    def __init__(self, world, pod: str = "app"):
        self.world, self.pod, self.done, self.errors = world, pod, 0, []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        script = ("for i in 1 2 3 4 5; do psql -XAtqc 'SELECT 1' || exit 1; done")
        while not self._stop.is_set():
            answer = self.world.exec(self.pod, "env", "PGPASSWORD=app-secret", "bash", "-c", script, check=False)
            if answer.returncode == 0:
                self.done += 5
            else:
                self.errors.append(answer.stderr)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, kind, *_):
        self._stop.set()
        self._thread.join()
        if kind is None:
            assert not self.errors and self.done > 0, self.errors[:3]
