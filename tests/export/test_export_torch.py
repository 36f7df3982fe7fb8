"""Exported PyTorch optimizers: equal to PyTorch's AdamW and optax's Lion, and at home in training scripts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from export_runs import load

from evosearch.export import export
from evosearch.export.names import class_name
from evosearch.language import builtin, parse

torch = pytest.importorskip("torch", reason="PyTorch is not installed; scripts/setup dev says how to get it")

pytestmark = pytest.mark.usefixtures("quick_compile")

STEPS = 1000
SHAPES = ((3, 4), (5,), (), (2, 1, 2))
NAMES = ("lion", "adamw", "program8", "sgd", "nesterov")

TANH_OF_LR = """\
def train(w, g, m, v, lr):
    bent = tanh(lr)
    update = g * bent
    return update, m, v
"""


@pytest.fixture(scope="module")
def optimizer(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """The exported class of a shipped program, or of a text."""
    folder = tmp_path_factory.mktemp("exported")

    @cache
    def make(name: str, text: str | None = None) -> Any:
        program = builtin(name) if text is None else parse(text)
        source = export(program.statements, "torch", origin=name)
        return getattr(load(source, folder, name), class_name(name))

    return make


def numbers(seed: int) -> list[np.ndarray[Any, Any]]:
    rng = np.random.default_rng(seed)
    return [np.asarray(rng.standard_normal(shape), np.float32) for shape in SHAPES]


def parameters(dtype: Any = None) -> list[Any]:
    return [torch.nn.Parameter(torch.tensor(x).to(dtype or torch.float32)) for x in numbers(0)]


def give_gradients(params: list[Any], seed: int) -> None:
    """A pull to zero and much noise."""
    for p, noise in zip(params, numbers(seed), strict=True):
        p.grad = 0.1 * p.detach() + torch.tensor(noise).to(p.dtype)


def trained(make: Callable[[list[Any]], Any], steps: int = 20) -> list[Any]:
    params = parameters()
    optimizer = make(params)
    for step in range(steps):
        give_gradients(params, step + 1)
        optimizer.step()
    return params


def assert_close(ours: list[Any], theirs: list[Any], rtol: float = 1e-5) -> None:
    for a, b in zip(ours, theirs, strict=True):
        largest = float(b.detach().abs().max())
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=0, atol=rtol * largest)


# ---------------------------------------------------------------- known optimizers, a thousand steps


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-5), ("float64", 1e-10)])
def test_a_thousand_steps_equal_those_of_pytorchs_adamw(
    optimizer: Any, dtype: str, rtol: float, foreach: bool
) -> None:
    """PyTorch's runs in float64: its factor 1 - lr * decay, rounded to float32, alone makes 1e-5 a run."""
    ours, theirs = parameters(getattr(torch, dtype)), parameters(torch.float64)
    ours_optimizer = optimizer("adamw")(ours, foreach=foreach)
    adamw = torch.optim.AdamW(theirs, betas=(0.9, 0.999))
    group = adamw.param_groups[0]
    for step in range(1, STEPS + 1):
        # The program has no bias correction: rate, epsilon, and the decay that the rate scales, undo it.
        undo1, undo2 = 1 - 0.9**step, (1 - 0.999**step) ** 0.5
        undo = undo1 / undo2
        group.update(lr=1e-3 * undo, eps=1e-8 / undo2, weight_decay=0.01 / undo)
        for params, each in ((ours, ours_optimizer), (theirs, adamw)):
            give_gradients(params, step)
            each.step()
        if step % 100 == 0:
            assert_close(ours, theirs, rtol)
    assert_moved(ours)


def assert_moved(params: list[Any]) -> None:
    for p, start in zip(params, parameters(), strict=True):
        assert float((p - start).detach().abs().max()) > 1e-3


@pytest.mark.parametrize("foreach", [False, True])
def test_a_thousand_steps_equal_those_of_optaxs_lion(optimizer: Any, foreach: bool) -> None:
    """PyTorch has no Lion of its own."""
    params = parameters()
    ours = optimizer("lion")(params, foreach=foreach)
    lion = optax.lion(1e-4, b1=0.9, b2=0.99, weight_decay=0.1)
    w = [jnp.asarray(x) for x in numbers(0)]
    state = lion.init(w)
    update = jax.jit(lion.update)
    for step in range(1, STEPS + 1):
        g = numbers(step)
        for p, gradient in zip(params, g, strict=True):
            p.grad = torch.tensor(gradient)
        ours.step()
        updates, state = update(g, state, w)
        w = optax.apply_updates(w, updates)
    assert_close(params, [torch.tensor(np.asarray(x)) for x in w])
    assert_moved(params)


# ---------------------------------------------------------------- groups, state, closures


@pytest.mark.parametrize("foreach", [False, True])
def test_groups_have_hyperparameters_of_their_own(optimizer: Any, foreach: bool) -> None:
    lion = optimizer("lion")
    decayed = trained(lambda p: lion(p, foreach=foreach))
    plain = trained(lambda p: lion(p, weight_decay=0.0, foreach=foreach))
    fast = trained(lambda p: lion(p, lr=0.01, foreach=foreach))
    mixed = trained(
        lambda p: lion(
            [{"params": p[:1]}, {"params": p[1:3], "weight_decay": 0.0}, {"params": p[3:], "lr": 0.01}],
            foreach=foreach,
        )
    )
    assert_close(mixed, [decayed[0], *plain[1:3], fast[3]], rtol=0)
    assert not torch.equal(decayed[1], plain[1])


def test_norms_of_the_whole_tree_run_over_all_groups(optimizer: Any) -> None:
    program8 = optimizer("program8")
    together = trained(program8)
    grouped = trained(lambda p: program8([{"params": p[:2]}, {"params": p[2:]}]))
    assert_close(grouped, together, rtol=0)
    apart = trained(lambda p: _Both(program8(p[:2]), program8(p[2:])))
    assert not torch.equal(apart[0], together[0])


class _Both:
    """Two optimizers as one."""

    def __init__(self, *optimizers: Any) -> None:
        self.optimizers = optimizers

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()


@pytest.mark.parametrize("name", NAMES)
def test_training_goes_on_from_a_saved_state(optimizer: Any, name: str, tmp_path: Any) -> None:
    params = parameters()
    first = optimizer(name)(params)
    for step in range(5):
        give_gradients(params, step)
        first.step()
    torch.save({"state": first.state_dict(), "params": params}, tmp_path / "saved.pt")
    saved = torch.load(tmp_path / "saved.pt", weights_only=True)
    copied = [torch.nn.Parameter(p.detach().clone()) for p in saved["params"]]
    second = optimizer(name)(copied, maximize=True)  # what was saved counts, not what is given here
    second.load_state_dict(saved["state"])
    for each, its in ((first, params), (second, copied)):
        for step in range(5, 10):
            give_gradients(its, step)
            each.step()
    assert_close(copied, params, rtol=0)
    assert copy.deepcopy(second).state_dict()["param_groups"] == first.state_dict()["param_groups"]


def test_only_the_state_that_is_needed_and_not_before_it_is(optimizer: Any) -> None:
    kept = {"lion": {"m"}, "adamw": {"m", "v"}, "program8": {"v"}, "sgd": set()}
    for name, slots in kept.items():
        params = parameters()
        made = optimizer(name)(params)
        assert not made.state
        params[0].grad = torch.ones_like(params[0])
        made.step()
        assert {key for state in made.state.values() for key in state} == slots
        assert set(made.state) <= {params[0]}
        assert torch.equal(params[1], parameters()[1])  # no gradient, no step


@pytest.mark.parametrize("name", ["lion", "program8"])
def test_a_closure_is_called_with_gradients_on(optimizer: Any, name: str) -> None:
    params = parameters()
    made = optimizer(name)(params)

    def closure() -> Any:
        made.zero_grad()
        loss = sum((p**2).sum() for p in params)
        loss.backward()
        return loss

    losses = [float(made.step(closure).detach()) for _ in range(3)]
    assert losses == sorted(losses, reverse=True)
    assert losses[0] > losses[-1]
    assert made.step() is None


@pytest.mark.parametrize("name", ["lion", "program8"])
def test_maximize_goes_the_other_way(optimizer: Any, name: str) -> None:
    ours = optimizer(name)
    params, mirrored = parameters(), parameters()
    up, down = ours(params, maximize=True, weight_decay=0.0), ours(mirrored, weight_decay=0.0)
    for step in range(3):
        for p, q, g in zip(params, mirrored, numbers(step + 1), strict=True):
            p.grad, q.grad = torch.tensor(-g), torch.tensor(g)
        up.step()
        down.step()
    assert_close(params, mirrored, rtol=0)


@pytest.mark.parametrize("name", NAMES)
def test_schedulers_act_on_it(optimizer: Any, name: str) -> None:
    params = parameters()
    made = optimizer(name)(params)
    scheduler = torch.optim.lr_scheduler.LambdaLR(made, lambda step: 0.0 if step else 1.0)
    give_gradients(params, 1)
    made.step()
    scheduler.step()
    before = [p.detach().clone() for p in params]
    made.step()
    assert all(torch.equal(p, b) for p, b in zip(params, before, strict=True))


# ---------------------------------------------------------------- the fast path


@pytest.mark.parametrize("name", ["lion", "adamw", "sgd", "nesterov", "adabelief", "rmsprop"])
def test_the_fast_path_gives_the_same(optimizer: Any, name: str) -> None:
    ours = optimizer(name)
    fast, slow = (trained(lambda p, f=f: ours(p, foreach=f)) for f in (True, False))
    assert_close(fast, slow, rtol=1e-6)


def test_the_fast_path_is_taken_when_asked_for(optimizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = torch._foreach_sub_
    monkeypatch.setattr(torch, "_foreach_sub_", lambda *args: (calls.append(len(args[0])), real(*args)))
    ours = optimizer("lion")
    trained(lambda p: ours(p, foreach=False), steps=1)
    trained(ours, steps=1)  # by default only on a GPU
    assert calls == []
    trained(lambda p: ours(p, foreach=True), steps=1)
    assert calls == [len(SHAPES)]


def test_programs_without_a_fast_path_have_no_such_argument(optimizer: Any) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'foreach'"):
        optimizer("program8")(parameters(), foreach=True)
    assert "no foreach path: the program looks at" in " ".join(optimizer("program8").__doc__.split())
    assert "no foreach path: the program takes a function of `lr`" in " ".join(
        optimizer("bent", TANH_OF_LR).__doc__.split()
    )


def test_functions_of_the_learning_rate(optimizer: Any) -> None:
    params = parameters()
    give_gradients(params, 1)
    expected = [p.detach() - np.float32(np.tanh(0.5)) * p.grad for p in params]
    optimizer("bent", TANH_OF_LR)(params, lr=0.5).step()
    assert_close(params, expected, rtol=1e-6)


# ---------------------------------------------------------------- dtypes, and what is refused


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_dtypes_of_parameters(optimizer: Any, dtype: str, foreach: bool) -> None:
    params = parameters(getattr(torch, dtype))
    reference = parameters()
    made, exact = optimizer("adamw")(params, foreach=foreach), optimizer("adamw")(reference)
    for step in range(10):
        for each, its in ((made, params), (exact, reference)):
            for p, noise in zip(its, numbers(step + 1), strict=True):
                p.grad = torch.tensor(noise).to(p.dtype)
            each.step()
    assert {p.dtype for p in params} == {getattr(torch, dtype)}
    assert {s.dtype for state in made.state.values() for s in state.values()} == {getattr(torch, dtype)}
    assert_close([p.float() for p in params], reference, rtol=2e-2)


@pytest.fixture(params=["lion", "program8"])
def refusing(optimizer: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """An optimizer over good parameters and a bad one; a refused step changes none of them."""
    good = parameters()
    give_gradients(good, 1)
    yield lambda bad: (optimizer(request.param)([*good, bad]), class_name(request.param))
    assert_close(good, parameters(), rtol=0)


def test_sparse_gradients_are_refused(refusing: Any) -> None:
    bad = torch.nn.Parameter(torch.zeros(3))
    bad.grad = torch.ones(3).to_sparse()
    made, name = refusing(bad)
    with pytest.raises(RuntimeError, match=f"{name} does not take sparse gradients: make them dense"):
        made.step()


def test_complex_parameters_are_refused(refusing: Any) -> None:
    bad = torch.nn.Parameter(torch.zeros(3, dtype=torch.complex64))
    bad.grad = torch.ones_like(bad)
    made, name = refusing(bad)
    with pytest.raises(RuntimeError, match=f"{name} does not take complex tensors: use torch.view_as_real"):
        made.step()


def test_weights_of_interpolations_outside_their_range_are_refused(optimizer: Any) -> None:
    with pytest.raises(ValueError, match=r"expected b1 from 0 to 1, found 1\.5"):
        optimizer("lion")(parameters(), b1=1.5)
    optimizer("program8")(parameters(), b2=1.2)  # found at 1.109


def test_nothing_to_update(optimizer: Any) -> None:
    for name in NAMES:
        params = parameters()
        optimizer(name)(params).step()
        optimizer(name)([{"params": []}, {"params": params}]).step()
        assert_close(params, parameters(), rtol=0)
