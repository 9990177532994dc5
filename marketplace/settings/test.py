"""Settings of the test suite: real Postgres and Redis from the environment, quick password hashes, no manifest."""

from marketplace.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Django empties tables between tests of transactions with TRUNCATE, which the audit log refuses to everybody else.
DATABASES["default"]["OPTIONS"]["options"] = "-c brickyard.allow_truncate=on"  # noqa: F405
# Tests of evaluations ask for them.
EVALUATE_UPLOADS = False
