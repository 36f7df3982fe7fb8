"""The helper functions that exported source brings along, each only where it is used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

_JAX_FLOAT = '''
def _float(tree: Any) -> Any:
    """The tree in float32, or in float64 where it is already: what the arithmetic is done in."""
    return jax.tree.map(lambda x: jnp.asarray(x, _dtype(x)), tree)
'''

_JAX_DTYPE = '''
def _dtype(x: Any) -> Any:
    """The dtype of `x`, but float32 at least."""
    return jnp.promote_types(jnp.result_type(x), jnp.float32)
'''

_JAX_LIKE = '''
def _like(tree: Any, example: Any) -> Any:
    """The tree with the dtypes of `example`."""
    return jax.tree.map(lambda x, y: jnp.asarray(x, jnp.result_type(y)), tree, example)
'''

_JAX_ZEROS = '''
def _zeros(tree: Any, dtype: Any) -> Any:
    """Zeros like the tree; without a dtype, float32 at least."""
    return jax.tree.map(lambda x: jnp.zeros_like(x, dtype=dtype or _dtype(x)), tree)
'''

_JAX_DOT = '''
def _dot(x: Any, y: Any) -> jax.Array:
    """The inner product of two whole trees."""
    products = jax.tree.map(lambda x, y: jnp.sum(x * y), x, y)
    return sum(jax.tree.leaves(products), start=jnp.zeros([]))
'''

_JAX_GLOBAL_NORM = '''
def _global_norm(x: Any) -> jax.Array:
    """The Euclidean norm of a whole tree."""
    return jnp.sqrt(_dot(x, x))
'''

_COSINE_SIM = '''
def _cosine_sim(x: {tree}, y: {tree}) -> {array}:
    """The cosine of the angle between two whole trees; 0 if one is zero."""
    return _dot(x, y) / (_global_norm(x) * _global_norm(y) + EPS)
'''

_JAX_CLIP = '''
def _clip(x: jax.Array, norm: Any, bound: Any) -> jax.Array:
    """An array of a tree of this norm, scaled so that the norm becomes at most `bound`."""
    bound = jnp.maximum(bound, 0)
    return x * jnp.where(norm <= bound, 1, bound / norm)
'''

_JAX_LOG1P = '''
def _log1p(x: Any) -> jax.Array:
    """The logarithm of |1 + x|, accurate near x = 0 and x = -2."""
    return jnp.log1p(jnp.maximum(x, -2 - x))
'''

_JAX_SETTLED = '''
def _settled(x: Any) -> jax.Array:
    """Denormal numbers as zeros: XLA's root and power of them are wrong on a CPU."""
    return jnp.where(jnp.abs(x) < jnp.finfo(jnp.float32).tiny, x * 0, x)
'''

_JAX_CBRT = '''
def _cbrt(x: Any) -> jax.Array:
    """The real cube root, negative for negative x."""
    return jnp.cbrt(_settled(x))
'''

_JAX_POWER = '''
def _power(x: Any, y: Any) -> jax.Array:
    """The power x ** y; NaN for negative x and fractional y."""
    return jnp.power(_settled(x), y)
'''

_TORCH_FLOAT = '''
def _float(x: Tensor) -> Tensor:
    """The tensor in float32, or in float64 if it is already: what the arithmetic is done in."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
'''

_TORCH_DOT = '''
def _dot(x: list[Tensor], y: list[Tensor]) -> Tensor:
    """The inner product over all tensors."""
    return sum((torch.sum(a * b) for a, b in zip(x, y, strict=True)), start=torch.zeros(()))
'''

_TORCH_GLOBAL_NORM = '''
def _global_norm(x: list[Tensor]) -> Tensor:
    """The Euclidean norm over all tensors."""
    return torch.sqrt(_dot(x, x))
'''

_TORCH_CLIP = '''
def _clip(x: Tensor, norm: Tensor, bound: float | Tensor) -> Tensor:
    """One of several tensors of this norm, scaled so that the norm becomes at most `bound`."""
    bound = torch.clamp(torch.as_tensor(bound, dtype=norm.dtype, device=norm.device), min=0)
    return x * torch.where(norm <= bound, 1, bound / norm)
'''

_TORCH_LOG1P = '''
def _log1p(x: Tensor) -> Tensor:
    """The logarithm of |1 + x|, accurate near x = 0 and x = -2."""
    return torch.log1p(torch.maximum(x, -2 - x))
'''

_TORCH_CBRT = '''
def _cbrt(x: Tensor) -> Tensor:
    """The real cube root, negative for negative x."""
    return torch.copysign(torch.pow(torch.abs(x), 1 / 3), x)
'''

JAX_HELPERS: Mapping[str, str] = MappingProxyType(
    {
        "_float": _JAX_FLOAT,
        "_like": _JAX_LIKE,
        "_zeros": _JAX_ZEROS,
        "_dtype": _JAX_DTYPE,
        "_clip": _JAX_CLIP,
        "_cosine_sim": _COSINE_SIM.format(tree="Any", array="jax.Array"),
        "_global_norm": _JAX_GLOBAL_NORM,
        "_dot": _JAX_DOT,
        "_log1p": _JAX_LOG1P,
        "_cbrt": _JAX_CBRT,
        "_power": _JAX_POWER,
        "_settled": _JAX_SETTLED,
    }
)
"""Helpers in JAX, each before those that it uses."""

TORCH_HELPERS: Mapping[str, str] = MappingProxyType(
    {
        "_float": _TORCH_FLOAT,
        "_clip": _TORCH_CLIP,
        "_cosine_sim": _COSINE_SIM.format(tree="list[Tensor]", array="Tensor"),
        "_global_norm": _TORCH_GLOBAL_NORM,
        "_dot": _TORCH_DOT,
        "_log1p": _TORCH_LOG1P,
        "_cbrt": _TORCH_CBRT,
    }
)
"""Helpers in PyTorch, each before those that it uses."""


def with_helpers(source: str, helpers: Mapping[str, str]) -> str:
    """Source with the helper functions that it uses after it.

    Args:
        source: text that calls some of the helpers.
        helpers: a table whose rows come before those that they use.
    """
    for name, text in helpers.items():
        if re.search(rf"(?<![\w.]){name}\(", source):
            source = f"{source.rstrip()}\n\n{text}"
    return f"{source.rstrip()}\n"


def needs_epsilon(source: str) -> bool:
    """Whether the source names the program's small number."""
    return re.search(r"\bEPS\b", source) is not None
