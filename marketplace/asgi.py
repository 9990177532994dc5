"""The ASGI entry point that uvicorn serves."""

import os

import django

from marketplace.core.arriving import StreamingASGIHandler

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")
django.setup(set_prefix=False)

application = StreamingASGIHandler()
