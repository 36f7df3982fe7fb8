"""Ctrl-C where Python swallows exceptions, and while the command says that it stops."""

import gc
import signal
import subprocess
import sys
import threading

from evosearch.cli import main as cli
from evosearch.cli.interrupted import interruptible

IN_A_CALLBACK = """
import gc, os, signal, time
from evosearch.cli.interrupted import interruptible

def strike(phase, info):
    gc.callbacks.remove(strike)
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(100):
        pass

try:
    with interruptible():
        gc.callbacks.append(strike)
        gc.collect()
        time.sleep(30)
        print("went on")
except KeyboardInterrupt:
    print("stopped")
"""


def test_it_is_not_lost_in_a_callback_of_the_garbage_collector() -> None:
    done = subprocess.run([sys.executable, "-c", IN_A_CALLBACK], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped\n", "")


def test_other_exceptions_there_are_still_told(capsys) -> None:
    def fail(phase, info) -> None:
        gc.callbacks.remove(fail)
        raise LookupError("a bug")

    seen = []
    before, sys.unraisablehook = sys.unraisablehook, seen.append
    try:
        with interruptible():
            gc.callbacks.append(fail)
            gc.collect()
        assert sys.unraisablehook == seen.append
    finally:
        sys.unraisablehook = before
    assert [str(each.exc_value) for each in seen] == ["a bug"]


def test_a_second_one_while_the_command_says_that_it_stops(monkeypatch, capsys) -> None:
    def interrupted(args) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run_primitives", interrupted)
    before = signal.getsignal(signal.SIGINT)
    try:
        assert cli.main(["primitives"]) == cli.FAILED
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "error: stopped at once; a run can be resumed with --resume\n"


def test_in_another_thread_signals_are_left_alone() -> None:
    from evosearch.cli.interrupted import no_more

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=no_more)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is before


IN_AN_IMPORT = """
import sys
from evosearch.cli.interrupted import interruptible

sys.path.insert(0, {folder!r})
try:
    with interruptible():
        import interrupted_module
finally:
    print("an interrupted import was gone on with")
"""


def test_in_the_midst_of_an_import_the_process_ends(tmp_path) -> None:
    (tmp_path / "interrupted_module.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)\n"
    )
    script = IN_AN_IMPORT.format(folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    line = "error: stopped at once; a run can be resumed with --resume\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", line)


def test_the_handler_is_there_for_the_command_alone(monkeypatch, capsys) -> None:
    seen = []

    def command(args) -> int:
        seen.append(signal.getsignal(signal.SIGINT))
        return 0

    monkeypatch.setattr(cli, "_run_primitives", command)
    before = signal.getsignal(signal.SIGINT)
    assert cli.main(["primitives"]) == 0
    assert signal.getsignal(signal.SIGINT) is before
    assert seen[0] not in (before, signal.SIG_DFL)
