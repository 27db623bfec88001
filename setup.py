"""The compiled part of the core (pyproject.toml says everything else about the package).

It is optional: without a C compiler or Python's headers the install goes through, and `book/book_side.py` serves.
"""

from __future__ import annotations

import os

from setuptools import Extension, setup

# A product and a sum fused into one rounding, which compilers do on some machines, would not be what Python computes.
COMPILE = [] if os.name == "nt" else ["-ffp-contract=off"]

setup(
    ext_modules=[
        Extension(
            f"vibe_orderbook_mcp.book.{name}",
            [f"src/vibe_orderbook_mcp/book/{name}.pyx"],
            depends=["src/vibe_orderbook_mcp/book/_book_side.pxd"],  # both compile it in
            extra_compile_args=COMPILE,
            optional=True,
        )
        for name in ("_book_side", "_row_sums")
    ],
    options={"build_ext": {"cython_c_in_temp": True}},
)
