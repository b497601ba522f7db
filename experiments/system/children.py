"""Child processes: they end with their parent, and are not waited for without end."""

import os
import threading
import time

PATIENCE = 600.0  # seconds: far longer than drawing takes
GLANCE = 0.2  # seconds between two looks at the parent


def end_with(parent: int) -> None:
    """End this process when its parent, of that process number, has ended, however that happened."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(GLANCE)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
