"""What `breeder.c` is told: rules, primitives, names of variables; and the arrays that both sides see."""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evosearch.c_library import CLibrary, compiled
from evosearch.evaluation import Status
from evosearch.evolution.rules import Purpose, Rules, purpose_words
from evosearch.language.mutation import MAX_MAGNITUDE
from evosearch.language.packing import STATEMENT_BYTES, Packing
from evosearch.language.program import INPUTS, SCIENTIFIC_BELOW, SCIENTIFIC_FROM, Statements
from primitives import BY_NAME, OPCODES, TABLE, ValueType

KINDS = ("insert", "modify", "delete", "random")
"""Kinds of mutation, in the order of `breeder.c`."""

STATUSES = tuple(Status)
"""How evaluations ended, by the numbers that C is told."""

ROWS = 4096
"""How many rows wait in C's arrays at most."""

MOST_SEED_WORDS = 62
"""As many 32-bit words of a seed as `breeder.c` has room for."""

INFO = (
    *("programs", "run_programs", "patience", "is_spent", "stopped"),
    *("next", "first", "generated", "invalid", "cache_hits", "statements", "live", "filled", "run_ending"),
    *("event_id", "event_length", "event_carried", "event_slot", "fold_op"),
)
"""Numbers that both sides see, in the order of `breeder.c`."""

NUMBERS = (
    *(
        "id",
        "parent",
        "round",
        "restart",
        "mutation",
        "statement",
        "invalid",
        "statements",
        "live_statements",
    ),
    *("cache_hit", "outcome", "seeds", "steps"),
)
"""The columns of whole numbers of a row, in the order of `breeder.c`."""

TEXTS = ("text", "before", "after")
"""Its columns of texts."""

_WHOLE = (
    *("population", "tournament", "lag", "max_statements", "cache", "slots", "rows", "text_bytes"),
    *("method_random", "kinds", "constants_only", "vocabulary_size", "seed_words", "variables", "new_names"),
    *("primitives", "max_attempts"),
)
_REAL = (
    *("share", "constant_std", "scale_share", "scale_std", "max_magnitude", "total_weight"),
    *("scientific_below", "scientific_from"),
)
_TABLES = ("kind_of", "weights", "vocabulary", "seed", "arity", "commutative", "types")
_NAMES = ("primitive_names", "infix", "variable_names")
_SHARED = (
    *("fitness", "status", "seeds", "leads", "more", "info", "folding", "shown", "shown_hash", "numbers"),
    *("reals", "hashes", "ends", "texts"),
)


class Setup(ctypes.Structure):
    """`Setup` of `breeder.c`."""

    _fields_ = (
        *[(name, ctypes.c_int64) for name in _WHOLE],
        *[(name, ctypes.c_double) for name in _REAL],
        *[(name, ctypes.c_void_p) for name in _TABLES],
        *[(name, ctypes.POINTER(ctypes.c_char_p)) for name in _NAMES],
        ("new_name", ctypes.c_void_p),
        *[(name, ctypes.c_void_p) for name in _SHARED],
    )


@functools.cache
def library() -> ctypes.CDLL:
    """The machine code, compiled unless it is in the cache; once per process.

    Raises:
        NoCompilerError: there is no C compiler, or it fails.
    """
    return load(source())


def source() -> str:
    """The text of `breeder.c`."""
    return files(__package__).joinpath("breeder.c").read_text(encoding="ascii")


def load(text: str) -> ctypes.CDLL:
    """The machine code of a text; see `library`."""
    # Elementary functions are called as Python calls them, not replaced by others that round otherwise.
    plain = tuple(f"-fno-builtin-{name}" for name in ("cos", "sin", "log", "pow"))
    loaded = ctypes.CDLL(str(compiled(CLibrary("the native engine", text, flags=plain))))
    i64, pointer = ctypes.c_int64, ctypes.c_void_p
    signatures: Mapping[str, tuple[Any, Sequence[Any]]] = {
        "breeder_setup_size": (i64, ()),
        "breeder_info_size": (i64, ()),
        "breeder_new": (pointer, (ctypes.POINTER(Setup),)),
        "breeder_delete": (None, (pointer,)),
        "breeder_slot": (i64, (pointer,)),
        "breeder_is_free": (i64, (pointer, i64)),
        "breeder_put": (None, (pointer, ctypes.c_char_p, i64)),
        "breeder_begin_run": (None, (pointer, ctypes.c_char_p, i64, i64, i64, i64, i64)),
        "breeder_judge_founder": (i64, (pointer,)),
        "breeder_fold": (None, (pointer, ctypes.c_double)),
        "breeder_steps": (i64, (pointer, pointer)),
        "breeder_set_bar": (None, (pointer, ctypes.c_double)),
        "breeder_members": (None, (pointer, pointer)),
        "breeder_admit": (None, (pointer, i64, i64, i64)),
        "breeder_take_place": (i64, (pointer, i64, ctypes.c_double)),
        "breeder_advance": (i64, (pointer, i64)),
        "breeder_write_constant": (i64, (pointer, ctypes.c_int32, pointer)),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    assert loaded.breeder_setup_size() == ctypes.sizeof(Setup), "Setup is not the same on both sides"
    assert loaded.breeder_info_size() == len(INFO), "INFO is not the same on both sides"
    return loaded


@dataclass(frozen=True)
class Shared:
    """Arrays that both sides read and write; see `breeder.c`.

    Attributes:
        fitness: float64 (slots,), the present estimate of each slot.
        status: int64 (slots,), its place in `STATUSES`.
        seeds: int64 (slots,), how many its estimate rests on.
        leads: uint8 (slots,), whether it is among the leaders.
        more: uint8 (slots,), whether it wants another seed when it is bred again.
        info: int64 (len(INFO),).
        folding: float64 (3,), the arguments of the constant expression that is to be folded.
        shown: uint8, the statements of the program of an event.
        shown_hash: uint8 (16,).
        numbers: int64 (len(NUMBERS), rows).
        reals: float64 (2, rows), score and seconds.
        hashes: uint8 (rows, 16).
        ends: int32 (len(TEXTS), rows + 1).
        texts: uint8 (len(TEXTS), bytes).
    """

    fitness: NDArray[np.float64]
    status: NDArray[np.int64]
    seeds: NDArray[np.int64]
    leads: NDArray[np.uint8]
    more: NDArray[np.uint8]
    info: NDArray[np.int64]
    folding: NDArray[np.float64]
    shown: NDArray[np.uint8]
    shown_hash: NDArray[np.uint8]
    numbers: NDArray[np.int64]
    reals: NDArray[np.float64]
    hashes: NDArray[np.uint8]
    ends: NDArray[np.int32]
    texts: NDArray[np.uint8]


class Tables:
    """Everything that C keeps a pointer to; it must live as long as the breeder.

    Args:
        rules: of the search.
        warm_start: its names of variables are known besides those that mutation makes.
        max_attempts: invalid children in a row that are too many.
    """

    def __init__(self, rules: Rules, warm_start: Statements, max_attempts: int) -> None:
        mutation, most = rules.mutation, rules.mutation.max_statements
        used = [name for s in warm_start for name in (s.target, *s.variables)]
        new = [f"t{number}" for number in range(1, most + len(INPUTS) + 3)]
        self.variables = tuple(dict.fromkeys([*INPUTS, "update", *used, *new]))
        self.packing = Packing(self.variables)
        number_of = {name: number for number, name in enumerate(self.variables)}
        slots = 2 * rules.cache + rules.population + rules.lag + 8
        longest = 4 * max(24, *(len(name) for name in self.variables)) + 64
        text_bytes = max(1 << 21, 4 * most * longest)
        self.shared = Shared(
            fitness=np.zeros(slots),
            status=np.zeros(slots, np.int64),
            seeds=np.zeros(slots, np.int64),
            leads=np.zeros(slots, np.uint8),
            more=np.zeros(slots, np.uint8),
            info=np.zeros(len(INFO), np.int64),
            folding=np.zeros(3),
            shown=np.zeros(most * STATEMENT_BYTES, np.uint8),
            shown_hash=np.zeros(16, np.uint8),
            numbers=np.zeros((len(NUMBERS), ROWS), np.int64),
            reals=np.zeros((2, ROWS)),
            hashes=np.zeros((ROWS, 16), np.uint8),
            ends=np.zeros((len(TEXTS), ROWS + 1), np.int32),
            texts=np.zeros((len(TEXTS), text_bytes), np.uint8),
        )
        constants = mutation.constants
        whole = {
            "population": rules.population,
            "tournament": rules.tournament,
            "lag": rules.lag,
            "max_statements": most,
            "cache": rules.cache,
            "slots": slots,
            "rows": ROWS,
            "text_bytes": text_bytes,
            "method_random": rules.method == "random",
            "kinds": len(mutation.weights),
            "constants_only": mutation.constants_only,
            "vocabulary_size": len(mutation.primitives),
            "variables": len(self.variables),
            "new_names": len(new),
            "primitives": len(TABLE),
            "max_attempts": max_attempts,
        }
        real = {
            "share": constants.share,
            "constant_std": constants.std,
            "scale_share": constants.scale_share,
            "scale_std": constants.scale_std,
            "max_magnitude": MAX_MAGNITUDE,
            "total_weight": sum([weight for _, weight in mutation.weights]),
            "scientific_below": SCIENTIFIC_BELOW,
            "scientific_from": SCIENTIFIC_FROM,
        }
        seed = purpose_words(rules.seed, Purpose.BREED)
        if len(seed) > MOST_SEED_WORDS:
            raise ValueError(f"expected a seed below 2**{32 * MOST_SEED_WORDS - 2}, found a larger one")
        self._tables: dict[str, NDArray[Any]] = {
            "kind_of": np.array([KINDS.index(kind) for kind, _ in mutation.weights], np.int64),
            "weights": np.array([weight for _, weight in mutation.weights], np.float64),
            "vocabulary": np.array([OPCODES[name] for name in mutation.primitives], np.int64),
            "seed": np.array(seed, np.uint32),
            "arity": np.array([row.arity for row in TABLE], np.int64),
            "commutative": np.array([row.commutative for row in TABLE], np.int64),
            "types": np.array([_types(row.name) for row in TABLE], np.int8),
            "new_name": np.array([number_of[name] for name in new], np.int64),
        }
        self._names = {
            "primitive_names": _texts([row.name for row in TABLE]),
            "infix": _texts([row.infix or "" for row in TABLE]),
            "variable_names": _texts(self.variables),
        }
        shared = {name: getattr(self.shared, name) for name in _SHARED}
        pointers = {name: array.ctypes.data for name, array in (self._tables | shared).items()}
        self.setup = Setup(**whole, seed_words=len(seed), **real, **self._names, **pointers)


def _types(name: str) -> list[int]:
    """The type of a primitive's result by those of its arguments, read as a number with three digits."""
    row = BY_NAME[name]
    found = [-1] * 27
    for place, types in enumerate(itertools.product(ValueType, repeat=row.arity)):
        result = row.result_type(types)
        found[place] = -1 if isinstance(result, str) else int(result)
    return found


def _texts(texts: Sequence[str]) -> Any:
    return (ctypes.c_char_p * len(texts))(*[text.encode() for text in texts])
