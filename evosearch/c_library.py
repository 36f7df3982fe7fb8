"""Machine code from C source, compiled at first use and kept in the cache folder.

Nothing is compiled when the package is installed, so it installs anywhere. A library's name is a digest of
its text, its compiler's version and flags, and the processor, so that one folder serves several machines and
no library is ever out of date.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import os
import shlex
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evosearch.errors import EvosearchError
from evosearch.runtime import processor
from proxy_tasks.kept import cache_folder

FLAGS = (
    "-std=gnu11",
    "-O3",
    "-march=native",
    "-ffp-contract=off",  # a product and a sum round twice, as a program says
    "-fPIC",
    "-shared",
)


class NoCompilerError(EvosearchError):
    """Machine code can't be made on this machine."""


@dataclass(frozen=True)
class CLibrary:
    """What is to be compiled.

    Attributes:
        what: its name in messages.
        text: the source, ASCII.
        flags: beyond `FLAGS`.
        libraries: what it is linked with, such as "-lm".
        includes: folders of headers.
        made_with: versions of the headers.
        otherwise: what a person can do without it.
    """

    what: str
    text: str
    flags: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ("-lm",)
    includes: tuple[str, ...] = ()
    made_with: tuple[str, ...] = ()
    otherwise: str = ""


@functools.cache
def compiler() -> tuple[str, ...]:
    """The C compiler's command: what the variable CC says, else the first of cc, gcc, clang; () for none."""
    named = shlex.split(os.environ.get("CC", ""))
    for program, *arguments in [named] if named else [["cc"], ["gcc"], ["clang"]]:
        found = shutil.which(program)
        if found:
            return found, *arguments
    return ()


def compiled(library: CLibrary) -> Path:
    """Where the machine code lies, made now unless it is in the cache.

    Raises:
        NoCompilerError: there is no C compiler, or it fails.
    """
    cc = compiler()
    if not cc:
        raise NoCompilerError(
            f"{library.what} needs a C compiler, found none (CC, cc, gcc, clang): install one"
            f"{library.otherwise}"
        )
    version = subprocess.run([*cc, "--version"], capture_output=True, text=True, check=False).stdout
    parts = (library.text, version, *cc, *FLAGS, *library.flags, *library.libraries, processor())
    digest = hashlib.sha256("\0".join((*parts, *library.made_with)).encode()).hexdigest()[:32]
    path = cache_folder() / "native" / f"{digest}{sysconfig.get_config_var('SHLIB_SUFFIX')}"
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _compile(cc, library, path)
    except OSError:  # a cache that can't be written to is no reason to fail: it is made again the next time
        folder = tempfile.mkdtemp(prefix="evosearch-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        path = Path(folder) / path.name
        _compile(cc, library, path)
    return path


def _compile(cc: Sequence[str], library: CLibrary, path: Path) -> None:
    """Make the library; it is there as a whole or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        (Path(folder) / "source.c").write_text(library.text, encoding="ascii")
        made = Path(folder) / path.name
        flags = (*FLAGS, *library.flags, *(f"-I{folder}" for folder in library.includes))
        command = [*cc, *flags, "-o", str(made), "source.c", *library.libraries]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            named, first = " ".join(cc), (done.stderr.strip() or "no message").splitlines()[0]
            raise NoCompilerError(
                f"{named} can't compile {library.what} ({first}): name another compiler with CC"
                f"{library.otherwise}"
            )
        with made.open("rb") as file:
            os.fsync(file.fileno())  # loading what a crash has cut short would kill the process
        made.replace(path)  # in one step: another process may be doing the same
