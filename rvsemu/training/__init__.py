"""Training: draws from a library, the networks of a recipe, and the emulator file they end in.

Keras and its backend are imported only when training starts: ``pip install "rvsemu[train]"`` brings TensorFlow,
and the environment variable ``KERAS_BACKEND`` chooses another one.
"""
