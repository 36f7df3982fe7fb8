"""scripts/audit on made-up lock files, a made-up advisory database, and the project's own lock files."""

import json
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
HASH = "--hash=sha256:" + "0" * 64
TODAY = ["--today", "2026-03-01"]
SETUP = '"${pip[@]}" --only-binary :all: --require-hashes -r "$1" &&\n    true\n'
ADVISORY: dict[str, Any] = {
    "id": "PYSEC-2025-1",
    "aliases": ["CVE-2025-1"],
    "package": "imaginary",
    "published": "2025-01-01",
    "modified": "2025-01-02",
    "ranges": [[{"introduced": "0"}, {"fixed": "1.5"}]],
    "versions": [],
}


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    loader = SourceFileLoader("scripts_audit", str(ROOT / "scripts" / "audit"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.setitem(sys.modules, loader.name, module)  # dataclasses look their module up
        loader.exec_module(module)
        return module


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose one package, imaginary 1.5, has a fixed advisory."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "setup").write_text(SETUP)
    lock(tmp_path, f"imaginary==1.5 \\\n    {HASH}\n    # via nothing\n")
    data(tmp_path)
    return tmp_path


def lock(project: Path, text: str) -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        (project / name).write_text(text)


def pin(project: Path, version: str) -> None:
    lock(project, f"imaginary=={version} {HASH}\n")


def data(project: Path, *, date: str = "2026-02-01", **changes: Any) -> None:
    head = {"commit": "c" * 40, "date": date, "packages": ["imaginary"]}
    text = json.dumps({**head, "advisories": [{**ADVISORY, **changes}]})
    (project / "scripts" / "advisories.json").write_text(text)


def accept(project: Path, advisory: str) -> None:
    text = f'[[accepted]]\npackage = "imaginary"\nid = "{advisory}"\nreason = "we never call it"\n'
    (project / "scripts" / "audit.toml").write_text(text)


def run(audit: ModuleType, project: Path, *arguments: str) -> int:
    code: int = audit.main([*TODAY, *arguments], root=project)
    return code


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines printed as errors and remarks."""
    return capsys.readouterr().err.splitlines()


def test_a_fixed_pin_passes_and_the_table_says_what_was_compared(
    audit: ModuleType, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(audit, project) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    for part in ("1, each exact", "1, none affects", "2026-02-01, commit cccccccccccc"):
        assert part in shown.out


def test_a_vulnerable_pin_is_one_line_with_its_ids_and_its_fix(
    audit: ModuleType, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pin(project, "1.4.9")
    assert run(audit, project) == 1
    assert said(capsys) == ["audit: imaginary 1.4.9: PYSEC-2025-1, CVE-2025-1; fixed in 1.5"]


def test_an_advisory_without_a_fix_says_so(
    audit: ModuleType, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data(project, ranges=[[{"introduced": "0"}]])
    assert run(audit, project) == 1
    assert said(capsys) == ["audit: imaginary 1.5: PYSEC-2025-1, CVE-2025-1; no fixed version is known"]


BRANCHES = [[{"introduced": "2.0"}, {"fixed": "2.3"}, {"introduced": "0"}, {"fixed": "1.5"}]]
LAST = [[{"introduced": "1.0"}, {"last_affected": "1.2"}]]
AGAIN = [[{"introduced": "1.0"}, {"fixed": "1.1"}, {"introduced": "1.1"}, {"fixed": "1.2"}]]


@pytest.mark.parametrize(
    ("ranges", "version", "fixed"),
    [
        (BRANCHES, "1.4", "1.5"),
        (BRANCHES, "1.5", None),
        (BRANCHES, "1.99", None),
        (BRANCHES, "2.0", "2.3"),
        (BRANCHES, "2.3", None),
        (BRANCHES, "2.3rc1", "2.3"),  # a pre-release comes before what fixes it
        (BRANCHES, "2.0rc1", None),
        (BRANCHES, "2.3.post1", None),
        (BRANCHES, "0.dev0", "1.5"),  # 0 is before everything
        (BRANCHES, "1!0", None),  # an epoch is after everything
        (BRANCHES, "1.10", None),  # numbers, not texts
        ([BRANCHES[0], [{"introduced": "1.5"}, {"fixed": "1.6"}]], "1.4", "1.6"),  # 1.5 is not free of it
        (LAST, "1.2", "-"),
        (LAST, "1.2.1", None),
        ([[{"introduced": "1.2"}, {"last_affected": "1.2"}]], "1.3", None),
        (AGAIN, "1.1", "1.2"),
    ],
)
def test_ranges(audit: ModuleType, ranges: Any, version: str, fixed: str | None) -> None:
    advisory = audit.advisory_from({**ADVISORY, "ranges": ranges})
    assert advisory.affects(Version(version)) == (fixed is not None)
    if fixed is not None:
        assert advisory.fixed_in(Version(version)) == (None if fixed == "-" else fixed)


def test_versions_that_no_range_has(audit: ModuleType, project: Path) -> None:
    data(project, ranges=[], versions=["1.5.0"])
    assert run(audit, project) == 1


def test_a_local_build_has_the_advisories_of_its_version(audit: ModuleType, project: Path) -> None:
    data(project, ranges=LAST)
    lock(project, f"imaginary==1.3 {HASH}\n")
    (project / "scripts" / "setup").write_text(f"build=imaginary==1.2+cpu\n{SETUP}")
    assert run(audit, project) == 1
    (project / "scripts" / "setup").write_text(SETUP)
    assert run(audit, project) == 0
    pin(project, "1.2+cpu")
    assert run(audit, project) == 1


def test_a_package_the_data_was_made_without(
    audit: ModuleType, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock(project, f"imaginary==1.5 {HASH}\nnewcomer==1 {HASH}\n")
    assert run(audit, project) == 1
    (line,) = said(capsys)
    assert line.startswith("audit: newcomer 1: scripts/advisories.json was made without this package")


@pytest.mark.parametrize("advisory", ["PYSEC-2025-1", "CVE-2025-1"])
def test_an_accepted_finding_passes_and_is_shown(
    audit: ModuleType, project: Path, capsys: pytest.CaptureFixture[str], advisory: str
) -> None:
    pin(project, "1.4")
    accept(project, advisory)
    assert run(audit, project) == 0
    assert "PYSEC-2025-1, CVE-2025-1: accepted, we never call it" in capsys.readouterr().out


@pytest.mark.parametrize(("version", "advisory"), [("1.5", "PYSEC-2025-1"), ("1.5", "CVE-1-1")])
def test_an_accepted_entry_that_matches_nothing_fails(
    audit: ModuleType, project: Path, capsys: pytest.CaptureFixture[str], version: str, advisory: str
) -> None:
    pin(project, version)
    accept(project, advisory)
    assert run(audit, project) == 1
    (line,) = said(capsys)
    assert f"imaginary {advisory} matches no finding any more" in line


def test_an_accepted_entry_needs_a_reason(
    audit: ModuleType, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "scripts" / "audit.toml").write_text(
        '[[accepted]]\npackage = "imaginary"\nid = "CVE-2025-1"\n'
    )
    assert run(audit, project) == 1
    (line,) = said(capsys)
    assert "reason" in line


def test_old_data_is_a_remark_and_no_failure(
    audit: ModuleType, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data(project, date="2025-09-02")
    assert run(audit, project) == 0
    assert said(capsys) == []  # 180 days
    data(project, date="2025-09-01")
    assert run(audit, project) == 0
    (line,) = said(capsys)
    assert "the advisories are 181 days old" in line


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("imaginary==1.5", "expected --hash=sha256: and 64 digits, found none"),
        ("imaginary==1.5 --hash=md5:0", "found --hash=md5:0"),
        (f"imaginary==1.5 {HASH} --hash=sha256:1", "found --hash=sha256:1"),
        (f"imaginary==1.5 {HASH}0", "expected --hash=sha256: and 64 digits"),
        (f"imaginary>=1.5 {HASH}", "expected name==version, found 'imaginary>=1.5'"),
        (f"imaginary==1.* {HASH}", "expected name==version"),
        (f"imaginary===1.5 {HASH}", "expected name==version"),
        (f"imaginary==1.5,!=1.6 {HASH}", "expected name==version"),
        (f"imaginary {HASH}", "expected name==version"),
        (f"imaginary @ https://example.org/imaginary.whl {HASH}", "expected name==version"),
        ("-e .", "expected a package's name==version from the index, found '-e .'"),
        ("git+https://example.org/imaginary", "expected a package's name==version from the index"),
        ("--extra-index-url https://example.org", "expected a package's name==version from the index"),
        ("", "expected pinned packages, found none"),
    ],
)
def test_a_lock_file_that_is_not_exact_and_hashed(
    audit: ModuleType, project: Path, capsys: pytest.CaptureFixture[str], line: str, part: str
) -> None:
    (project / "requirements.lock").write_text(f"# made by uv\n{line}\n")
    assert run(audit, project) == 1
    (found,) = said(capsys)
    assert found.startswith("audit: requirements.lock:")
    assert part in found


@pytest.mark.parametrize(
    ("setup", "part"),
    [
        (SETUP.replace(" --require-hashes", ""), "expected --require-hashes"),
        (SETUP.replace("--only-binary :all: ", ""), "expected --only-binary :all:"),
        (SETUP.replace('"${pip', '# "${pip'), "expected a line that installs a lock file"),
    ],
)
def test_a_set_up_that_does_not_check_hashes(
    audit: ModuleType, project: Path, capsys: pytest.CaptureFixture[str], setup: str, part: str
) -> None:
    (project / "scripts" / "setup").write_text(setup)
    assert run(audit, project) == 1
    (line,) = said(capsys)
    assert part in line


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "property name"),
        ("[]", "indices"),
        ("{}", "no 'commit'"),
        (json.dumps({"commit": "c", "date": "someday", "packages": [], "advisories": []}), "someday"),
    ],
)
def test_a_broken_data_file_is_one_line(
    audit: ModuleType, project: Path, capsys: pytest.CaptureFixture[str], text: str, part: str
) -> None:
    (project / "scripts" / "advisories.json").write_text(text)
    assert run(audit, project) == 1
    (line,) = said(capsys)
    assert "advisories.json: expected what --update writes" in line
    assert part in line


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "[red]"},
        {"versions": [1.5]},
        {"ranges": [[{"introduced": "new"}]]},
        {"ranges": [[{"introduced": "0"}, {"limit": "2"}]]},
        {"ranges": [[{"fixed": "2"}]]},
    ],
)
def test_a_damaged_advisory_is_one_line(
    audit: ModuleType, project: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any]
) -> None:
    data(project, **changes)
    assert run(audit, project) == 1
    assert len(said(capsys)) == 1


def test_without_a_data_file_it_fails_unless_told(
    audit: ModuleType, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "scripts" / "advisories.json").unlink()
    assert run(audit, project) == 1
    (line,) = said(capsys)
    assert "there is no such file" in line
    assert run(audit, project, "--no-advisories") == 0
    assert "not compared with" in capsys.readouterr().out


DOCUMENT = """\
id: PYSEC-2025-1
modified: 2025-01-02T03:04:05Z
published: "2025-01-01T00:00:00Z"
aliases:
- CVE-2025-1
details: A text that must not be copied.
affected:
- package: {ecosystem: PyPI, name: Imaginary}
  ranges:
  - type: GIT
    repo: https://example.org
    events:
    - introduced: "0"
    - fixed: c0ffee
  - type: ECOSYSTEM
    events:
    - introduced: "0"
    - fixed: "1.5"
  versions: ["1.0", "1.6", "1.4-of-old-times"]
"""


@pytest.fixture
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An advisory database with a checkout's commit."""
    folder = tmp_path_factory.mktemp("clone")
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    for name in ("imaginary", "another"):
        (folder / "vulns" / name).mkdir(parents=True)
        (folder / "vulns" / name / "PYSEC-2025-1.yaml").write_text(DOCUMENT)
    withdrawn = DOCUMENT.replace("2025-1\n", "2025-2\n") + 'withdrawn: "2025-02-01T00:00:00Z"\n'
    (folder / "vulns" / "imaginary" / "PYSEC-2025-2.yaml").write_text(withdrawn)
    commit(folder)
    return folder


def commit(folder: Path) -> str:
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    date = "2026-01-31T12:00:00+00:00"
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run(
        [*git, "commit", "--quiet", "--no-gpg-sign", "-m", "some", "--date", date],
        check=True,
        env={"GIT_COMMITTER_DATE": date, "PATH": "/usr/bin:/bin"},
    )
    done = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_an_update_keeps_facts_alone(audit: ModuleType, project: Path, clone: Path) -> None:
    assert run(audit, project, "--update", str(clone)) == 0
    text = (project / "scripts" / "advisories.json").read_text()
    found = json.loads(text)
    assert found["advisories"] == [{**ADVISORY, "versions": ["1.6"]}]
    assert found["packages"] == ["imaginary"]
    assert found["date"] == "2026-01-31"
    assert len(found["commit"]) == 40
    assert "pypa/advisory-database" in found["source"]
    assert "CC-BY-4.0" in found["licence"]
    assert "must not be copied" not in text
    assert run(audit, project) == 0
    pin(project, "1.6")
    assert run(audit, project) == 1


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("id: [", "this is not YAML"),
        ("id: PYSEC-2025-1", "no 'affected'"),
        ("just words", "expected an advisory"),
        (DOCUMENT.replace('"1.6"', "1.6"), "expected a version as text, found 1.6"),
        (
            DOCUMENT.replace("type: ECOSYSTEM", "type: GIT").replace("versions:", "others:"),
            "neither versions",
        ),
    ],
)
def test_an_advisory_that_cannot_be_read_is_one_line(
    audit: ModuleType, project: Path, clone: Path, capsys: pytest.CaptureFixture[str], text: str, part: str
) -> None:
    (clone / "vulns" / "imaginary" / "PYSEC-2025-1.yaml").write_text(text)
    commit(clone)
    before = (project / "scripts" / "advisories.json").read_bytes()
    assert run(audit, project, "--update", str(clone)) == 1
    (line,) = said(capsys)
    assert "PYSEC-2025-1.yaml" in line
    assert part in line
    assert (project / "scripts" / "advisories.json").read_bytes() == before


def test_an_update_needs_a_clean_clone(
    audit: ModuleType, project: Path, clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (clone / "vulns" / "imaginary" / "PYSEC-2025-9.yaml").write_text(DOCUMENT)
    assert run(audit, project, "--update", str(clone)) == 1
    assert "without changes of its own" in said(capsys)[0]
    inner = clone / "vulns" / "imaginary"
    (inner / "vulns").mkdir()
    assert run(audit, project, "--update", str(inner)) == 1
    assert "the top folder of a clone" in said(capsys)[0]
    assert run(audit, project, "--update", str(project)) == 1
    assert "with a folder vulns" in said(capsys)[0]


def test_the_projects_own_lock_files_are_exact_and_hashed(
    audit: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(audit, ROOT, "--no-advisories") == 0, capsys.readouterr().err
