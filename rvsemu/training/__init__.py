"""Training: draws from a library, the networks of a recipe, and the emulator file they end in.

TensorFlow is imported in `rvsemu.training.fit` alone, and only when training starts:
``pip install "rvsemu[train]"``.
"""
