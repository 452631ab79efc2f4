"""Processes of one run on loopback."""

import os
import socket
import subprocess


def free_address() -> str:
    """HOST:PORT that nobody uses."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


def run_together(commands, environments, timeout, **more):
    """Status and output of each command, all started at once; none outlives the call."""
    started = [
        subprocess.Popen(
            command, env=os.environ | told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more
        )
        for command, told in zip(commands, environments, strict=True)
    ]
    try:
        said = [process.communicate(timeout=timeout)[0] for process in started]
    finally:
        for process in started:
            process.kill()
            process.wait()
            process.stdout.close()
    return [(process.returncode, text) for process, text in zip(started, said, strict=True)]
