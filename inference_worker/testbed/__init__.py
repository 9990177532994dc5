"""A small world trained by the project itself: a tiny Llama, its tokenizer, and task adapters in PEFT's format."""
