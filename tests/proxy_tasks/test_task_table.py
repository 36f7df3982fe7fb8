"""Building tasks: names, presets, knobs, and every mistake by its message."""

import dataclasses
import re
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy_tasks import PRESETS, TASKS, TaskError, build
from proxy_tasks import knobs as kinds
from proxy_tasks.knobs import Knobs

every_task = pytest.mark.parametrize("name", sorted(TASKS))
every_preset = pytest.mark.parametrize("preset", PRESETS)
WITH_PATH = sorted(n for n, row in TASKS.items() if "path" in {f.name for f in fields(row.knobs)})
FOUR_CLASSES = np.arange(200) % 4
WORDS = "The quick brown fox jumps over the lazy dog.\n"


def refuses(message, name, **knobs):
    with pytest.raises(TaskError, match=f"^{re.escape(message)}$"):
        build(name, **knobs)


# Names


def test_an_unknown_task_names_the_closest():
    known = ", ".join(sorted(TASKS))
    refuses(f"unknown task 'char_mpl': did you mean 'char_mlp'? expected one of {known}", "char_mpl")
    refuses(f"unknown task 'zzz': expected one of {known}", "zzz")


def test_an_unknown_knob_names_the_closest():
    expected = (
        "expected one of batch, colour, depth, dropout, dtype, examples, fraction, path, preset, shift, "
        "size, smoothing, steps, width"
    )
    refuses(
        f"task 'digits_mlp': unknown knob 'widht': did you mean 'width'? {expected}", "digits_mlp", widht=3
    )
    refuses(f"task 'digits_mlp': unknown knob 'heads': {expected}", "digits_mlp", heads=3)


@every_task
@pytest.mark.parametrize("preset", ["X10", "", "huge", "tin", 10, None, []])
def test_an_unknown_preset(name, preset):
    hint = {"X10": "did you mean 'x10'? ", "10": "did you mean 'x10'? ", "tin": "did you mean 'tiny'? "}.get(
        str(preset), ""
    )
    message = f"unknown preset {str(preset)!r}: {hint}expected one of tiny, x10, x100"
    refuses(f"task {name!r}: {message}", name, preset=preset)
    with pytest.raises(TaskError, match=f"^{re.escape(message)}$"):
        TASKS[name].preset(preset)


def test_the_table_is_read_only_and_its_names_are_unique():
    with pytest.raises(TypeError):
        TASKS["mine"] = TASKS["char_mlp"]
    assert len(TASKS) == 18
    assert len({row.summary for row in TASKS.values()}) == len(TASKS)


# Presets


@every_task
@every_preset
def test_a_preset_sets_its_knobs_and_those_asked_for_win(name, preset):
    row = TASKS[name]
    chosen = row.preset(preset)
    assert bool(chosen) is (preset != "tiny")
    assert build(name, preset=preset).steps == row.knobs(**chosen).steps
    assert build(name, preset=preset, steps=7).steps == 7
    defaults = row.knobs()
    assert all(getattr(defaults, knob) != value for knob, value in chosen.items())


def test_presets_cannot_be_changed_from_outside():
    row = TASKS["char_mlp"]
    row.preset("x10")["steps"] = 1
    assert row.preset("x10")["steps"] == 480


# Knobs


@every_task
def test_knobs_are_frozen_and_reach_the_task(name):
    knobs = TASKS[name].knobs(steps=7, batch=5)
    with pytest.raises(dataclasses.FrozenInstanceError, match="steps"):
        knobs.steps = 8
    task = build(name, steps=7, batch=5)
    assert (task.steps, task.batch_size) == (7, 5)


@every_task
def test_every_knob_of_every_task_is_checked(name):
    class Odd:
        def __repr__(self):
            return "odd"

    for knob in fields(TASKS[name].knobs):
        expected = knob.metadata["check"](Odd())
        assert expected
        refuses(
            f"task {name!r}: knob {knob.name!r}: expected {expected}, found odd", name, **{knob.name: Odd()}
        )
        assert knob.metadata["check"](knob.default) is None


def test_every_knob_is_documented():
    for row in TASKS.values():
        documents = "".join(kind.__doc__ for kind in row.knobs.__mro__ if issubclass(kind, Knobs))
        for knob in fields(row.knobs):
            assert re.search(rf"^        {knob.name}: ", documents, re.M), (row.name, knob.name)


@pytest.mark.parametrize("value", [0, -1, 2.5, 200.0, "200", True, None, 10**9, float("nan")])
def test_a_whole_number_that_cannot_be(value):
    limits = f"expected a whole number from 1 to 10000000, found {value!r}"
    refuses(f"task 'quadratic': knob 'steps': {limits}", "quadratic", steps=value)


@pytest.mark.parametrize("value", [-0.1, 0.91, "0.5", True, None, float("nan"), float("inf"), 10**400])
def test_a_number_that_cannot_be(value):
    limits = f"expected a number from 0 to 0.9, found {value!r}"
    refuses(f"task 'char_mlp': knob 'dropout': {limits}", "char_mlp", dropout=value)
    assert build("char_mlp", dropout=0).steps == 200


@pytest.mark.parametrize("value", ["float64", "", None, 32, ["float32"]])
def test_a_type_that_cannot_be(value):
    expected = f"expected one of float32, bfloat16, found {value!r}"
    refuses(f"task 'quadratic': knob 'dtype': {expected}", "quadratic", dtype=value)


@pytest.mark.parametrize(
    ("name", "knob", "value", "expected"),
    [
        ("digits_mlp", "colour", 1, "true or false"),
        ("digits_mlp", "size", 3, "a whole number from 4 to 512 or null"),
        ("digits_mlp", "fraction", 0, "a number from 0.001 to 1"),
        ("digits_resnet", "width", 7, "a multiple of 2 from 2 to 1024"),
        ("digits_diffusion", "width", 1, "a multiple of 2 from 2 to 1024"),
        ("digits_hybrid", "width", 6, "a multiple of 4 from 4 to 8192"),
        ("char_mlp", "tokens", "word", "one of character, byte, bpe"),
        ("char_mlp", "vocabulary", 1, "a whole number from 2 to 60000 or null"),
        ("char_mlp", "column", "", "the name of a column or null"),
        ("char_masked", "masked", 0.0, "a number from 0.01 to 0.9"),
        ("modular_addition", "modulus", 10, "a whole number from 11 to 257"),
        ("quadratic", "condition", 0.5, "a number from 1 to 1e+09"),
        ("char_finetune", "pretraining", 9, "a whole number from 10 to 10000000"),
    ],
)
def test_other_values_that_cannot_be(name, knob, value, expected):
    refuses(f"task {name!r}: knob {knob!r}: expected {expected}, found {value!r}", name, **{knob: value})


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers()), st.just(10**400)
)


@given(ANYTHING)
def test_checks_take_anything(value):
    for knob in (
        kinds.whole(4, multiple=4, least=4),
        kinds.number(0.0, -1.0, 1.0),
        kinds.choice("a", "b"),
        kinds.optional(kinds.whole(1)),
        kinds.flag(True),
        kinds.name(),
    ):
        assert knob.metadata["check"](value) is None or isinstance(knob.metadata["check"](value), str)


HEADS = sorted(n for n, row in TASKS.items() if "heads" in {f.name for f in fields(row.knobs)})


@pytest.mark.parametrize("name", HEADS)
def test_heads_that_do_not_divide_the_width(name):
    message = "knob 'heads': expected a divisor of width=16, found 3"
    refuses(f"task {name!r}: {message}", name, width=16, heads=3)


# Data by path. What is wrong inside a file is the business of the tests of the readers.


@pytest.mark.parametrize("name", WITH_PATH)
@pytest.mark.parametrize("value", ["", 3])
def test_a_path_that_is_no_name(name, value):
    message = f"knob 'path': expected the name of a file or null, found {value!r}"
    refuses(f"task {name!r}: {message}", name, path=value)


@pytest.mark.parametrize("name", WITH_PATH)
def test_a_missing_file_stops_the_build(name, tmp_path):
    path = str(tmp_path / "none")
    with pytest.raises(TaskError, match=rf"^task {name!r}: .*: {re.escape(path)}$"):
        build(name, path=path)


def test_tasks_without_a_path():
    assert sorted(set(TASKS) - set(WITH_PATH)) == ["modular_addition", "quadratic", "teacher_student"]


@pytest.mark.parametrize(("text", "found"), [(WORDS * 10, 450), (WORDS, 45)])
def test_a_text_that_is_too_short(tmp_path, text, found):
    path = tmp_path / "text.txt"
    path.write_text(text, "utf-8")
    part = {450: 27, 45: 2}[found]
    expected = "the text is too short: expected 108 tokens or more in each part for context=8"
    with pytest.raises(TaskError) as error:
        build("char_mlp", path=str(path))
    message = (
        f"task 'char_mlp': {expected}, found {part} in the SELECTION part, of {found} characters in all: "
    )
    assert str(error.value) == f"{message}{path}"


def test_a_context_too_long_for_the_text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(WORDS * 50, "utf-8")
    build("char_mlp", context=8, path=str(path))
    expected = "expected 205 tokens or more in each part for context=105, found 135 in the SELECTION part, "
    refuses(
        f"task 'char_mlp': the text is too short: {expected}of 2250 characters in all: {path}",
        "char_mlp",
        context=105,
        path=str(path),
    )


@pytest.fixture
def images(tmp_path):
    """Saves (n, h, w) images of 200 examples of four classes; returns the path."""

    def save(shape=(8, 8), labels=FOUR_CLASSES, pixels=None):
        path = tmp_path / "images.npz"
        pixels = np.random.RandomState(0).rand(len(labels), *shape) if pixels is None else pixels
        np.savez(path, images=pixels, labels=labels)
        return str(path)

    return save


@pytest.mark.parametrize(
    ("name", "knobs", "shape", "message"),
    [
        ("digits_vit", {}, (8, 6), "a height and width that patch=4 divides, found 8 x 6 pixels"),
        ("digits_mixer", {"patch": 3}, (8, 8), "a height and width that patch=3 divides, found 8 x 8 pixels"),
        ("digits_resnet", {}, (7, 6), "an even height and width, found 7 x 6 pixels"),
        ("digits_hybrid", {}, (8, 6), "a height and width that 4 divides, found 8 x 6 pixels"),
        ("digits_diffusion", {}, (8, 7), "an even height and width, found 8 x 7 pixels"),
        ("digits_contrastive", {}, (8, 6), "a height and width that patch=4 divides, found 8 x 6 pixels"),
        ("digits_finetune", {}, (8, 6), "a height and width that patch=4 divides, found 8 x 6 pixels"),
    ],
)
def test_images_that_do_not_fit_the_network(name, knobs, shape, message, images):
    refuses(f"task {name!r}: expected images of {message}", name, path=images(shape), **knobs)


def test_images_of_one_value(images):
    path = images(pixels=np.ones((200, 8, 8)))
    message = f"expected images that differ, found one value in all training images: {path}"
    refuses(f"task 'digits_mlp': {message}", "digits_mlp", path=path)


def test_too_few_classes_to_fine_tune_and_too_many_to_caption(images):
    message = "expected four classes or more, two to start with and two to learn, found 3"
    path = images(labels=np.arange(60) % 3)
    refuses(f"task 'digits_finetune': {message}", "digits_finetune", path=path)
    message = "captions name the digits zero to nine: expected 10 classes at most, found 11"
    path = images(labels=np.arange(220) % 11)
    refuses(f"task 'digits_contrastive': {message}", "digits_contrastive", path=path)


def test_what_the_bundled_data_cannot_be():
    grey = "the bundled digits are grey, of 8 x 8 pixels: expected a 'path' with "
    for knobs, asked in (({"size": 16}, "size=16"), ({"colour": True}, "colour=true")):
        with pytest.raises(TaskError, match=f"{grey}{asked}$"):
            build("digits_mlp", **knobs).data()
    with pytest.raises(TaskError, match=r"the bundled patches are grey: expected a 'path' with colour=true$"):
        build("patches_autoencoder", colour=True).data()
    with pytest.raises(
        TaskError, match=r"expected 5 pairs or more in each split, found fewer with modulus=11$"
    ):
        build("modular_addition", modulus=11, fraction=0.01).data()
