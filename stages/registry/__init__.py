"""Plug-ins: the classes of splitters, filters, embedders and captioners, bundled ones and users' own.

In: the name that a parameter gives, a bundled one or "package.module:Class". Out: the class, and for a user's own class
the version of its code, which enters the keys of the rows that it makes.
"""

from stages.registry.source_hash import code_identity
from stages.registry.table import TABLE, load, names, resolve

__all__ = ["TABLE", "code_identity", "load", "names", "resolve"]
