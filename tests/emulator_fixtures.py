"""Emulators for tests."""

import dataclasses

from rvsemu.emulator.network import DenseNetwork, Layer


def in_double_precision(emulator):
    """The same emulator with weights, and so results, in double precision."""

    def double(network):
        return DenseNetwork(
            [Layer(x.weights.astype(float), x.bias.astype(float), x.activation) for x in network.layers]
        )

    return dataclasses.replace(emulator, label_network=double(emulator.label_network), decoder=double(emulator.decoder))
