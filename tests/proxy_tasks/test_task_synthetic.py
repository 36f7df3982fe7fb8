"""Synthetic tasks against what is known of them: closed forms, a teacher, a network made by hand."""

import jax
import numpy as np
import numpy_networks as plain
import pytest

from evosearch.evaluation import Evaluator, Job, Plan, Schedule, TaskPlan
from evosearch.language import builtin
from proxy_tasks import Split, build
from proxy_tasks.data.images import SHUFFLE_SEED

# quadratic


@pytest.mark.parametrize("rotated", [True, False])
def test_gradient_descent_follows_the_closed_form(rotated):
    knobs = {"steps": 15, "width": 6, "condition": 20.0, "noise": 0.0, "points": 100, "rotated": rotated}
    schedule = Schedule("linear", 0.2)
    plan = Plan((TaskPlan("quadratic", tuple(knobs.items()), schedule),), factors=(1.0, 6.0), way="compiled")
    outcome = Evaluator(plan).evaluate(Job(0, builtin("sgd").statements, ((0, 3),)))
    task = build("quadratic", **knobs)
    data = task.data().splits[Split.SEARCH]
    hessian, answer = data["hessian"].astype(float), data["mean"].astype(float)
    assert np.linalg.eigvalsh(hessian)[[0, -1]] == pytest.approx([1 / 20, 1])
    assert bool(np.abs(hessian - np.diag(np.diag(hessian))).max() > 0.01) is rotated
    for place, seed in enumerate((0, 3)):
        key = jax.random.fold_in(jax.random.key(list(Split).index(Split.SEARCH)), seed)
        start = np.asarray(task.init(jax.random.split(key)[0], data)["w"], float)
        for factor, metric in zip(plan.factors, outcome.metrics[0][place], strict=True):
            away = start - answer
            for lr in schedule.values(15):
                away = (np.eye(6) - factor * 0.1 * lr * hessian) @ away
            assert metric == pytest.approx(0.5 * away @ hessian @ away / data["start"][0], rel=1e-4)


def test_the_quadratics_loss_and_metric_are_what_they_say():
    task = build("quadratic", width=5, points=200)
    splits = task.data().splits
    w = np.random.RandomState(0).standard_normal(5).astype(np.float32)
    index = np.array([0, 7, 7], np.int32)
    hessian = splits[Split.TRAIN]["hessian"].astype(float)

    def losses(w, points):
        return 0.5 * np.einsum("ni,ij,nj->n", w - points, hessian, w - points)

    loss = task.loss({"w": w}, splits[Split.TRAIN], {"index": index})
    assert float(loss) == pytest.approx(losses(w, splits[Split.TRAIN]["points"][index]).mean(), rel=1e-5)
    for data in splits.values():
        least = losses(data["points"].mean(0), data["points"]).mean()
        expected = (losses(w, data["points"]).mean() - least) / data["start"][0]
        assert float(task.evaluate({"w": w}, data)) == pytest.approx(expected, rel=1e-3)
        assert float(task.evaluate({"w": data["mean"]}, data)) == 0


def test_the_quadratic_starts_at_its_chance():
    task = build("quadratic")
    data = task.data().splits[Split.SEARCH]
    start = jax.jit(jax.vmap(lambda key: task.init(key, data)["w"]))
    metrics = jax.vmap(lambda w: task.evaluate({"w": w}, data))(
        start(jax.random.split(jax.random.key(0), 50))
    )
    assert float(metrics.mean()) == pytest.approx(task.chance, rel=0.05)


# teacher_student


def teacher(inputs, hidden, points):
    """The documented teacher: inputs, its weights W and a, and the mean and deviation of its answers."""
    rng = np.random.RandomState(SHUFFLE_SEED)
    x = rng.standard_normal((points, inputs))
    w = rng.standard_normal((inputs, hidden)) / np.sqrt(inputs)
    a = rng.standard_normal(hidden)
    answers = np.tanh(2 * x @ w) @ a
    return w, a, answers.mean(), answers.std()


def test_the_teacher_itself_has_metric_zero_and_noise_is_in_training_only():
    task = build("teacher_student", inputs=5, teacher=4, width=4, depth=1, points=3000, noise=0.3)
    w, a, mean, deviation = teacher(5, 4, 3000)
    weights = {
        "hidden0": {"w": 2 * w, "b": np.zeros(4)},
        "out": {"w": (a / deviation)[:, None], "b": np.array([-mean / deviation])},
    }
    weights = jax.tree.map(np.float32, weights)
    data = task.data()
    others = [data.splits[split] for split in Split if split is not Split.TRAIN]
    without = jax.tree.map(lambda *arrays: np.concatenate(arrays), *others)
    assert float(task.evaluate(weights, without)) < 1e-10
    assert float(task.evaluate(weights, data.splits[Split.TRAIN])) == pytest.approx(0.09, rel=0.1)
    answers = without["answers"]
    assert (answers.mean(), answers.std()) == pytest.approx((0, 1), abs=0.1)


def test_the_student_is_what_its_equation_says():
    task = build("teacher_student", width=6, depth=2)
    data = task.data().splits[Split.TRAIN]
    weights = plain.random_weights(lambda key: task.init(key, data))
    x = data["inputs"][:9].astype(float)
    for i in range(2):
        x = np.tanh(plain.dense(weights[f"hidden{i}"], x))
    expected = ((plain.dense(weights["out"], x)[:, 0] - data["answers"][:9]) ** 2).mean()
    loss = task.loss(weights, data, {"index": np.arange(9, dtype=np.int32)})
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    first = {name: array[:9] for name, array in data.items()}
    assert float(task.evaluate(weights, first)) == pytest.approx(expected, rel=1e-5)


# modular_addition


def test_modular_addition_is_what_its_equation_says():
    task = build("modular_addition", modulus=11, embedding=3, width=4)
    data = task.data().splits[Split.SEARCH]
    weights = plain.random_weights(lambda key: task.init(key, data))
    a, b = data["pairs"].T
    summed = weights["first"][a] + weights["second"][b]
    logits = plain.dense(weights["out"], plain.dense(weights["hidden"], summed) ** 2)
    nats = plain.nats(logits, (a + b) % 11)
    wrong = logits.argmax(1) != (a + b) % 11
    metric = float(task.evaluate(weights, data))
    assert metric == pytest.approx(wrong.mean() + 0.02 * nats.mean(), rel=1e-5)
    loss = float(task.loss(weights, data, {"index": np.array([0, 3, 3], np.int32)}))
    assert loss == pytest.approx(nats[[0, 3, 3]].mean(), rel=1e-5)


def test_a_network_made_by_hand_adds_without_a_mistake():
    n = 13
    task = build("modular_addition", modulus=n, embedding=n - 1, width=2 * (n - 1))
    waves = 2 * np.pi * np.arange(1, (n + 1) // 2) / n
    numbers = np.arange(n)
    table = np.concatenate([np.cos(np.outer(numbers, waves)), np.sin(np.outer(numbers, waves))], axis=1)
    # Hidden units are cos(wave a + phase) + cos(wave b + phase). In their squares is
    # cos(wave (a + b) + 2 phase), which the last layer reads; what else it sees is half as large.
    hidden, out = [], []
    for i, wave in enumerate(waves):
        mine = np.eye(len(waves))[i]
        for phase in np.arange(4) * np.pi / 4:
            hidden.append(np.concatenate([np.cos(phase) * mine, -np.sin(phase) * mine]))
            out.append(10 * np.cos(wave * numbers + 2 * phase))
    weights = {
        "first": table,
        "second": table,
        "hidden": {"w": np.array(hidden).T, "b": np.zeros(2 * (n - 1))},
        "out": {"w": np.array(out), "b": np.zeros(n)},
    }
    weights = jax.tree.map(np.float32, weights)
    pairs = np.concatenate([data["pairs"] for data in task.data().splits.values()])
    assert len(pairs) == n * n
    assert float(task.evaluate(weights, {"pairs": pairs})) < 1e-4


def test_every_pair_is_in_one_split():
    data = build("modular_addition", modulus=11).data()
    pairs = [tuple(pair) for split in Split for pair in data.splits[split]["pairs"].tolist()]
    assert sorted(pairs) == [(a, b) for a in range(11) for b in range(11)]
    assert [len(data.splits[split]["pairs"]) for split in Split] == [97, 8, 7, 9]
