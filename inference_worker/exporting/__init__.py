"""Adapters in other tools' forms: whole models with the adapter inside, GGUF, PEFT's own."""
