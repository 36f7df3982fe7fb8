"""Searches on a small disk, in a name space of its own: python -m evosearch.soak.small_disk.

`evosearch.soak.disk` starts it with `unshare`: it may mount without any rights, and its mounts end with it.
It prints a sentence for each promise that did not hold, then how many were looked at.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SMALL, LARGE = "72k", "64m"
"""Less than a search writes, and more."""

WITHOUT_RIGHTS = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-all")
"""Even root obeys the modes of files with this before the command."""


@dataclass(frozen=True)
class Ended:
    """How a command ended: its code, and what it printed to standard error."""

    code: int
    errors: str

    def refused(self, words: str) -> str:
        """A sentence unless it ended with code 2 and one line that has these words."""
        one = self.code == 2 and self.errors.count("\n") == 1
        if one and words in self.errors:
            return ""
        return f"expected code 2 and one line with {words!r}, found {self.code}: {self.errors[-400:]!r}"

    def succeeded(self) -> str:
        """A sentence unless it ended well."""
        return "" if self.code == 0 else f"expected code 0, found {self.code}: {self.errors[-400:]!r}"


def evosearch(*arguments: object, before: Sequence[str] = ()) -> Ended:
    """Run the command line in a process of its own."""
    command = [*before, sys.executable, "-m", "evosearch", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Ended(done.returncode, done.stderr)


def mount(*options: object) -> None:
    """Mount; raises CalledProcessError."""
    subprocess.run(["mount", *map(str, options)], check=True)


def scenes(config: Path, disk: Path, *, short: bool) -> list[str]:
    """What went wrong, for each scene; "" where nothing did. The run ends in `disk`/full.

    Args:
        config: of the search.
        disk: where the disk is mounted.
        short: only the full disk, and going on when there is room.
    """
    disk.mkdir()
    mount("-t", "tmpfs", "-o", f"size={SMALL}", "none", disk)
    run, search = disk / "full", ("search", config, "--out")
    found = [evosearch(*search, run).refused("the disk is full")]
    if short:
        mount("-o", f"remount,size={LARGE}", disk)
        return [*found, evosearch(*search, run, "--resume").succeeded()]
    found.append(evosearch(*search, run, "--resume").refused("the disk is full"))
    mount("-o", "remount,ro", disk)
    found.append(evosearch(*search, run, "--resume").refused("permission is refused"))
    found.append(evosearch(*search, disk / "new").refused("permission is refused"))
    mount("-o", f"remount,rw,size={LARGE}", disk)
    run.chmod(0o500)
    found.append(evosearch(*search, run, "--resume", before=WITHOUT_RIGHTS).refused("permission is refused"))
    run.chmod(0o000)
    found.append(evosearch(*search, run, "--resume", before=WITHOUT_RIGHTS).refused("can't read"))
    run.chmod(0o700)
    found.append(evosearch(*search, run, "--resume").succeeded())
    mount("-o", "remount,ro", disk)
    found.append(evosearch("inspect", run).succeeded())
    return found


def main() -> None:
    """Play the scenes, and copy the run to where it outlives the disk."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("disk", type=Path)
    parser.add_argument("kept", type=Path)
    parser.add_argument("--short", action="store_true")
    args = parser.parse_args()
    found = scenes(args.config, args.disk, short=args.short)
    subprocess.run(["cp", "-r", str(args.disk / "full"), str(args.kept)], check=True)
    sys.stdout.write("".join(f"{sentence}\n" for sentence in found if sentence) + f"{len(found)}\n")


if __name__ == "__main__":
    main()
