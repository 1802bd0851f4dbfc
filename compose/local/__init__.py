"""Runs Kauri from a fresh clone: ``python3 -m compose.local run | test | lint | bench | stop | …`` (the Makefile's engine).

The modules that work before the virtual environment exists (``__main__``, ``console``, ``places``, ``shell``, ``uv``, ``debian``,
``interpreter``, ``venv``) use the standard library of Python 3.9 and later; everything else runs inside the environment.
"""
