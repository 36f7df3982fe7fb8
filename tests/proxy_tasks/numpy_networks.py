"""The networks of the tasks in plain NumPy, float64, written from their equations, to test the tasks against.

One image, one sequence, one head, one step at a time, so that nothing of how the tasks batch is repeated.
"""

import jax
import numpy as np
from scipy.signal import correlate2d
from scipy.special import erf

RNG_SCALE = 0.5


def random_weights(init, seed=0):
    """Weights of the shapes that `init` of a key would have, all leaves normal, gains and biases too."""
    rng = np.random.RandomState(seed)
    shapes = jax.eval_shape(init, jax.random.key(0))
    return jax.tree.map(lambda s: (RNG_SCALE * rng.standard_normal(s.shape)).astype(np.float32), shapes)


def log_softmax(z):
    z = np.asarray(z, np.float64)
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def nats(logits, labels):
    """-log softmax of the right label: (n, c), (n,) -> (n,)."""
    return -log_softmax(logits)[np.arange(len(labels)), labels]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def relu(x):
    return np.maximum(x, 0)


def gelu(x):
    """The usual approximation with tanh; within 0.0005 of x times the normal distribution function."""
    out = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    assert np.abs(out - 0.5 * x * (1 + erf(x / np.sqrt(2)))).max() < 5e-4
    return out


def dense(layer, x):
    return np.asarray(x, np.float64) @ layer["w"] + layer.get("b", 0)


def rms_norm(gain, x):
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * gain


def attention(layer, x, heads, causal):
    """(length, width) -> the same; each head and each query by itself."""
    length, width = x.shape
    query, key, value = np.split(dense(layer["qkv"], x), 3, axis=1)
    mixed = np.zeros((length, width))
    for head in np.split(np.arange(width), heads):
        for place in range(length):
            seen = place + 1 if causal else length
            scores = key[:seen, head] @ query[place, head] / np.sqrt(len(head))
            mixed[place, head] = np.exp(log_softmax(scores)) @ value[:seen, head]
    return dense(layer["out"], mixed)


def blocks(params, x, heads, causal=False):
    for i in range(len(params)):
        block = params[f"block{i}"]
        x = x + attention(block, rms_norm(block["norm1"], x), heads, causal)
        x = x + dense(block["down"], gelu(dense(block["up"], rms_norm(block["norm2"], x))))
    return x


def transformer(params, tokens, heads, causal):
    """Logits at each place of one sequence."""
    x = blocks(params["body"], params["embedding"][tokens] + params["positions"], heads, causal)
    return dense(params["head"], rms_norm(params["norm"], x))


def gru(params, x):
    """The state after each input: (length, inputs) -> (length, width)."""
    w, u, b = params["into"]["w"], params["state"]["w"], params["into"]["b"]
    size = len(u)
    r, z, c = (slice(i * size, (i + 1) * size) for i in range(3))
    h, states = np.zeros(size), []
    for given in x:
        reset = sigmoid(given @ w[:, r] + b[r] + h @ u[:, r])
        update = sigmoid(given @ w[:, z] + b[z] + h @ u[:, z])
        candidate = np.tanh(given @ w[:, c] + b[c] + reset * (h @ u[:, c]))
        h = (1 - update) * h + update * candidate
        states.append(h)
    return np.array(states)


def patches(image, patch):
    height, breadth, _ = image.shape
    return np.array(
        [
            image[i : i + patch, j : j + patch].ravel()
            for i in range(0, height, patch)
            for j in range(0, breadth, patch)
        ]
    )


def conv(layer, image, stride=1):
    """(h, w, inputs) -> (h / stride, w / stride, outputs), SciPy's correlation for each pair of channels."""
    w = np.asarray(layer["w"], np.float64)
    out = [
        sum(correlate2d(image[..., i], w[..., i, o], mode="same") for i in range(w.shape[2]))
        for o in range(w.shape[3])
    ]
    return np.stack(out, -1)[::stride, ::stride]


def group_norm(layer, image, groups=2):
    parts = [
        (part - part.mean()) / np.sqrt(part.var() + 1e-5)
        for part in np.split(np.asarray(image, np.float64), groups, -1)
    ]
    return np.concatenate(parts, -1) * layer["gain"] + layer["offset"]


def residual(block, image, stride=1):
    active = relu(group_norm(block["norm1"], image))
    shortcut = conv(block["shortcut"], active, stride) if "shortcut" in block else image
    hidden = relu(group_norm(block["norm2"], conv(block["conv1"], active, stride)))
    return shortcut + conv(block["conv2"], hidden)


def mlp(params, image):
    x = image.ravel()
    for i in range(len(params) - 1):
        x = relu(dense(params[f"hidden{i}"], x))
    return dense(params["out"], x)


def vit(params, image, patch, heads):
    tokens = dense(params["embed"], patches(image, patch)) + params["positions"]
    return dense(params["head"], blocks(params["body"], tokens, heads).mean(0))


def mixer(params, image, patch):
    def feed(layer, x):
        return dense(layer["down"], gelu(dense(layer["up"], x)))

    x = dense(params["embed"], patches(image, patch))
    for i in range(sum(name.startswith("block") for name in params)):
        across, along = params[f"block{i}"]["tokens"], params[f"block{i}"]["channels"]
        x = x + feed(across, rms_norm(across["norm"], x).T).T
        x = x + feed(along, rms_norm(along["norm"], x))
    return dense(params["head"], rms_norm(params["norm"], x).mean(0))


def resnet(params, image):
    x = conv(params["stem"], image)
    for i in range(sum(name.startswith("block") for name in params)):
        x = residual(params[f"block{i}"], x, 2 if i == 1 else 1)
    return dense(params["head"], relu(group_norm(params["norm"], x)).mean((0, 1)))


def hybrid(params, image, heads):
    x = residual(params["block"], conv(params["stem"], image, 2))
    x = conv(params["down"], relu(group_norm(params["norm0"], x)), 2)
    tokens = blocks(params["body"], x.reshape(-1, x.shape[-1]) + params["positions"], heads)
    return dense(params["head"], rms_norm(params["norm"], tokens).mean(0))


def unet(params, image, time):
    angles = time * np.pi / 2 * 2.0 ** np.arange(8)
    waves = np.concatenate([np.sin(angles), np.cos(angles)])
    top = conv(params["stem"], image) + dense(params["time1"], waves)
    bottom = conv(params["down"], relu(top), 2) + dense(params["time2"], waves)
    for i in range(sum(name.startswith("middle") for name in params)):
        bottom = residual(params[f"middle{i}"], bottom)
    risen = np.kron(conv(params["up"], bottom), np.ones((2, 2, 1)))
    merged = conv(params["merge"], np.concatenate([top, risen], -1))
    return conv(params["out"], relu(group_norm(params["norm"], merged)))
