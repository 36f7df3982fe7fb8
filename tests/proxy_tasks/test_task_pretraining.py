"""Networks trained beforehand, data that load slowly, the cache of both; and what fine-tuning makes."""

import io
import os
import pickle
import subprocess
import sys
import zipfile
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import numpy_networks as plain
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from proxy_tasks import Split, build, finetuning, kept, pretraining
from proxy_tasks.data.text import bundled_text
from proxy_tasks.data.tokens import TOKENISERS

DATA = {"x": np.arange(6, dtype=np.float32).reshape(3, 2)}
TRAIN = pretraining._train
WHAT = {"network": "line", "width": 2}


def init(key):
    return {"w": jax.random.normal(key, (2,)), "deep": {"b": jnp.zeros(())}}


def draw(key):
    return jax.random.randint(key, (2,), 0, 3)


def loss(params, data, index):
    return jnp.mean((data["x"][index] @ params["w"] + params["deep"]["b"] - 1) ** 2)


def ask(what=WHAT, data=DATA, steps=20):
    return pretraining.pretrained(what, data, init, draw, loss, steps)


@pytest.fixture(scope="module", autouse=True)
def _compile_quickly():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EVOSEARCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pretrained"


@pytest.fixture
def trainings(monkeypatch):
    """A list that grows with each training."""
    done = []

    def train(data, init, draw, loss, steps):
        done.append(steps)
        return trained()

    monkeypatch.setattr(pretraining, "_train", train)
    return done


@cache
def trained():
    return TRAIN(DATA, init, draw, loss, 300)


def bits(params):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(params)]


def test_weights_are_trained_and_repeat_bit_for_bit():
    key = jax.random.key(0)
    start, begin = init(key), loss(init(key), DATA, jnp.arange(3))
    first, second = trained(), TRAIN(DATA, init, draw, loss, 300)
    assert bits(first) == bits(second)
    assert jax.tree.structure(first) == jax.tree.structure(start)
    assert float(loss(first, DATA, jnp.arange(3))) < 0.5 * float(begin)


def test_made_once_and_read_back_bit_for_bit(folder, trainings):
    made = ask()
    (file,) = folder.iterdir()
    assert trainings == [20]
    read = ask()
    assert trainings == [20]
    assert bits(made) == bits(read)
    assert jax.tree.structure(made) == jax.tree.structure(read)
    assert all(isinstance(leaf, np.ndarray) and leaf.dtype == np.float32 for leaf in jax.tree.leaves(read))
    assert [file] == list(folder.iterdir())
    file.unlink()
    assert bits(ask()) == bits(made)
    assert trainings == [20, 20]


def test_nothing_is_pickled(folder, trainings):
    ask()
    (file,) = folder.iterdir()
    with zipfile.ZipFile(file) as archive:
        assert sorted(archive.namelist()) == ["['deep']['b'].npy", "['w'].npy"]
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
        assert sorted(arrays.files) == ["['deep']['b']", "['w']"]


def test_each_setting_has_a_file_of_its_own(folder, trainings):
    others = (
        {"x": DATA["x"] + 1},
        {"y": DATA["x"]},
        {"x": DATA["x"].reshape(2, 3)},
        {"x": DATA["x"].astype(int)},
    )
    calls = [{}, {"steps": 21}, {"what": {**WHAT, "width": 3}}, *({"data": data} for data in others)]
    for number, call in enumerate(calls, start=1):
        for _ in range(2):
            ask(**call)
        assert len(trainings) == len(list(folder.iterdir())) == number
    ask({"width": 2, "network": "line"})  # in another order
    assert len(trainings) == len(calls)


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("exploded",))


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def saved(place, arrays):
    with place.open("wb") as file:
        np.savez(file, **arrays)


GOOD = {"['w']": np.zeros(2, np.float32), "['deep']['b']": np.zeros((), np.float32)}


@pytest.mark.parametrize(
    "broken",
    [
        lambda place: place.write_bytes(place.read_bytes()[:-30]),
        lambda place: place.write_bytes(b""),
        lambda place: place.write_bytes(b"\x93NUMPY\x01\x00"),
        lambda place: place.write_bytes(pickle.dumps(Bomb())),
        lambda place: place.write_bytes(npy(np.zeros(2))),
        lambda place: saved(place, {}),
        lambda place: saved(place, {**GOOD, "['w']": np.zeros(3, np.float32)}),
        lambda place: saved(place, {**GOOD, "['w']": np.zeros(2)}),
        lambda place: saved(place, {**GOOD, "more": np.zeros(2)}),
        lambda place: saved(place, {**GOOD, "['w']": np.array([Bomb(), Bomb()])}),
        lambda place: (place.unlink(), place.mkdir()),
    ],
)
def test_a_file_that_is_not_whole_is_made_again(folder, trainings, broken, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    made = ask()
    (file,) = folder.iterdir()
    broken(file)
    assert bits(ask()) == bits(made)
    assert trainings == [20, 20]
    assert not (tmp_path / "exploded").exists()
    if not file.is_dir():
        ask()
        assert trainings == [20, 20]


@settings(deadline=None, max_examples=200)
@given(where=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_no_damage_is_an_error_or_a_wrong_weight(where, change, tmp_path_factory):
    flat = pretraining._flat(trained())
    shapes = {name: (leaf.shape, leaf.dtype) for name, leaf in flat.items()}
    place = tmp_path_factory.getbasetemp() / "damaged.npz"
    kept._write(place, flat)
    content = bytearray(place.read_bytes())
    content[int(where * len(content))] ^= change
    place.write_bytes(content)
    read = kept._read(place, shapes)
    assert read is None or all((read[name] == flat[name]).all() for name in flat)


def test_a_folder_that_cannot_be_written_to_is_no_mistake(tmp_path, monkeypatch, trainings):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("EVOSEARCH_CACHE", str(tmp_path / "file"))
    assert bits(ask()) == bits(ask())
    assert trainings == [20, 20]


def test_a_disk_that_is_full_is_no_mistake_and_nothing_is_left(folder, trainings, monkeypatch):
    def full(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr(kept.np, "savez", full)
    ask()
    assert list(folder.iterdir()) == []


BUNDLED = """
import sys
from proxy_tasks.data.images import ImageKnobs, labelled_images
from proxy_tasks.data.photographs import load_patches
import numpy as np
images, patches = labelled_images(ImageKnobs()), load_patches(64)
slow = "sklearn" in sys.modules
from sklearn.datasets import load_digits, load_sample_images
pixels, labels = load_digits(return_X_y=True)
assert (images.pixels.reshape(-1, 64) == pixels).all() and (images.labels == labels).all()
first = load_sample_images().images[0][:64, :64] @ [0.299, 0.587, 0.114] / 255
np.testing.assert_allclose(patches.pixels[0, :, :, 0], first, rtol=1e-6)
print(slow)
"""


def test_bundled_data_are_the_same_from_the_cache_and_scikit_learn_is_not_imported(tmp_path):
    environment = {**os.environ, "EVOSEARCH_CACHE": str(tmp_path)}
    runs = [
        subprocess.run([sys.executable, "-c", BUNDLED], env=environment, capture_output=True, text=True)
        for _ in range(2)
    ]
    assert [run.stderr for run in runs] == ["", ""]
    assert [run.stdout.strip() for run in runs] == ["True", "False"]
    assert sorted(path.stem.partition("-")[0] for path in (tmp_path / "data").iterdir()) == [
        "digits",
        "photographs",
    ]


def test_the_folder_is_that_of_the_environment_or_of_the_user(monkeypatch, tmp_path):
    monkeypatch.setenv("EVOSEARCH_CACHE", str(tmp_path))
    assert kept.cache_folder() == tmp_path
    monkeypatch.delenv("EVOSEARCH_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert kept.cache_folder() == tmp_path / ".cache" / "evosearch"


# Fine-tuning


@pytest.fixture
def asked(monkeypatch):
    """What was asked of `pretrained`, which answers with random weights."""
    calls = []

    def pretrained(what, data, init, draw, loss, steps):
        calls.append((what, data, steps))
        return plain.random_weights(init)

    monkeypatch.setattr(finetuning, "pretrained", pretrained)
    return calls


def test_digits_start_from_the_weights_of_other_digits_under_a_new_head(asked):
    task = build("digits_finetune", width=4, pretraining=77)
    data = task.data()
    ((what, source, steps),) = asked
    assert (what, steps) == ({"network": "vit", "width": 4, "depth": 2, "heads": 2, "patch": 4}, 77)
    pixels, labels = load_digits(return_X_y=True)
    before = labels < 5
    assert source["targets"].shape == (before.sum(), 5)
    assert (source["targets"].argmax(1) == labels[before]).all()
    assert (source["inputs"].mean(), source["inputs"].std()) == pytest.approx((0, 1), abs=1e-5)
    expected = (pixels - pixels[before].mean()) / pixels[before].std()
    for split in Split:
        numbers, arrays = data.identity[split], data.splits[split]
        assert (labels[numbers] >= 5).all()
        assert (arrays["targets"].argmax(1) + 5 == labels[numbers]).all()
        assert arrays["inputs"].reshape(-1, 64) == pytest.approx(expected[numbers], abs=1e-5)
    train = data.splits[Split.TRAIN]
    one, other = (task.init(jax.random.key(seed), train) for seed in (0, 1))
    assert set(one) == {"embed", "positions", "body", "head"}
    for name in ("embed", "positions", "body"):
        assert bits(one[name]) == bits(other[name]) == bits(train["pretrained"][name])
    assert bits(one["head"]) != bits(other["head"])
    assert bits(one["head"]) != bits(train["pretrained"]["head"])
    assert task.chance == pytest.approx(0.8 + 0.02 * np.log(5))


def test_python_starts_from_the_weights_of_english(asked):
    task = build("char_finetune", width=4, context=6, pretraining=77)
    data = task.data()
    ((what, source, steps),) = asked
    sizes = {"width": 4, "depth": 1, "heads": 2, "context": 6, "symbols": 96}
    assert (what, steps) == ({"network": "transformer", **sizes}, 77)
    english = bundled_text()
    tokeniser = TOKENISERS["character"](english, 96)
    assert tokeniser.decode(source["codes"]) == tokeniser.decode(tokeniser.encode(english))
    python = tokeniser.decode(data.splits[Split.TRAIN]["codes"])
    assert "def __init__(self" in python
    assert "import" in python
    train = data.splits[Split.TRAIN]
    assert bits(task.init(jax.random.key(0), train)) == bits(train["pretrained"])


def test_pretraining_helps(folder):
    task = build("char_finetune", pretraining=150, width=16, context=8)
    data = task.data().splits[Split.SEARCH]
    metric = float(jax.jit(task.evaluate)(task.init(jax.random.key(0), data), data))
    assert metric < 0.8 * task.chance


def test_a_text_of_ones_own_is_read_with_the_tokens_of_english(asked, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("zzz yyy\n" * 1000, "utf-8")
    codes = build("char_finetune", path=str(path)).data().splits[Split.TRAIN]["codes"]
    tokeniser = TOKENISERS["character"](bundled_text(), 96)
    assert codes[:8].tolist() == tokeniser.encode("zzz yyy\n").tolist()


def test_a_library_without_source_code(asked, monkeypatch, tmp_path):
    monkeypatch.setattr(finetuning.sysconfig, "get_path", lambda _: str(tmp_path))
    task = build("char_finetune")
    with pytest.raises(finetuning.TaskError) as error:
        task.data()
    found = f"found No such file or directory: {tmp_path / 'argparse.py'}"
    expected = f"expected the source code of the standard library in {tmp_path}"
    told = f"task 'char_finetune': {expected}, {found}; give a text with the knob 'path'"
    assert str(error.value) == told
