"""Adapters from elsewhere: from the server's disk, from a model hub, from an address."""

from marketplace.adapters.imports.folders import META, import_adapter, read_meta

__all__ = ["META", "import_adapter", "read_meta"]
