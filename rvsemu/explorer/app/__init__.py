"""The page of `rvsemu.explore` and its server: the only modules that import Bokeh."""
