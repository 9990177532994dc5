"""What an adapter's two files are called, wherever their bytes lie (in a blob store they are named by digests)."""

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
