"""Which routines OpenBLAS has taken for this processor, in the copies of NumPy and SciPy.

    OPENBLAS_CORETYPE=Haswell python validation/blas.py

prints a list of architectures (JSON), after both copies were made to compute: OpenBLAS takes what it is told, and where
the processor cannot run it, the process dies. For ``kernels.py``. Takes a second.
"""

import json

import numpy as np
from scipy.linalg import cholesky
from threadpoolctl import threadpool_info

for kind in (np.float32, np.float64):
    matrix = np.eye(300, dtype=kind) + 1 / 300
    cholesky(matrix @ matrix)
    np.linalg.solve(matrix, matrix[0])
print(json.dumps(sorted({c["architecture"] for c in threadpool_info() if c["internal_api"] == "openblas"})))
