# SPDX-License-Identifier: MIT
"""What benchmarks/run is made of: measuring, the model of a result, and its presentations."""
