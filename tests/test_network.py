"""The dense network against an obvious loop and finite differences."""

import math

import numpy as np
import pytest

from rvsemu.emulator.network import ACTIVATIONS, DenseNetwork, Layer

SCALAR = {
    "linear": lambda x: x,
    "relu": lambda x: x if x > 0 else 0.0,
    "silu": lambda x: x / (1 + math.exp(-x)),
    "tanh": lambda x: (math.exp(2 * x) - 1) / (math.exp(2 * x) + 1),
}


def random_network(activation, sizes=(3, 5, 4, 7), dtype="f8", seed=1):
    rng = np.random.default_rng(seed)
    layers = []
    for i, (n_in, n_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        last = i == len(sizes) - 2
        weights, bias = rng.normal(size=(n_in, n_out)), rng.normal(size=n_out)
        layers.append(Layer(weights.astype(dtype), bias.astype(dtype), "linear" if last else activation))
    return DenseNetwork(layers)


def by_loop(network, row):
    """One input through the network, a multiplication at a time."""
    for layer in network.layers:
        n_in, n_out = layer.weights.shape
        sums = [sum(row[i] * layer.weights[i, j] for i in range(n_in)) + layer.bias[j] for j in range(n_out)]
        row = [SCALAR[layer.activation](float(s)) for s in sums]
    return row


def test_every_activation_has_a_second_implementation():
    assert set(SCALAR) == set(ACTIVATIONS)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_is_the_obvious_loop(activation):
    network = random_network(activation)
    x = np.random.default_rng(2).normal(size=(6, 3))
    np.testing.assert_allclose(network(x), [by_loop(network, row) for row in x], rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_jacobian_is_the_difference_quotient(activation):
    network = random_network(activation)
    x = np.random.default_rng(3).normal(size=(6, 3))
    value, jacobian = network.value_and_jacobian(x)
    assert jacobian.shape == (6, 3, 7)
    np.testing.assert_allclose(value, network(x), rtol=1e-13, atol=1e-14)
    step = 1e-6
    for k in range(3):
        plus, minus = x.copy(), x.copy()
        plus[:, k] += step
        minus[:, k] -= step
        difference = (network(plus) - network(minus)) / (2 * step)
        np.testing.assert_allclose(jacobian[:, k], difference, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("inputs", [[0, 2], [1], []])
def test_derivatives_by_some_of_the_inputs(inputs):
    network, x = random_network("silu"), np.random.default_rng(4).normal(size=(5, 3))
    value, jacobian = network.value_and_jacobian(x, inputs)
    np.testing.assert_allclose(value, network(x), rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(jacobian, network.value_and_jacobian(x)[1][:, inputs], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_dtype_is_that_of_the_weights(activation, dtype):
    network = random_network(activation, dtype=dtype)
    value, jacobian = network.value_and_jacobian(np.zeros((2, 3)))
    assert network(np.zeros((2, 3))).dtype == value.dtype == jacobian.dtype == dtype


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_large_inputs_do_not_overflow(activation):
    """Warnings are errors here: no exp of a large number."""
    network = random_network(activation, dtype="f4")
    value, jacobian = network.value_and_jacobian(np.array([[1e4, -1e4, 1e4]]))
    assert np.isfinite(value).all() and np.isfinite(jacobian).all()


def test_one_row_and_no_rows():
    network = random_network("silu")
    assert network(np.zeros((1, 3))).shape == (1, 7)
    value, jacobian = network.value_and_jacobian(np.zeros((0, 3)))
    assert network(np.zeros((0, 3))).shape == value.shape == (0, 7)
    assert jacobian.shape == (0, 3, 7)


def test_inputs_are_left_alone():
    """A linear layer hands arrays on: what came in must not be written to."""
    x = np.random.default_rng(4).normal(size=(2, 3))
    x.flags.writeable = False
    random_network("linear").value_and_jacobian(x)


def test_sizes_that_do_not_follow():
    with pytest.raises(ValueError, match="layer of 3 outputs meets one of 4 inputs"):
        DenseNetwork([Layer(np.zeros((2, 3)), np.zeros(3)), Layer(np.zeros((4, 1)), np.zeros(1))])


@pytest.mark.parametrize("weights, bias", [((2, 3), (2,)), ((2, 3), (1,)), ((2, 3), (1, 3)), ((3,), (3,))])
def test_bias_that_does_not_fit(weights, bias):
    """A bias of one number would otherwise broadcast without a word."""
    with pytest.raises(ValueError, match="meet a bias of shape"):
        DenseNetwork([Layer(np.zeros(weights), np.zeros(bias))])


def test_unknown_activation():
    with pytest.raises(ValueError, match="activation 'gelu' is unknown: use one of linear, relu, silu, tanh"):
        DenseNetwork([Layer(np.zeros((2, 3)), np.zeros(3), "gelu")])


def test_no_layers():
    with pytest.raises(ValueError, match="at least one layer"):
        DenseNetwork([])
