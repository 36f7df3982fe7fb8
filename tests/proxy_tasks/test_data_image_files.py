"""Images from files: what is read, how it is brought to one shape, and every mistake by its message."""

import contextlib
import gzip
import io
import os
import re
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from proxy_tasks.data import image_files
from proxy_tasks.data.image_files import FEWEST, FORMATS, MOST_PIXELS, grey, read_images
from proxy_tasks.errors import TaskError

COUNT = 40
LABELS = np.arange(COUNT) % 4
BYTES = np.random.RandomState(0).randint(0, 256, (COUNT, 6, 5)).astype(np.uint8)
COLOURED = np.random.RandomState(1).randint(0, 256, (COUNT, 6, 5, 3)).astype(np.uint8)
MNIST = Path(__file__).parents[3] / "shared" / "data" / "mnist" / "data"
GAP = "expected two or more classes 0, 1, 2, ... without a gap"


def encoded(image, kind="PNG"):
    content = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(content, kind)
    return content.getvalue()


def table(images=BYTES, labels=LABELS, **options):
    """A table as the hubs have it; images are arrays, bytes or null."""
    contents = [encoded(image) if isinstance(image, np.ndarray) else image for image in images]
    structs = [{"bytes": content, "path": f"{k}.png"} for k, content in enumerate(contents)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.table({"image": pa.array(structs, kind), "label": pa.array(labels)})


def parquet(path, content=None, **options):
    pq.write_table(table() if content is None else content, path, **options)
    return path


def idx(array, kind=0x08):
    array = np.asarray(array, np.uint8)
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def idx_pair(folder, name="{}-{}-ubyte", images=BYTES, labels=LABELS):
    """Files of images and labels; returns the former."""
    for what, axes, array in (("labels", "idx1", labels), ("images", "idx3", images)):
        path = folder / name.format(what, axes)
        path.write_bytes(gzip.compress(idx(array), 1) if path.suffix == ".gz" else idx(array))
    return path


def npz(path, **changes):
    arrays = {"images": BYTES, "labels": LABELS, **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def read(path, size=None, colour=False, most=10**6):
    return read_images(str(path), size, colour, most)


def refuses(message, path, where=None, **options):
    with pytest.raises(TaskError, match=f"^{re.escape(f'{message}: {where or path}')}$"):
        read(path, **options)


# What is read


def folder_of_parquet(folder):
    parquet(folder / "b.parquet", table().slice(11))
    parquet(folder / "a.parquet", table().slice(0, 11))
    (folder / "README.md").write_text("not data")
    return folder


def without_a_name(folder):
    (folder / "a.idx1-ubyte").write_bytes(idx(LABELS))
    (folder / "a.idx3-ubyte").write_bytes(idx(BYTES))
    return folder / "a.idx3-ubyte"


def train_and_test(folder):
    idx_pair(folder, "t10k-{}-{}-ubyte.gz", BYTES[30:], LABELS[30:])
    idx_pair(folder, "train-{}-{}-ubyte", BYTES[:30], LABELS[:30])
    return folder


def unpacked_beside(folder):
    idx_pair(folder, "{}-{}-ubyte.gz").write_bytes(b"the unpacked one is read")
    return idx_pair(folder).parent


BINARY = pa.table({"img": [encoded(image) for image in BYTES], "labels": LABELS.astype(np.uint8)})
FLOATS = {"images": BYTES[..., None].astype(float), "labels": LABELS.astype("u8")}
SAME = {
    "parquet": lambda folder: parquet(folder / "a.parquet"),
    "parquet, bytes alone": lambda folder: parquet(folder / "a.parquet", BINARY),
    "parquet, row groups": lambda folder: parquet(folder / "a.parquet", row_group_size=7),
    "parquet, folder": folder_of_parquet,
    "npz": lambda folder: npz(folder / "a.npz"),
    "npz, floats": lambda folder: npz(folder / "a.npz", **FLOATS),
    "idx": idx_pair,
    "idx, gzipped": lambda folder: idx_pair(folder, "{}-{}-ubyte.gz"),
    "idx, with a dot": lambda folder: idx_pair(folder, "my-images-{}.{}-ubyte"),
    "idx, without a name": without_a_name,
    "idx, folder": lambda folder: idx_pair(folder).parent,
    "idx, folder of two": train_and_test,
    "idx, folder, unpacked beside": unpacked_beside,
}
"""The same images in every kind of file."""


@pytest.mark.parametrize("kind", SAME)
def test_every_kind_of_file_gives_the_same_images(kind, tmp_path):
    path = SAME[kind](tmp_path)
    images = read(path)
    assert (images.pixels.dtype, images.labels.dtype) == (np.float32, np.int64)
    assert (images.pixels == BYTES[..., None]).all()
    assert (images.labels == LABELS).all()
    some = read(path, most=15)
    rows = np.arange(15) * COUNT // 15
    assert (some.pixels == BYTES[rows, ..., None]).all()
    assert (some.labels == LABELS[rows]).all()


@pytest.fixture(autouse=True)
def _small_classes(monkeypatch):
    """So that a few rows can be read; the default has its own test."""
    monkeypatch.setattr(image_files, "FEWEST", 3)


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_of_image(kind, tmp_path):
    smooth = [np.full((8, 8), 5 * k + 3, np.uint8) for k in range(COUNT)]
    images = read(parquet(tmp_path / "a.parquet", table([encoded(image, kind) for image in smooth])))
    assert np.abs(images.pixels - np.stack(smooth)[..., None]).max() <= (2 if kind in ("JPEG", "WEBP") else 0)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_of_a_png(mode, tmp_path):
    black_and_white = [Image.fromarray(((image > 99) * 255).astype(np.uint8)) for image in BYTES]
    path = parquet(tmp_path / "a.parquet", table([encoded(image.convert(mode)) for image in black_and_white]))
    expected = ((BYTES > 99) * 255)[..., None]
    assert (read(path).pixels == expected).all()
    assert (read(path, colour=True).pixels == expected.repeat(3, 3)).all()


def test_sixteen_bits_are_not_clipped(tmp_path):
    images = BYTES.astype(np.uint16) * 257
    assert (read(parquet(tmp_path / "a.parquet", table(images))).pixels == images[..., None]).all()


def test_colour_and_grey(tmp_path):
    path = parquet(tmp_path / "a.parquet", table(COLOURED))
    assert (read(path, colour=True).pixels == COLOURED).all()
    expected = 0.299 * COLOURED[..., 0] + 0.587 * COLOURED[..., 1] + 0.114 * COLOURED[..., 2]
    assert read(path).pixels[..., 0] == pytest.approx(expected, abs=1e-4)
    assert read(npz(tmp_path / "a.npz", images=COLOURED)).pixels[..., 0] == pytest.approx(expected, abs=1e-4)
    assert grey(np.ones((2, 3))) == pytest.approx(np.ones((2, 1)))


@pytest.mark.parametrize("colour", [False, True])
def test_shrinking_takes_means_and_growing_does_not_leave_the_range(colour, tmp_path):
    path = npz(tmp_path / "a.npz", images=COLOURED[:, :4, :4])
    original = read(path, colour=colour).pixels
    means = original.reshape(COUNT, 2, 2, 2, 2, -1).mean((2, 4))
    assert read(path, 2, colour).pixels == pytest.approx(means, rel=1e-5)
    grown = read(path, 8, colour).pixels
    assert grown.shape == (COUNT, 8, 8, 3 if colour else 1)
    assert (original.min() <= grown.min()) & (grown.max() <= original.max())
    assert (read(path, 4, colour).pixels == original).all()


def test_images_of_several_sizes_need_a_size(tmp_path):
    images = [np.full((4 + k % 3, 5), k, np.uint8) for k in range(COUNT)]
    path = parquet(tmp_path / "a.parquet", table(images))
    expected = "knob 'path': expected images of one size, or knob 'size'"
    refuses(f"{expected}, found 5 x 5 after 4 x 5 in row 1", path)
    assert read(path, 5).pixels[:, 2, 2, 0] == pytest.approx(np.arange(COUNT), rel=1e-6)


def test_a_flat_npz_is_of_square_images(tmp_path):
    square = BYTES[:, :5]
    assert (read(npz(tmp_path / "a.npz", images=square.reshape(-1, 25))).pixels == square[..., None]).all()


def test_the_names_of_columns_are_tried_in_order(tmp_path):
    content = table().append_column("coarse_label", pa.array(LABELS * 0))
    content = content.rename_columns(["img", "fine_label", "coarse_label"])
    assert (read(parquet(tmp_path / "a.parquet", content)).labels == LABELS).all()


# Only what is taken is looked at


def test_only_the_chosen_rows_are_decoded(tmp_path):
    images = [encoded(image) if k % 4 == 0 else b"no image" for k, image in enumerate(BYTES)]
    path = parquet(tmp_path / "a.parquet", table(images, np.arange(COUNT) // 4 % 2), row_group_size=9)
    taken = read(path, most=COUNT // 4)
    assert (taken.pixels == BYTES[::4, ..., None]).all()
    refuses(f"row 1: expected an image ({', '.join(FORMATS)}), found something else", path)


def test_row_groups_without_a_chosen_row_are_not_read(tmp_path):
    path = parquet(tmp_path / "a.parquet", table(labels=np.arange(COUNT) // 4 % 2), row_group_size=1)
    metadata = pq.ParquetFile(path).metadata
    content = bytearray(path.read_bytes())
    for group in set(range(COUNT)) - set(range(0, COUNT, 4)):
        column = metadata.row_group(group).column(0)
        start = column.dictionary_page_offset or column.data_page_offset
        content[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    path.write_bytes(content)
    assert (read(path, most=COUNT // 4).pixels == BYTES[::4, ..., None]).all()
    with pytest.raises(TaskError, match="expected a readable Parquet file, found "):
        read(path)


def test_idx_is_memory_mapped(tmp_path):
    count, side, taken = 2**20, 28, 100
    path, labels = tmp_path / "images-idx3-ubyte", tmp_path / "labels-idx1-ubyte"
    path.write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", count, side, side))
    os.truncate(path, 16 + count * side * side)  # zeros that take no room on the disk
    rows = np.arange(taken) * count // taken
    values = np.zeros(count, np.uint8)
    values[rows] = np.arange(taken) % 2
    labels.write_bytes(idx(values))
    with path.open("r+b") as file:
        for row in rows:
            file.seek(16 + row * side * side)
            file.write(bytes([row % 251] * side * side))
    tracemalloc.start()
    images = read(path, most=taken)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (images.pixels == (rows % 251)[:, None, None, None]).all()
    assert peak < 10 * images.pixels.nbytes


# Mistakes


def test_a_path_to_nothing_and_to_something_else(tmp_path):
    missing = tmp_path / "none.parquet"
    refuses("knob 'path': expected a file or folder of images, found No such file or directory", missing)
    kinds = (
        "Parquet (.parquet, or a folder of them), .npz, or IDX (images-idx3-ubyte, or .gz, or their folder)"
    )
    refuses(f"knob 'path': expected {kinds}, found a folder without them", tmp_path)
    (tmp_path / "a.txt").write_text("hello")
    refuses(f"knob 'path': expected {kinds}, found another file", tmp_path / "a.txt")


@pytest.mark.parametrize(
    "write",
    [
        lambda folder: parquet(folder / "a.parquet", table().slice(0, 0)),
        lambda folder: idx_pair(folder, images=BYTES[:0], labels=LABELS[:0]),
    ],
)
def test_an_empty_file(write, tmp_path):
    refuses("knob 'path': expected images, found none", write(tmp_path))


IMAGES = "knob 'path': expected a column named image or img, found"
LABEL = "knob 'path': expected a column named label or labels or fine_label, found"
WHOLE = "column 'label': expected whole numbers, found"


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": None}, f"{IMAGES} label (is it 'label'?)"),
        ({"image": None, "Images": [b""]}, f"{IMAGES} label, Images (is it 'Images'?)"),
        ({"label": None}, f"{LABEL} image"),
        ({"label": None, "Label": [0]}, f"{LABEL} image, Label (is it 'Label'?)"),
        ({"label": [0.0]}, f"{WHOLE} double"),
        ({"label": ["cat"]}, f"{WHOLE} string"),
        ({"label": [True]}, f"{WHOLE} bool"),
        ({"image": ["a.png"]}, "column 'image': expected bytes, or a struct of bytes and path, found string"),
        (
            {"image": [{"path": "a.png"}]},
            "column 'image': expected bytes, or a struct of bytes and path, found struct<path: string>",
        ),
        (
            {"image": [{"bytes": "a"}]},
            "column 'image': expected bytes, or a struct of bytes and path, found struct<bytes: string>",
        ),
    ],
)
def test_a_parquet_of_other_columns(columns, message, tmp_path):
    content = {"image": [b""], "label": [0], **columns}
    content = pa.table({name: column for name, column in content.items() if column is not None})
    refuses(message.replace(" (is it 'label'?)", ""), parquet(tmp_path / "a.parquet", content))


def replaced(values, row, value):
    return [value if k == row else old for k, old in enumerate(values)]


BOTH = "knob 'path': expected an image and a label in every row, found"
IMAGE = f"expected an image ({', '.join(FORMATS)}), found"


def test_a_null(tmp_path):
    path = tmp_path / "a.parquet"
    refuses(f"{BOTH} no label in row 5", parquet(path, table(labels=replaced(LABELS, 5, None))))
    refuses(f"{BOTH} no image in row 17", parquet(path, table(replaced(BYTES, 17, None))))
    structs = replaced(table()["image"].to_pylist(), 3, None)
    content = pa.table({"image": structs, "label": LABELS})
    refuses(f"{BOTH} no image in row 3", parquet(path, content))


def claims(width, height):
    """A PNG of a few bytes that says how large it is."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return start + struct.pack(">I", 100) + b"IDAT"


@pytest.mark.parametrize("side", [MOST_PIXELS // 4096 + 1, 11_000, 60_000])
def test_an_image_too_large_to_decode(side, tmp_path):
    path = parquet(
        tmp_path / "a.parquet", table(replaced(BYTES, 2, claims(4096 if side < 9999 else side, side)))
    )
    refuses(f"row 2: expected an image of at most {MOST_PIXELS} pixels, found a larger one", path)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "something else"),
        (b"no image", "something else"),
        (encoded(BYTES[0], "PPM"), "something else"),
        (encoded(BYTES[0], "TIFF"), "something else"),
        (claims(5, 6), "image file is truncated"),
        (encoded(COLOURED.reshape(-1, 5, 3))[:900], "image file is truncated"),
        (encoded(COLOURED.reshape(-1, 5, 3), "JPEG")[:900], "image file is truncated"),
        (encoded(BYTES[0]).replace(b"IDAT", b"IDAT\xff"), "broken"),
    ],
)
def test_a_damaged_image(content, found, tmp_path):
    path = parquet(tmp_path / "a.parquet", table(replaced(BYTES, 7, content)))
    with pytest.raises(TaskError, match=f"^row 7: {re.escape(IMAGE)} .*: {re.escape(str(path))}$") as caught:
        read(path)
    assert f"found {found}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bytes_never_raise_anything_else(seed, tmp_path):
    rng = np.random.RandomState(seed)
    path = parquet(tmp_path / "a.parquet", compression=["snappy", "none"][seed % 2], write_page_checksum=True)
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    content[rng.randint(0, len(content), 1 + seed)] ^= rng.randint(1, 256, 1 + seed).astype(np.uint8)
    path.write_bytes(content)
    with contextlib.suppress(TaskError):
        assert (read(path).pixels == BYTES[..., None]).all()


@pytest.mark.parametrize("cut", [0, 3, 200, -1, -8])
def test_a_parquet_cut_off(cut, tmp_path):
    path = parquet(tmp_path / "a.parquet")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(TaskError, match=f"^knob 'path': expected a readable Parquet file, found .*: {path}$"):
        read(path)


def test_an_error_in_a_folder_names_the_file(tmp_path):
    parquet(tmp_path / "a.parquet")
    bad = parquet(tmp_path / "b.parquet", table(replaced(BYTES, 4, b"")))
    refuses(f"row 4: {IMAGE} something else", tmp_path, where=bad)


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (LABELS * 0, f"{GAP}, found 1 classes from 0 to 0"),
        (LABELS + 1, f"{GAP}, found 4 classes from 1 to 4"),
        (LABELS % 2 * 3, f"{GAP}, found 2 classes from 0 to 3"),
    ],
)
@pytest.mark.parametrize("kind", ["column 'label'", "array 'labels'", "the labels"])
def test_labels_with_a_gap(kind, labels, found, tmp_path):
    path = {
        "column 'label'": lambda: parquet(tmp_path / "a.parquet", table(labels=labels)),
        "array 'labels'": lambda: npz(tmp_path / "a.npz", labels=labels),
        "the labels": lambda: idx_pair(tmp_path, labels=labels),
    }[kind]()
    refuses(f"{kind}: {found}", path)


def test_labels_below_zero_and_beyond_all_bounds(tmp_path):
    path = tmp_path / "a.parquet"
    refuses(f"column 'label': {GAP}, found 4 classes from -1 to 2", parquet(path, table(labels=LABELS - 1)))
    huge = pa.array(replaced(LABELS.tolist(), 0, 2**64 - 1), pa.uint64())
    with pytest.raises(TaskError, match="found Integer value 18446744073709551615 not in range"):
        read(parquet(path, table(labels=huge)))


def test_a_class_of_too_few(monkeypatch, tmp_path):
    monkeypatch.setattr(image_files, "FEWEST", FEWEST)
    assert len(read(npz(tmp_path / "a.npz")).labels) == COUNT
    path = npz(tmp_path / "a.npz", labels=(np.arange(COUNT) < 9).astype(int))
    refuses("array 'labels': expected 10 or more images of each class, found 9 of class 1", path)


BOTH_ARRAYS = "knob 'path': expected an .npz file with the arrays images and labels"
SHAPES = "array 'images': expected shape (n, h, w), (n, h, w, 1 or 3), or (n, features) for square images"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": None}, f"{BOTH_ARRAYS}, found labels"),
        ({"labels": None}, f"{BOTH_ARRAYS}, found images"),
        ({"images": None, "labels": None}, f"{BOTH_ARRAYS}, found neither"),
        ({"images": np.zeros(COUNT)}, f"{SHAPES}, found ({COUNT},)"),
        ({"images": np.float32(3)}, f"{SHAPES}, found ()"),
        ({"images": np.zeros((COUNT, 0))}, f"{SHAPES}, found ({COUNT}, 0)"),
        ({"images": np.zeros((COUNT, 24))}, f"{SHAPES}, found ({COUNT}, 24)"),
        ({"images": np.zeros((COUNT, 4, 4, 2))}, f"{SHAPES}, found ({COUNT}, 4, 4, 2)"),
        ({"images": np.zeros((COUNT, 4, 4, 1, 1))}, f"{SHAPES}, found ({COUNT}, 4, 4, 1, 1)"),
        ({"images": np.zeros((0, 4, 4))}, f"{SHAPES}, found (0, 4, 4)"),
        ({"images": np.full((COUNT, 4), "a")}, "array 'images': expected numbers, found <U1"),
        ({"images": np.zeros((COUNT, 4), complex)}, "array 'images': expected numbers, found complex128"),
        (
            {"images": np.full((COUNT, 4), np.nan)},
            "array 'images': expected finite numbers, found 160 that are not",
        ),
        (
            {"images": np.full((COUNT, 4), 1e300)},
            "array 'images': expected finite numbers, found 160 that are not",
        ),
        ({"labels": LABELS[1:]}, "array 'labels': expected shape (40,), one for each image, found (39,)"),
        (
            {"labels": LABELS[:, None]},
            "array 'labels': expected shape (40,), one for each image, found (40, 1)",
        ),
        ({"labels": LABELS * 1.0}, "array 'labels': expected whole numbers, found float64"),
    ],
)
def test_an_npz_that_makes_no_sense(changes, message, tmp_path):
    refuses(message, npz(tmp_path / "a.npz", **changes))


def test_a_file_that_is_no_npz(tmp_path):
    path = tmp_path / "a.npz"
    plain = "knob 'path': expected an .npz file of plain arrays, found something else"
    path.write_text("hello")
    refuses(plain, path)
    refuses(plain, npz(path, images=np.array([None] * COUNT)))  # would be unpickled
    for cut in (0, 100, 500):
        npz(path)
        path.write_bytes(path.read_bytes()[:cut])
        refuses(plain, path)
    with path.open("wb") as file:
        np.save(file, BYTES)
    refuses(f"{BOTH_ARRAYS}, found neither", path)


def test_an_idx_file_without_its_labels(tmp_path):
    path = idx_pair(tmp_path)
    labels = tmp_path / "labels-idx1-ubyte"
    labels.write_bytes(idx(LABELS[1:]))
    refuses("knob 'path': expected 40 labels, one for each image, found 39", path, where=labels)
    labels.unlink()
    refuses("knob 'path': expected an IDX file, found No such file or directory", path, where=labels)


@pytest.mark.parametrize("name", ["images-idx3-ubyte", "images-idx3-ubyte.gz"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an IDX file, found something else"),
        (idx(BYTES)[:15], "an IDX file, found something else"),
        (b"\x01" + idx(BYTES)[1:], "an IDX file, found something else"),
        (idx(BYTES, kind=0x0D), "type 0x08 (bytes) and 3 axes, found type 0x0d and 3 axes"),
        (idx(COLOURED), "type 0x08 (bytes) and 3 axes, found type 0x08 and 4 axes"),
        (idx(BYTES[:, :0]), f"images of 1 to {MOST_PIXELS} pixels, found 0 x 5"),
        (
            bytes([0, 0, 8, 3]) + struct.pack(">3I", 40, 2**16, 2**16) + bytes(9),
            {
                "": f"{16 + 40 * 2**32} bytes as its header says, found 25",
                ".gz": f"images of 1 to {MOST_PIXELS} pixels, found 65536 x 65536",
            },
        ),
        (
            idx(BYTES)[:-1],
            {
                "": "1216 bytes as its header says, found 1215",
                ".gz": "1216 bytes as its header says, found more or fewer",
            },
        ),
        (
            idx(BYTES) + b"\0",
            {
                "": "1216 bytes as its header says, found 1217",
                ".gz": "1216 bytes as its header says, found more or fewer",
            },
        ),
    ],
)
def test_a_damaged_idx_file(name, content, message, tmp_path):
    path = idx_pair(tmp_path, "{}-{}-ubyte.gz" if name.endswith(".gz") else "{}-{}-ubyte")
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    refuses(f"knob 'path': expected {message if isinstance(message, str) else message[path.suffix]}", path)


def test_a_damaged_gzip_file(tmp_path):
    path = idx_pair(tmp_path, "{}-{}-ubyte.gz")
    good = path.read_bytes()
    for content in (b"hello", good[:5], good[:200], good[:-1], good[:300] + b"\xff\x00" + good[302:]):
        path.write_bytes(content)
        with pytest.raises(TaskError, match=f"^knob 'path': expected an IDX file, found .*: {path}$"):
            read(path)
        with pytest.raises(TaskError, match=f"^knob 'path': expected an IDX file, found .*: {path}$"):
            read(path, most=20)


def test_a_folder_of_several_idx_files(tmp_path):
    for name in ("letters-{}-{}-ubyte", "digits-{}-{}-ubyte.gz"):
        idx_pair(tmp_path, name)
    found = "digits-images-idx3-ubyte, letters-images-idx3-ubyte"
    refuses(
        f"knob 'path': expected one file of IDX images, or a train- and a t10k- one, found {found}", tmp_path
    )


# Real data


@pytest.mark.skipif(not MNIST.is_dir(), reason=f"there is no {MNIST}")
def test_mnist():
    images = read(MNIST, most=500, size=14)
    assert images.pixels.shape == (500, 14, 14, 1)
    assert 20 < images.pixels.mean() < 45  # MNIST's mean is 33
    assert (images.pixels.min(), images.pixels.max() > 200) == (0, True)
    whole = read(MNIST / "test-00000-of-00001.parquet")
    assert whole.pixels.shape == (2000, 28, 28, 1)
    assert set(whole.labels) == set(range(10))
    first = pq.read_table(MNIST / "test-00000-of-00001.parquet").slice(0, 1).to_pylist()[0]
    assert (np.asarray(Image.open(io.BytesIO(first["image"]["bytes"]))) == whole.pixels[0, ..., 0]).all()
    assert whole.labels[0] == first["label"]


# ---------------------------------------------------------------- files that were made to do harm


def archive(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


def array_header(shape, kind="|u1"):
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "header",
    [
        array_header((10**12, 28, 28)),
        array_header((10**30, 28)),
        array_header((40, 6, 5), "|O"),
        array_header("(" * 2000),
        b"no array",
    ],
)
def test_arrays_that_no_memory_holds(tmp_path, header):
    labels = io.BytesIO()
    np.save(labels, LABELS)
    path = archive(tmp_path / "a.npz", {"images.npy": header, "labels.npy": labels.getvalue()})
    with pytest.raises(TaskError, match=r"expected an \.npz file of plain arrays, found something else"):
        read_images(str(path), 8, False, 10)


def test_an_archive_that_unpacks_to_too_much(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "MOST_BYTES", 100_000)
    content = array_header((1000, 20, 20)) + bytes(400_000)
    path = archive(tmp_path / "a.npz", {"images.npy": content, "labels.npy": b""})
    assert path.stat().st_size < 5000
    with pytest.raises(TaskError, match=r"expected at most 100,000 bytes of arrays; .*, found 400,128"):
        read_images(str(path), 8, False, 10)


def test_images_that_are_too_large_together(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "MOST_BYTES", 4000)
    with pytest.raises(
        TaskError, match=r"expected at most 4,000 bytes of images; give knob 'size', or fewer"
    ):
        read_images(str(parquet(tmp_path / "a.parquet")), None, False, 100)


@pytest.mark.parametrize("name", ["a.npz", "a.parquet", "a-images-idx3-ubyte", "a-images-idx3-ubyte.gz"])
def test_a_fifo_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(TaskError, match=r"found a FIFO, socket or device: "):
        read_images(str(tmp_path / name), 8, False, 10)
