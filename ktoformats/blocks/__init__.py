"""The building blocks of adapters: where a text stands, what came before it, who judged it and how.

The `mapping` format is these blocks and little else; a format written by hand may use any of them.
"""
