"""A gated recurrent unit over a sequence (Cho et al., 2014).

r, z = sigmoid(x Wx + h Wh + b);  c = tanh(x Cx + r (h Ch) + d);  h <- (1 - z) h + z c
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import lax

from proxy_tasks.layers import dense, dense_init
from proxy_tasks.protocol import Key, Params


def gru_init(key: Key, inputs: int, width: int) -> Params:
    """Weights for inputs of size `inputs` and a state of size `width`."""
    into, state = jax.random.split(key)
    return {
        "into": dense_init(into, inputs, 3 * width),
        "state": dense_init(state, width, 3 * width, bias=False),
    }


def gru(params: Params, x: jax.Array) -> jax.Array:
    """The state after each input: (n, length, inputs) -> (n, length, width)."""
    into = dense(params["into"], x)
    n, _, triple = into.shape

    def step(state: jax.Array, given: jax.Array) -> tuple[jax.Array, jax.Array]:
        recurrent = dense(params["state"], state)
        reset, update, candidate = jnp.split(given, 3, axis=1)
        reset_h, update_h, candidate_h = jnp.split(recurrent, 3, axis=1)
        keep = jax.nn.sigmoid(update + update_h)
        new = jnp.tanh(candidate + jax.nn.sigmoid(reset + reset_h) * candidate_h)
        state = (1 - keep) * state + keep * new
        return state, state

    _, states = lax.scan(step, jnp.zeros((n, triple // 3), into.dtype), into.swapaxes(0, 1))
    return states.swapaxes(0, 1)
