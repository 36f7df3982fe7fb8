"""Language: each network's loss and metric against NumPy, and the masked language model."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import numpy_networks as plain
import pytest

from proxy_tasks import Split, build, masked

SMALL = {"context": 5, "vocabulary": 11, "width": 6, "batch": 4}


pytestmark = pytest.mark.usefixtures("quick_compile")


def char_mlp(weights, tokens):
    x = weights["embedding"][tokens].ravel()
    for i in range(2):
        x = plain.silu(plain.dense(weights[f"hidden{i}"], x))
    return plain.dense(weights["out"], x)[None]


def char_gru(weights, tokens):
    x = weights["embedding"][tokens]
    for i in range(2):
        x = plain.gru(weights[f"gru{i}"], x)
    return plain.dense(weights["head"], x)


def transformer(causal):
    return lambda weights, tokens: plain.transformer(weights, tokens, 2, causal)


NETWORKS = {
    "char_mlp": ({"embedding": 3, "depth": 2}, char_mlp),
    "char_gru": ({"depth": 2}, char_gru),
    "char_transformer": ({}, transformer(True)),
}


@cache
def small(name, **knobs):
    task = build(name, **SMALL, **NETWORKS.get(name, ({},))[0], **knobs)
    data = task.data().splits[Split.TRAIN]
    return task, data, plain.random_weights(lambda key: task.init(key, data))


def cut(codes, starts, length):
    return np.stack([codes[start : start + length] for start in starts]).astype(int)


def nats_of(network, weights, windows):
    """(n, predicted) nats of the last tokens of each window."""
    logits = [network(weights, window[:-1]) for window in windows]
    return np.array([plain.nats(z, w[-len(z) :]) for z, w in zip(logits, windows, strict=True)])


@pytest.mark.parametrize("name", NETWORKS)
def test_loss_and_metric_are_nats_of_the_next_tokens(name):
    task, data, weights = small(name)
    network = NETWORKS[name][1]
    starts = np.array([0, 7, 100, len(data["codes"]) - 6], np.int32)  # the last window there is
    expected = nats_of(network, weights, cut(data["codes"], starts, 6))
    assert expected.shape == (4, 1 if name == "char_mlp" else 5)
    loss, metric = jax.jit(lambda w, d: (task.loss(w, d, {"start": starts}), task.evaluate(w, d)))(
        weights, {**data, "starts": starts}
    )
    assert float(loss) == pytest.approx(expected.mean(), rel=1e-4)
    assert float(metric) == pytest.approx(expected.mean(), rel=1e-4)


def test_smoothing_adds_the_nats_of_all_tokens():
    task, data, weights = small("char_mlp", smoothing=0.3)
    windows = cut(data["codes"], range(4), 6)
    logs = np.array([plain.log_softmax(char_mlp(weights, window[:-1]))[0] for window in windows])
    expected = -(0.7 * logs[np.arange(4), windows[:, -1]] + 0.3 * logs.mean(1)).mean()
    loss = jax.jit(task.loss)(weights, data, {"start": np.arange(4, dtype=np.int32)})
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_drawn_windows_reach_both_ends_of_the_block_and_no_further():
    task = build("char_mlp", context=5, batch=500)
    codes = np.zeros(10, np.uint8)
    drawn = jax.jit(task.draw, static_argnums=2)(jax.random.key(0), {"codes": codes}, 2)
    assert set(drawn) == {"start"}
    assert sorted(set(np.asarray(drawn["start"]).ravel().tolist())) == [0, 1, 2, 3, 4]


# The masked language model


def test_the_masked_metric_is_nats_of_the_chosen_tokens():
    task, data, weights = small("char_masked", masked=0.4)
    few = {**data, **{name: data[name][:6] for name in ("starts", "fate", "other")}}
    tokens = cut(data["codes"], few["starts"], 5)
    chosen = few["fate"][..., 0] < 0.4
    shown = np.where(chosen & (few["fate"][..., 1] < 0.8), 11, tokens)
    shown = np.where(chosen & (few["fate"][..., 1] >= 0.8) & (few["fate"][..., 1] < 0.9), few["other"], shown)
    assert 5 < chosen.sum() < 25
    assert (shown == 11).any()
    total = sum(
        plain.nats(plain.transformer(weights, s, 2, False), t)[c].sum()
        for s, t, c in zip(shown, tokens, chosen, strict=True)
    )
    assert float(jax.jit(task.evaluate)(weights, few)) == pytest.approx(total / chosen.sum(), rel=1e-4)


def test_evaluation_hides_its_share_the_same_in_each_build():
    arrays = [build("char_masked").data().splits[Split.REPORT] for _ in range(2)]
    assert all((arrays[0][name] == arrays[1][name]).all() for name in ("starts", "fate", "other"))
    fate, other = arrays[0]["fate"], arrays[0]["other"]
    assert fate.shape == (8192 // 3, 16, 2)
    assert (fate[..., 0] < 0.2).mean() == pytest.approx(0.2, abs=0.005)
    assert ((fate >= 0) & (fate < 1)).all()
    assert sorted(np.unique(other)) == list(range(96))


def test_masking_in_training_has_its_shares_and_only_chosen_tokens_count(monkeypatch):
    seen = []

    def stub(knobs, causal, params, tokens, key):
        assert not causal
        assert key is None
        seen.append(tokens)
        return params

    monkeypatch.setattr(masked, "transformer", stub)
    task = build("char_masked", batch=2000)
    data = task.data().splits[Split.TRAIN]
    starts = np.arange(0, 60_000, 30, dtype=np.int32)
    tokens = cut(data["codes"], starts, 16)
    logits = jnp.asarray(np.random.RandomState(0).standard_normal((2000, 16, 96)), jnp.float32)

    @jax.jit
    def losses(logits, data, batch):
        loss, gradient = jax.value_and_grad(task.loss)(logits, data, batch)
        return loss, seen.pop(), jnp.any(gradient != 0, axis=2)

    def run(seed):
        return [np.asarray(x) for x in losses(logits, data, {"start": starts, "key": jax.random.key(seed)})]

    loss, shown, chosen = run(0)
    assert chosen.mean() == pytest.approx(0.2, abs=0.01)
    assert (shown[~chosen] == tokens[~chosen]).all()
    hidden, same = shown[chosen] == 96, shown[chosen] == tokens[chosen]
    assert hidden.mean() == pytest.approx(0.8, abs=0.02)
    assert same.mean() == pytest.approx(0.1, abs=0.02)
    others = shown[chosen][~hidden & ~same]
    assert len(others) / chosen.sum() == pytest.approx(0.1, abs=0.02)
    assert len(np.unique(others)) > 90
    nats = plain.nats(np.asarray(logits)[chosen], tokens[chosen])
    assert loss == pytest.approx(nats.mean(), rel=1e-4)
    again, other = run(0), run(1)
    assert again[0] == loss
    assert (again[1] == shown).all()
    assert (other[2] != chosen).mean() == pytest.approx(2 * 0.2 * 0.8, abs=0.02)


def test_a_batch_without_a_chosen_token_has_loss_zero(monkeypatch):
    monkeypatch.setattr(masked, "transformer", lambda knobs, causal, params, tokens, key: params)
    task, data, _ = small("char_masked", masked=0.01)
    loss, logits, start = jax.jit(task.loss), np.zeros((4, 5, 11), np.float32), np.arange(4, dtype=np.int32)
    losses = {
        round(float(loss(logits, data, {"start": start, "key": jax.random.key(seed)})), 4)
        for seed in range(20)
    }
    assert losses == {0, round(np.log(11), 4)}  # of no token, or of any


# Text of one's own


@pytest.mark.parametrize("tokens", ["character", "byte", "bpe"])
def test_a_text_of_ones_own(tokens, tmp_path):
    path = tmp_path / "text.txt"
    words = ["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog", "größer", "still"]
    text = " ".join(np.random.RandomState(0).choice(words, 4000))
    path.write_text("\ufeff" + text, "utf-8")
    knobs = {"tokens": tokens, "vocabulary": {"character": 20, "byte": 256, "bpe": 320}[tokens]}
    task = build("char_transformer", path=str(path), context=6, width=4, heads=1, **knobs)
    data = task.data()
    train = data.splits[Split.TRAIN]
    counts = {split: len(numbers) for split, numbers in data.identity.items()}
    assert train["codes"].dtype == (np.uint16 if tokens == "bpe" else np.uint8)
    total = {"character": len(text), "byte": len(text.encode())}.get(tokens)
    if total:
        assert abs(sum(counts.values()) - total) == 0
        assert counts[Split.TRAIN] == pytest.approx(0.8 * total, rel=0.01)
    else:
        assert sum(counts.values()) < 0.5 * len(text)
    assert task.chance == pytest.approx(np.log(knobs["vocabulary"]))
    weights = plain.random_weights(lambda key: task.init(key, train))
    assert weights["embedding"].shape == (knobs["vocabulary"], 4)
    starts = np.array([3, 50], np.int32)
    expected = nats_of(
        lambda w, t: plain.transformer(w, t, 1, True), weights, cut(train["codes"], starts, 7)
    ).mean()
    assert float(jax.jit(task.loss)(weights, train, {"start": starts})) == pytest.approx(expected, rel=1e-4)


def test_only_so_many_characters_are_read(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("ab" * 5000, "utf-8")
    data = build("char_mlp", path=str(path), examples=3000).data()
    assert sum(len(numbers) for numbers in data.identity.values()) == 3000
