"""Building tasks: knobs, and every mistake by its message."""

import dataclasses
import re

import numpy as np
import pytest

from proxy_tasks import TASKS, TaskError, build

every_task = pytest.mark.parametrize("name", sorted(TASKS))
GAP = "array 'labels': expected two or more classes 0, 1, 2, ... without a gap"
WORDS = "The quick brown fox jumps over the lazy dog.\n"


def refuses(message, name, **knobs):
    with pytest.raises(TaskError, match=f"^{re.escape(message)}$"):
        build(name, **knobs)


def test_an_unknown_task_names_the_closest():
    known = ", ".join(sorted(TASKS))
    refuses(f"unknown task 'char_mpl': did you mean 'char_mlp'? expected one of {known}", "char_mpl")
    refuses(f"unknown task 'zzz': expected one of {known}", "zzz")


def test_an_unknown_knob_names_the_closest():
    expected = "expected one of batch, hidden, path, steps"
    refuses(
        f"task 'digits_mlp': unknown knob 'hiden': did you mean 'hidden'? {expected}", "digits_mlp", hiden=3
    )


@every_task
@pytest.mark.parametrize("value", [0, -1, 2.5, 200.0, "200", True, None, 10**9])
def test_a_number_that_cannot_be(name, value):
    limits = f"expected a whole number from 1 to 10000000, found {value!r}"
    refuses(f"task {name!r}: knob 'steps': {limits}", name, steps=value)


@every_task
@pytest.mark.parametrize("value", ["", 3])
def test_a_path_that_is_no_name(name, value):
    refuses(
        f"task {name!r}: knob 'path': expected the name of a file or null, found {value!r}", name, path=value
    )


@every_task
def test_knobs_are_frozen_and_reach_the_task(name):
    knobs = TASKS[name].knobs(steps=7, batch=5)
    with pytest.raises(dataclasses.FrozenInstanceError, match="steps"):
        knobs.steps = 8
    task = build(name, steps=7, batch=5)
    assert (task.steps, task.batch_size) == (7, 5)


@every_task
def test_a_missing_file(name, tmp_path):
    path = str(tmp_path / "none")
    with pytest.raises(TaskError, match=rf"found No such file or directory: {re.escape(path)}$"):
        build(name, path=path)
    with pytest.raises(TaskError, match="found Is a directory: "):
        build(name, path=str(tmp_path))


@pytest.mark.parametrize(("text", "found"), [("", 0), (WORDS * 10, 450)])
def test_a_text_that_is_too_short(tmp_path, text, found):
    path = tmp_path / "text.txt"
    path.write_text(text, "utf-8")
    expected = "expected 1817 characters or more for context=8"
    refuses(
        f"task 'char_mlp': the text is too short: {expected}, found {found}: {path}",
        "char_mlp",
        path=str(path),
    )


def test_a_context_too_long_for_the_text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(WORDS * 50, "utf-8")
    build("char_mlp", context=8, path=str(path))
    with pytest.raises(TaskError, match=r"expected 3434 characters or more for context=105, found 2250: "):
        build("char_mlp", context=105, path=str(path))


def test_a_text_that_is_not_utf8(tmp_path):
    path = tmp_path / "latin1.txt"
    path.write_bytes("déjà vu ".encode("latin-1") * 1000)
    found = f"found byte 0xe9 at position 1 of {path}; convert the file"
    refuses(f"task 'char_mlp': knob 'path': expected UTF-8, {found}", "char_mlp", path=str(path))


def arrays(**changes):
    rng = np.random.RandomState(0)
    good = {"images": rng.rand(200, 4, 4), "labels": np.arange(200) % 4}
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"images": None},
            "knob 'path': expected an .npz file with the arrays images and labels, found labels",
        ),
        (
            {"labels": None},
            "knob 'path': expected an .npz file with the arrays images and labels, found images",
        ),
        (
            {"images": np.zeros(200)},
            "array 'images': expected shape (n, h, w) or (n, features), found (200,)",
        ),
        (
            {"images": np.zeros((200, 0))},
            "array 'images': expected shape (n, h, w) or (n, features), found (200, 0)",
        ),
        ({"images": np.full((200, 2), "a")}, "array 'images': expected numbers, found <U1"),
        (
            {"images": np.full((200, 2), np.nan)},
            "array 'images': expected finite numbers, found 400 that are not",
        ),
        (
            {"images": np.full((200, 2), 1e300)},
            "array 'images': expected finite numbers, found 400 that are not",
        ),
        (
            {"images": np.ones((200, 2))},
            "array 'images': expected pixels that differ, found one value throughout the training images",
        ),
        (
            {"labels": np.arange(199)},
            "array 'labels': expected shape (200,), one for each image, found (199,)",
        ),
        ({"labels": np.zeros(200)}, "array 'labels': expected whole numbers, found float64"),
        (
            {"labels": np.zeros(200, int)},
            f"{GAP}, found 1 classes from 0 to 0",
        ),
        (
            {"labels": np.arange(200) % 4 + 1},
            f"{GAP}, found 4 classes from 1 to 4",
        ),
        (
            {"labels": np.arange(200) % 2 * 3},
            f"{GAP}, found 2 classes from 0 to 3",
        ),
        (
            {"labels": (np.arange(200) < 3).astype(int)},
            "array 'labels': expected 10 or more images of each class, found 3 of class 1",
        ),
    ],
)
def test_an_npz_that_makes_no_sense(tmp_path, changes, message):
    path = tmp_path / "images.npz"
    np.savez(path, **arrays(**changes))
    refuses(f"task 'digits_mlp': {message}: {path}", "digits_mlp", path=str(path))


def test_a_file_that_is_no_npz(tmp_path):
    expected = "task 'digits_mlp': knob 'path': expected an .npz file"
    text, one, objects, cut = (tmp_path / name for name in ("a.txt", "one.npy", "objects.npz", "cut.npz"))
    text.write_text("hello")
    refuses(f"{expected} of plain arrays, found something else: {text}", "digits_mlp", path=str(text))
    np.save(one, np.zeros(3))
    refuses(
        f"{expected} with the arrays images and labels, found no named array: {one}",
        "digits_mlp",
        path=str(one),
    )
    np.savez(objects, images=np.array([None]), labels=np.array([0]))
    refuses(f"{expected} of plain arrays, found something else: {objects}", "digits_mlp", path=str(objects))
    np.savez(cut, **arrays())
    cut.write_bytes(cut.read_bytes()[:500])
    refuses(f"{expected} of plain arrays, found something else: {cut}", "digits_mlp", path=str(cut))
