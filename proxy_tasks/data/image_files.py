"""Labelled images of one's own: Parquet as public dataset hubs have it, .npz, and IDX as MNIST has it.

Every kind becomes parts, one a file, that count their rows before they read them. So rows are chosen first,
and only those are decoded.
"""

import gzip
import io
import math
import re
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from proxy_tasks.data.parquet_files import (
    BATCH,
    check_regular,
    column_among,
    group_sizes,
    in_short,
    open_parquet,
    parquet_errors,
    parquet_paths,
    wrong,
)
from proxy_tasks.errors import TaskError

IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")
"""Names of Parquet columns on the public hubs; the first that is there is read."""
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")
"""What is decoded. Pillow knows many rarer formats, whose decoders are older and less looked after."""
MOST_PIXELS = 2**24
"""A larger image is refused: a file of a few bytes can claim to be one of gigabytes."""
MOST_BYTES = 2**32
"""More in memory is refused, as the arrays of an .npz file or as the images that are taken."""
FEWEST = 10
"""A class with fewer images is refused: some split would have none of it."""
LUMA = (0.299, 0.587, 0.114)
"""How much red, green and blue add to grey: ITU-R BT.601, as everybody takes it."""
KINDS = "Parquet (.parquet, or a folder of them), .npz, or IDX (images-idx3-ubyte, or .gz, or their folder)"

Rows: TypeAlias = NDArray[np.int64]
Pixels: TypeAlias = NDArray[Any]
Example: TypeAlias = tuple[Pixels, int]
"""Numbers (h, w, 1 or 3), and a label."""


@dataclass(frozen=True)
class LabelledImages:
    """Images and their classes.

    Attributes:
        pixels: float32 (n, h, w, c), c = 1 for grey or 3 for red, green and blue; in the units of the file,
            so 0 to 255 if it holds bytes.
        labels: int64 (n,), from 0 without a gap.
    """

    pixels: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class _Part:
    """A file.

    Attributes:
        path: of the file, for messages.
        count: how many examples it has.
        labels: what its labels are called in messages.
        read: rows, increasing -> their examples, one after another.
    """

    path: Path
    count: int
    labels: str
    read: Callable[[Rows], Iterator[Example]]


def read_images(path: str, size: int | None, colour: bool, most: int) -> LabelledImages:
    """The labelled images at `path`, or `most` of them, evenly spaced.

    Args:
        path: one of

            - a Parquet file, or a folder of `*.parquet`, read in the order of their names. Column `image` or
              `img`: encoded images, alone or in a struct with a field `bytes`. Column `label`, `labels` or
              `fine_label`: whole numbers.
            - an .npz file with `images`, (n, h, w), (n, h, w, 1 or 3), or (n, h * h) for square ones, and
              `labels`, (n,).
            - IDX files of bytes, gzipped or not: the path ends in `idx3-ubyte` or `idx3-ubyte.gz` and has its
              labels beside it, with `labels` for `images` and `idx1` for `idx3` in the name. Or a folder with
              one such pair, or with MNIST's two, `train-` and `t10k-`, which are read as one.
        size: height and width that all images are brought to, by means over boxes if they shrink, linearly if
            they grow, and without regard for their proportions; None if they are of one size.
        colour: three channels, alike for grey images; otherwise one, the luma of coloured images.
        most: 1 or more.

    Raises:
        TaskError: the file is missing, of another kind, damaged or empty; a column or array is missing or of
            another type; a value is null or not finite; an image is of another size than the first, or has
            more than `MOST_PIXELS` pixels; labels are not 0, 1, 2, ..., or a class has fewer than `FEWEST`
            images. Rows are counted from 0. What is not among the `most` images is not looked at.

    Example:
        images = read_images("mnist/data", size=14, colour=False, most=4000)
        images.pixels.shape                                    # (4000, 14, 14, 1)
    """
    parts = _parts(path)
    count = sum(part.count for part in parts)
    if not count:
        raise wrong("knob 'path'", "images", "none", path)
    chosen = _evenly_spaced(count, most)
    labels = np.empty(len(chosen), np.int64)
    pixels = None
    for k, (part, row, image, label) in enumerate(_examples(parts, chosen)):
        ready = _resized(_in_channels(image, colour), size)
        if pixels is None:
            taken = len(chosen) * ready.nbytes
            if taken > MOST_BYTES:
                expected = f"at most {MOST_BYTES:,} bytes of images; give knob 'size', or fewer 'examples'"
                raise wrong("knob 'path'", expected, f"{taken:,}", part.path)
            pixels = np.empty((len(chosen), *ready.shape), np.float32)
        if ready.shape != pixels.shape[1:]:
            found = f"{_measures(ready)} after {_measures(pixels[0])} in row {row}"
            raise wrong("knob 'path'", "images of one size, or knob 'size'", found, part.path)
        pixels[k], labels[k] = ready, label
    _check_labels(labels, parts[0].labels, path)
    assert pixels is not None  # count > 0
    return LabelledImages(pixels, labels)


def grey(pixels: Pixels) -> Pixels:
    """The luma of red, green and blue: (..., 3) -> float64 (..., 1)."""
    luma: Pixels = pixels @ np.array(LUMA)[:, None]
    return luma


def _parts(path: str) -> list[_Part]:
    place = Path(path)
    try:
        place.stat()
    except OSError as error:
        raise wrong("knob 'path'", "a file or folder of images", in_short(error), path) from None
    if files := parquet_paths(path):
        return [_parquet_part(file) for file in files]
    if files := _idx_paths(place):
        return [_idx_part(file) for file in files]
    if place.suffix == ".npz" and not place.is_dir():
        return [_npz_part(place)]
    raise wrong("knob 'path'", KINDS, "a folder without them" if place.is_dir() else "another file", path)


def _evenly_spaced(count: int, most: int) -> Rows:
    kept = min(count, most)
    return np.arange(kept, dtype=np.int64) * count // kept


def _examples(parts: list[_Part], chosen: Rows) -> Iterator[tuple[_Part, int, Pixels, int]]:
    """Each chosen example with its part and its row in that; `chosen` counts on from part to part."""
    first = 0
    for part in parts:
        rows = chosen[(chosen >= first) & (chosen < first + part.count)] - first
        first += part.count
        if len(rows):
            for row, (pixels, label) in zip(rows, part.read(rows), strict=True):
                yield part, int(row), pixels, label


def _in_channels(pixels: Pixels, colour: bool) -> NDArray[np.float32]:
    if colour:
        pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    elif pixels.shape[2] == 3:
        pixels = grey(pixels)
    return pixels.astype(np.float32)


def _resized(pixels: NDArray[np.float32], size: int | None) -> NDArray[np.float32]:
    height, width = pixels.shape[:2]
    if size is None or (height, width) == (size, size):
        return pixels
    from PIL import Image

    resampling = Image.Resampling.BOX if size < max(height, width) else Image.Resampling.BILINEAR
    # A channel at a time, as pillow has no colour images of floats, and bytes would round.
    channels = [Image.fromarray(np.ascontiguousarray(pixels[..., c])) for c in range(pixels.shape[2])]
    return np.stack([np.asarray(channel.resize((size, size), resampling)) for channel in channels], axis=-1)


def _measures(pixels: Pixels) -> str:
    return " x ".join(map(str, pixels.shape[:2]))


def _check_labels(labels: NDArray[np.int64], what: str, path: str) -> None:
    values, counts = np.unique(labels, return_counts=True)
    if len(values) < 2 or values[0] != 0 or values[-1] != len(values) - 1:
        found = f"{len(values)} classes from {values[0]} to {values[-1]}"
        raise wrong(what, "two or more classes 0, 1, 2, ... without a gap", found, path)
    if counts.min() < FEWEST:
        found = f"{counts.min()} of class {values[counts.argmin()]}"
        raise wrong(what, f"{FEWEST} or more images of each class", found, path)


# Parquet


def _parquet_part(path: Path) -> _Part:
    file = open_parquet(path)
    with parquet_errors(path):
        columns = [_image_column(file.schema_arrow, path), _label_column(file.schema_arrow, path)]
    labels = f"column {columns[1]!r}"
    return _Part(path, file.metadata.num_rows, labels, lambda rows: _parquet_rows(path, file, columns, rows))


def _image_column(schema: Any, path: Path) -> str:
    """The column of encoded images, or that part of it that holds them."""
    from pyarrow import types

    name = column_among(schema, IMAGE_COLUMNS, path)
    kind = schema.field(name).type
    in_struct = types.is_struct(kind) and kind.get_field_index("bytes") >= 0
    if not _is_binary(kind.field("bytes").type if in_struct else kind):
        raise wrong(f"column {name!r}", "bytes, or a struct of bytes and path", str(kind), path)
    return f"{name}.bytes" if in_struct else name


def _label_column(schema: Any, path: Path) -> str:
    from pyarrow import types

    name = column_among(schema, LABEL_COLUMNS, path)
    kind = schema.field(name).type
    if not types.is_integer(kind):
        raise wrong(f"column {name!r}", "whole numbers", str(kind), path)
    return name


def _is_binary(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))


def _parquet_rows(path: Path, file: Any, columns: list[str], rows: Rows) -> Iterator[Example]:
    """The examples of `rows`; row groups that have none of them are not read."""
    sizes = group_sizes(file)
    ends = np.cumsum(sizes)
    groups = np.unique(np.searchsorted(ends, rows, side="right"))
    numbers = np.concatenate([np.arange(ends[group] - sizes[group], ends[group]) for group in groups])
    with parquet_errors(path):
        for batch in file.iter_batches(batch_size=BATCH, row_groups=groups.tolist(), columns=columns):
            here, numbers = np.split(numbers, [len(batch)])
            mine = np.flatnonzero(np.isin(here, rows, assume_unique=True))
            yield from _batch_rows(path, batch.take(mine), here[mine])
    if len(numbers):
        raise wrong("knob 'path'", "a readable Parquet file", "fewer rows than its metadata says", path)


def _batch_rows(path: Path, batch: Any, rows: Rows) -> Iterator[Example]:
    from pyarrow import types

    images, labels = batch.column(0), batch.column(1).cast("int64")
    if types.is_struct(images.type):
        images = images.flatten()[0]  # unlike `field`, this keeps the nulls of the struct
    for row, image, label in zip(rows, images, labels, strict=True):
        if not (image.is_valid and label.is_valid):
            what = "image" if label.is_valid else "label"
            raise wrong("knob 'path'", "an image and a label in every row", f"no {what} in row {row}", path)
        yield _decoded(image.as_buffer(), f"row {row}", path), label.as_py()


def _decoded(content: Any, what: str, path: Path) -> Pixels:
    """The pixels of an encoded image, (h, w, 1 or 3)."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is lower
            image = Image.open(io.BytesIO(content), formats=FORMATS)
        pixels = _pixels(image) if image.width * image.height <= MOST_PIXELS else None
    except Image.DecompressionBombError:
        pixels = None
    except UnidentifiedImageError:
        raise wrong(what, f"an image ({', '.join(FORMATS)})", "something else", path) from None
    # Pillow lets through whatever its decoders stumble over.
    except (
        OSError,
        EOFError,
        SyntaxError,
        ValueError,
        TypeError,
        LookupError,
        struct.error,
        zlib.error,
    ) as error:
        raise wrong(what, f"an image ({', '.join(FORMATS)})", in_short(error), path) from None
    if pixels is None:
        raise wrong(what, f"an image of at most {MOST_PIXELS} pixels", "a larger one", path)
    return pixels


def _pixels(image: Any) -> Pixels:
    if image.mode.startswith(("I", "F")):
        image = image.convert("F")  # 16 or 32 bits; conversion to "L" would clip them to 255
    else:
        image = image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")
    return np.asarray(image).reshape(image.height, image.width, -1)


# .npz


def _npz_part(path: Path) -> _Part:
    arrays = _npz_arrays(path)
    if arrays.keys() < {"images", "labels"}:
        found = ", ".join(sorted(arrays)) or "neither"
        raise wrong("knob 'path'", "an .npz file with the arrays images and labels", found, path)
    images, labels = _npz_images(arrays["images"], path), arrays["labels"]
    if labels.shape != images.shape[:1]:
        expected = f"shape ({len(images)},), one for each image"
        raise wrong("array 'labels'", expected, str(labels.shape), path)
    if labels.dtype.kind not in "ui":
        raise wrong("array 'labels'", "whole numbers", str(labels.dtype), path)
    return _Part(path, len(images), "array 'labels'", lambda rows: _npz_rows(path, images, labels, rows))


def _npz_arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        check_regular(path)
        _check_npz_sizes(path)
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.lib.npyio.NpzFile):
                return {}
            names = [name for name in ("images", "labels") if name in loaded.files]
            arrays: dict[str, Any] = {name: loaded[name] for name in names}
            if not all(isinstance(array, np.ndarray) for array in arrays.values()):
                raise ValueError("something else under that name")
            return arrays
    except TaskError:
        raise
    except OSError as error:
        raise wrong("knob 'path'", "an .npz file", in_short(error), path) from None
    # The last ones: a compression Python lacks, an encrypted file, a header that is no literal, one nested
    # endlessly, one whose shape no memory holds.
    except (
        ValueError,
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
        NotImplementedError,
        RuntimeError,
        SyntaxError,
        tokenize.TokenError,
        RecursionError,
        MemoryError,
        OverflowError,
        TypeError,
    ):
        raise wrong("knob 'path'", "an .npz file of plain arrays", "something else", path) from None


def _check_npz_sizes(path: Path) -> None:
    """Refuse arrays that are larger when unpacked than memory should have to hold; zip readers stop there."""
    if not zipfile.is_zipfile(path):
        return  # then it is one array by itself, as large as the file, and refused later
    with zipfile.ZipFile(path) as archive:
        names = ("images", "labels")
        found = sum(m.file_size for m in archive.infolist() if m.filename.removesuffix(".npy") in names)
    if found > MOST_BYTES:
        expected = f"at most {MOST_BYTES:,} bytes of arrays; larger data are read from Parquet"
        raise wrong("knob 'path'", expected, f"{found:,}", path)


def _npz_images(images: NDArray[Any], path: Path) -> NDArray[Any]:
    """The array as (n, h, w, c)."""
    shape = _npz_shape(images.shape)
    if not shape or 0 in shape:
        expected = "shape (n, h, w), (n, h, w, 1 or 3), or (n, features) for square images"
        raise wrong("array 'images'", expected, str(images.shape), path)
    if images.dtype.kind not in "buif":
        raise wrong("array 'images'", "numbers", str(images.dtype), path)
    return images.reshape(shape)


def _npz_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """(n, h, w, c) for an array of this shape, () if there is none."""
    match shape:
        case (n, features) if math.isqrt(features) ** 2 == features:
            return n, math.isqrt(features), math.isqrt(features), 1
        case (n, height, width):
            return n, height, width, 1
        case (n, height, width, 1 | 3 as channels):
            return n, height, width, channels
        case _:
            return ()


def _npz_rows(path: Path, images: NDArray[Any], labels: NDArray[Any], rows: Rows) -> Iterator[Example]:
    with np.errstate(over="ignore"):
        chosen = images[rows].astype(np.float32)
    odd = np.count_nonzero(~np.isfinite(chosen))
    if odd:
        raise wrong("array 'images'", "finite numbers", f"{odd} that are not", path)
    yield from zip(chosen, labels[rows].astype(np.int64), strict=True)


# IDX: two zero bytes, a type, the number of axes, their lengths as big-endian uint32, then the values.

IDX_IMAGES = re.compile(r"idx3-ubyte(\.gz)?$")
UNSIGNED_BYTE = 0x08


def _idx_paths(place: Path) -> list[Path]:
    """The files of images that `place` names, [] if it names none."""
    if not place.is_dir():
        return [place] if IDX_IMAGES.search(place.name) else []
    # In reverse, so that where a file lies there both gzipped and not, the latter is taken.
    files = sorted((file for file in place.iterdir() if IDX_IMAGES.search(file.name)), reverse=True)
    found = {file.name.removesuffix(".gz"): file for file in files}
    sets = {name.partition("images")[0] for name in found}
    if len(found) > 1 and sets != {"train-", "t10k-"}:
        expected = "one file of IDX images, or a train- and a t10k- one"
        raise wrong("knob 'path'", expected, ", ".join(sorted(found)), place)
    return list(found.values())


def _idx_part(path: Path) -> _Part:
    beside = path.with_name("labels".join(path.name.rsplit("images", 1)).replace("idx3", "idx1"))
    shape, labels = _idx_shape(path, 3), _idx_shape(beside, 1)
    if labels[0] != shape[0]:
        raise wrong("knob 'path'", f"{shape[0]} labels, one for each image", str(labels[0]), beside)
    if not 0 < shape[1] * shape[2] <= MOST_PIXELS:
        expected = f"images of 1 to {MOST_PIXELS} pixels"
        raise wrong("knob 'path'", expected, f"{shape[1]} x {shape[2]}", path)

    def read(rows: Rows) -> Iterator[Example]:
        for image, label in zip(_idx_rows(path, shape, rows), _idx_rows(beside, labels, rows), strict=True):
            yield image[..., None], int(label)

    return _Part(path, shape[0], "the labels", read)


@contextmanager
def _idx_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise wrong("knob 'path'", "an IDX file", in_short(error), path) from None


def _idx_shape(path: Path, axes: int) -> tuple[int, ...]:
    """The lengths of the axes, checked against the length of the file, if it is not compressed."""
    with _idx_errors(path):
        check_regular(path)
    with _idx_errors(path), gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        header = file.read(4 + 4 * axes)
    if len(header) < 4 + 4 * axes or header[:2] != b"\0\0":
        raise wrong("knob 'path'", "an IDX file", "something else", path)
    if header[2:4] != bytes([UNSIGNED_BYTE, axes]):
        expected = f"type 0x{UNSIGNED_BYTE:02x} (bytes) and {axes} axes"
        raise wrong("knob 'path'", expected, f"type 0x{header[2]:02x} and {header[3]} axes", path)
    shape = struct.unpack(f">{axes}I", header[4:])
    length = len(header) + math.prod(shape)
    if path.suffix != ".gz" and path.stat().st_size != length:
        raise wrong("knob 'path'", f"{length} bytes as its header says", f"{path.stat().st_size}", path)
    return shape


def _idx_rows(path: Path, shape: tuple[int, ...], rows: Rows) -> Iterator[NDArray[np.uint8]]:
    start = 4 + 4 * len(shape)
    if path.suffix == ".gz":
        return _gzipped_rows(path, start, shape, rows)
    # Nothing but the rows that are taken is read from the disk.
    return iter(np.memmap(path, np.uint8, "r", start, shape)[rows])


def _gzipped_rows(path: Path, start: int, shape: tuple[int, ...], rows: Rows) -> Iterator[NDArray[np.uint8]]:
    """The rows, one in memory at a time; then the rest of the file, whose checksum comes last."""
    length = math.prod(shape[1:])
    last = start + shape[0] * length - 1
    with _idx_errors(path), gzip.open(path) as file:
        for row in rows:
            file.seek(start + int(row) * length)
            content = file.read(length)
            if len(content) == length:
                yield np.frombuffer(content, np.uint8).reshape(shape[1:])
        file.seek(last)
        if len(file.read(2)) != 1:
            raise wrong("knob 'path'", f"{last + 1} bytes as its header says", "more or fewer", path)
